// SPDX-License-Identifier: Apache-2.0

// Package background runs work that outlasts a worker, or that several wait for: a scan of a
// registry, a fetch from a Git server, a build, a query of a metric, a question to a cloud.
// A server that hangs then holds up nobody but those who need it.
//
// All of it is a [Task]: a goroutine whose panic is an error, which those who wait may leave.
// There is one task at a time for each key; a second request for the same key joins it. Three
// ways to find the task of a key differ in who wants its result:
//
//	Group   callers who stay: Do returns the result, or ends with the context of the caller
//	Runner  workers who go and come back, one object for each key:
//
//	  Runner.Run -> done within the patience? ------> its result
//	             -> else ErrPending, and the worker is free
//	                   ... done at last -> Wake(key) -> Runner.Run or Collect -> its result
//
//	Start   callers that deliver the result by themselves, as package scan does: one listing
//	        is for many objects, and some of these need one that begins later
//
// Tasks of a Runner take a slot of the host that they wait for. A namespace has a share of
// the slots, so that a tenant whose proxy or server never answers keeps the tenant's own
// slots and not those of everybody at that host. Where a host keeps one caller of a namespace
// waiting beyond the patience, the next ones do not wait at all: with more objects at
// a silent server than workers, even short waits would add up.
//
// A panic is an error. In a worker of a controller, or in the handler of a request,
// the framework recovers it; in a goroutine that nobody waits for it would end the
// process, and end it again after the restart, since the object that caused it is
// still there.
//
// The context given to a task is the one of the process, not of a request: it ends
// the task when the process ends. A call of a Group ends with its timeout, or when nobody waits for
// it any more. Nothing is kept across a restart.
//
//	Try, Run      a call whose panic is an error
//	EventHandler  a handler of an informer, likewise
//	Slots         how many may run at once, fairly divided among keys: namespaces, users
//	Queue, Task   one piece of work that takes a slot, and whether its host is slow
//	Group         one call for all who ask for the same key
//	Runner        tasks by key, with their results
//
// golang.org/x/sync/singleflight joins calls too, but has no patience, no slots and no result
// to come back for. With forty objects at a silent host and four workers, the objects of other
// hosts wait ten minutes for a worker with singleflight.Do, and 100 ms here; with DoChan and a
// timer they wait a second, and the host has forty requests at once instead of four. A
// workqueue has no results either.
//
//	go test -v -run Singleflight ./internal/background
package background

import (
	"context"
	"fmt"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
)

// Try runs work and returns its error. A panic is an error too; it is logged and
// counted as panics of workers are.
func Try(ctx context.Context, work func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			for _, handle := range utilruntime.PanicHandlers {
				handle(ctx, r)
			}
			err = fmt.Errorf("panic: %v [recovered]", r)
		}
	}()
	return work()
}

// Run is [Try] for work that has no error. It reports whether the work ended without
// a panic.
func Run(ctx context.Context, work func()) bool {
	return Try(ctx, func() error { work(); return nil }) == nil
}
