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
// The retry loop is our own although go-retryablehttp is among the dependencies. That
// library waits on the wall clock, so that the schedule could only be tested by waiting
// for it; it obeys a Retry-After of any length, which would occupy the queue of a
// receiver for as long as the receiver likes; it writes the path of the URL into its
// errors; and it repeats a request only, while [Client.Retry] also repeats the reading
// of the Secret that holds the URL. What would be left of it is the loop itself, twenty
// lines.
package webhook
