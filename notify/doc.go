// SPDX-License-Identifier: Apache-2.0

// Package notify takes in webhooks: a registry or a Git host says that something
// was pushed, and the objects that care are reconciled at once instead of at
// their next interval.
//
//	POST /hook/<sha256> --> Receiver with that webhook path
//	    --> sender: is it who it says it is? which event, which images?
//	    --> targets: spec.resources, CEL filters
//	    --> annotation reconcile.fluxcd.io/requestedAt on each of them
//
// The path is a secret by itself, for some senders the only one: it is the hash
// of the token with the Receiver's name and namespace. An unknown path is
// answered as if nothing were there. How a request proves itself depends on the
// type of the Receiver; the types are one table ([senders]). Bodies are bounded,
// tokens are compared in constant time, and what a request says is data: the
// worst that a forged one could do is an early reconcile.
//
// A burst of requests is not lost: beyond what one Receiver may ask for in a
// second they wait their turn, and only what would wait too long is refused.
package notify
