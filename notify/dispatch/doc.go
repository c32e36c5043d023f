// SPDX-License-Identifier: Apache-2.0

// Package dispatch brings events to the Providers of the Alerts that select them.
//
//	controllers of this process --Take-->.                      .--> HTTP: chats, pagers, hooks
//	controllers of others --Endpoint-----> events --> messages --+--> commits and pull requests
//	                                          |         |       '--> NATS
//	                              Alerts select them    Provider, Secrets, identity
//
// Both stages are entries of an [outbox.Outbox], so that a restart loses nothing, a
// reconcile waits for no receiver, and the slow receivers of one namespace hold up no
// other. Before an event is queued, an index says whether any Alert asks for objects of its
// kind and namespace: for most events there is none.
//
// An event that says the same as one of the last minutes is dropped, as in Flux: the
// object, the message and the revision are compared. What is sent where is rendered by
// package message; commit statuses and comments go through a [Forges], which the
// pull requests of Pipelines share.
//
// The few messages of the protocol of NATS that a publisher needs are written by hand,
// though there is a library, since tenants name the servers, and that one trusts them. In
// nats.go v1.55.0 a server that answers PING with "PONG" and "MSG a 1 4611686018427387904", of
// whose content one byte comes, ends the process: parser.go:405 makes a slice as large, in a
// goroutine that recovers from nothing. Its first line may be of any length (readProto in nats.go).
// TestAServerOfNATSCannotCrashNorFloodAPublisher says such things to what is written here.
// See https://docs.nats.io/reference/reference-protocols/nats-protocol.
package dispatch
