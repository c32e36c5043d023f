// SPDX-License-Identifier: Apache-2.0

// Package outbox keeps what has to be delivered until it is, or nobody can: a file for
// each, so that neither a receiver that is away nor a restart of the process loses one.
//
//	Put --file--> queue --share, rate, backoff--> Handler.Deliver --nil--> the file goes
//	                ^                                |
//	                '--------- temporary -----------'---- final, or too old --> Handler.Failed
//
// What has the same receiver and order is delivered one after the other, in the order in
// which it was put: of two commit statuses the later one stands. Everything else does not
// wait for one another: a receiver has so many deliveries at once, and so has a namespace,
// which also has a rate and a share of the room.
//
// Delivery is at least once. A process that is killed between a delivery and the removal
// of its file delivers again; an entry is put once by its ID while it waits. A Put is in
// the file when it returns, and outlives the process; PutSync outlives the node, too.
//
// Why there is no queue of a library: docs/adr/0009-messages-wait-in-files.md.
package outbox
