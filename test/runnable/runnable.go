// SPDX-License-Identifier: Apache-2.0

// Package runnable runs, in tests of one package, what a manager starts in the controller.
package runnable

import (
	"context"
	"sync"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// Start starts r. stop ends it and waits until it has ended; an error of r fails the test then.
// Calling stop again does nothing.
func Start(tb testing.TB, r manager.Runnable) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan error, 1)
	go func() { done <- r.Start(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
}
