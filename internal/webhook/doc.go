// SPDX-License-Identifier: Apache-2.0

// Package webhook posts JSON to the URLs that users write into manifests, at once
// ([Client]) or from a queue in the background ([Queue]).
//
//	caller --Put--> Queue: one for each receiver, in order --> Client.Post
//	                                                            | 429, 5xx, no answer
//	                                                            +--> retry with exponential backoff
//
// The URL of a webhook is often a secret: anybody who knows the one of a chat channel
// can write there. An error names the host and no more of the URL, and what a server
// answers is repeated only after everything secret that was sent to it is masked.
//
// The queue is bounded for each receiver, each namespace and as a whole. A receiver
// that does not answer delays the deliveries of its own queue only, and a delivery for
// which there is no room is dropped and logged. When the process ends, the queue has a
// few seconds for the deliveries that still wait; what is left then is lost.
//
// The retry loop is our own, twenty lines, although two libraries are at hand. To a receiver
// that answers `Retry-After: 7200`, go-retryablehttp comes back after two hours instead of
// half a minute, 240 times as long, and its error has the path of the URL; hooks change both,
// and then the loop is what is left of it. cenkalti/backoff takes the Retry-After in place of
// the answer, which its error has lost. The queue is no workqueue, whose workers are as many
// for all receivers: behind ten that hang for a minute, a message waits two minutes for one of
// five workers, and not at all here.
//
//	go test -v -run 'Libraries|Workqueue' ./internal/webhook
package webhook
