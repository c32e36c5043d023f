// Package background keeps what goes wrong in goroutines of the process's own from
// ending the process.
//
// A panic in a worker of a controller, or in the handler of a request, is one failed
// run: the framework recovers it. In a goroutine that nobody waits for, such as a
// probe of a canary or the delivery of a message, it takes every controller with it,
// and again after the restart, since the object that caused it is still there.
package background

import (
	"context"
	"fmt"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
)

// Try runs work and returns its error, which is that there was a panic if there was
// one. The panic is logged and counted as those of workers are.
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

// Run is [Try] for work that has no error. It reports whether the work came to its
// end.
func Run(ctx context.Context, work func()) bool {
	return Try(ctx, func() error { work(); return nil }) == nil
}
