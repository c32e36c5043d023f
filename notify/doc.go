// SPDX-License-Identifier: Apache-2.0

// Package notify receives webhooks: a registry or a Git host reports a push, and the
// objects that a Receiver names are reconciled at once instead of at their next interval.
//
//	POST /hook/<sha256> --> Receiver with that webhook path
//	    --> sender: is the request genuine? which event, which images?
//	    --> targets: spec.resources, CEL filters
//	    --> annotation reconcile.fluxcd.io/requestedAt on each of them
//
// The path is a secret, for some senders the only one: it is the hash of the token with
// the Receiver's name and namespace. An unknown path is answered with 404. How a request
// is authenticated depends on the type of the Receiver; the types are one table
// ([senders]). Bodies are bounded, tokens are compared in constant time, and nothing of a
// request is executed: the worst that a forged one could do is an early reconcile.
//
// Requests are rate limited for each Receiver and each namespace. A request beyond the
// burst waits until the rate admits it, and is refused only if that would take more than
// a few seconds: most senders do not repeat a request that was refused.
package notify
