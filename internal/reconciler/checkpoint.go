// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
)

// errNoReconcile is of a [Checkpoint] that nobody could write.
var errNoReconcile = errors.New("a checkpoint outside of a reconcile")

// checkpointKey is that of the function which writes a checkpoint, in a context.
type checkpointKey struct{}

// WithCheckpoint returns a context whose [Checkpoint] is write. The runner gives every
// reconcile one.
func WithCheckpoint(ctx context.Context, write func(context.Context) error) context.Context {
	return context.WithValue(ctx, checkpointKey{}, write)
}

// Checkpoint writes the status of the object as its reconcile has left it so far, before the reconcile
// goes on. It is for what has to be known should the process be killed in the midst of it: that
// something is about to be created of which nothing else would tell. After an error, the
// reconcile has to end; what it returns is not recorded.
func Checkpoint(ctx context.Context) error {
	write, ok := ctx.Value(checkpointKey{}).(func(context.Context) error)
	if !ok {
		return errNoReconcile
	}
	return write(ctx)
}
