// SPDX-License-Identifier: Apache-2.0

// Package ui serves the web page and what it reads: JSON of package report over HTTP, and one stream of server-sent
// events, fed by a cache of the API server's objects.
//
//	API server --> cache --> report.Lanes --> /api/v1/stream   what has changed, as it changes
//	                 |
//	                 +-----> report.Describe... --> /api/v1/...   one object with all that is known of it
//
// Nothing is decided here: handlers read objects, ask report and write JSON. What is kept (objects, lanes, and what users
// may list) is in memory, and made again from the API server after a restart; sessions are in cookies. A
// reader of the stream that is slow misses steps between, and never the end. While nothing changes, nothing is computed.
//
// The page itself is built by `make ui` from ui/app into ui/dist, and embedded. Without that the server serves its JSON,
// and says how to build the page.
package ui
