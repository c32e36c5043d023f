// SPDX-License-Identifier: Apache-2.0

// Package webhook posts JSON to addresses that people put into manifests, and
// keeps a queue of what may be posted later.
//
//	caller --Put--> Outbox: a lane for each receiver, in order --> Client.Post
//	                                                                 | 429, 5xx, no answer
//	                                                                 +--> again, each time later
//
// Addresses of webhooks are often secrets: whoever knows the URL of a chat room's
// webhook can write there. No error says more of one than its host, and what a
// server answers is searched for what was sent to it before it is repeated.
//
// A queue has ends. A receiver that does not answer fills its own lane only, and
// what does not fit is dropped with a line in the log: news that is late is worth
// less than a controller that is not. At the end of the process there is a little
// time for what is still waiting.
package webhook
