// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"testing"

	"github.com/sluice-cd/sluice/test/harness"
)

// served is a [Chain] or a [Promotion].
type served interface {
	Users(tb testing.TB)
	Ready(ctx context.Context) error
	Remove(ctx context.Context) error
}

// Serve starts the users and the controller of a chain, and waits until the first version
// serves. At the end the chain is removed while the controller runs, which finalizes; if
// the test has failed, the end of the controller's log is told.
func Serve(tb testing.TB, c served, start func() (harness.Running, error)) harness.Running {
	tb.Helper()
	c.Users(tb)
	sluice, err := start()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		sluice.Stop()
		if tb.Failed() {
			tb.Log(sluice.Tail(8000))
		}
	})
	tb.Cleanup(func() {
		if err := c.Remove(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	if err := c.Ready(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return sluice
}
