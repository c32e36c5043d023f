// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"context"
	"testing"
	"testing/synctest"

	"golang.org/x/sync/semaphore"
)

// A namespace reads five files of 20 bytes and one of 40 side by side, of 100 bytes that there are for all. Then
// another one wants to read one of 10.
func TestOneWhoAsksForMuchHoldsUpOthersWithASemaphoreAndNotHere(t *testing.T) {
	for name, tc := range map[string]struct {
		acquire func() func(ctx context.Context, namespace string, bytes int64) error
		waits   bool
	}{
		"semaphore.Weighted": {func() func(context.Context, string, int64) error {
			weighted := semaphore.NewWeighted(100)
			return func(ctx context.Context, _ string, bytes int64) error { return weighted.Acquire(ctx, bytes) }
		}, true},
		"Budget": {func() func(context.Context, string, int64) error {
			budget := New(100)
			return func(ctx context.Context, namespace string, bytes int64) error {
				_, err := budget.Acquire(ctx, namespace, bytes)
				return err
			}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				acquire := tc.acquire()
				for _, bytes := range []int64{20, 20, 20, 20, 20, 40} {
					go func() { _ = acquire(ctx, "greedy", bytes) }() // those that wait end with the test
					synctest.Wait()
				}
				granted := make(chan error, 1)
				go func() { granted <- acquire(ctx, "modest", 10) }()
				synctest.Wait()
				if waits := len(granted) == 0; waits != tc.waits {
					t.Errorf("the other namespace waits: %t", waits)
				}
			})
		})
	}
}
