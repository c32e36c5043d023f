// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Pipelines that were woken together waited for a server that did not answer one after the other,
// beyond the end of their own contexts, and each asked it again.
func TestPipelinesWaitTogetherForASilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now, silent := time.Now(), errors.New("no answer")
		var s sharedRequests[string, int]
		asked, end := 0, make(chan struct{})
		get := func(ctx context.Context, since time.Time) chan error {
			got := make(chan error, 1)
			go func() {
				_, err := s.get(ctx, "fleet", since, now, func(context.Context) (int, error) {
					asked++
					<-end
					return 0, silent
				})
				got <- err
			}()
			synctest.Wait()
			return got
		}
		leaving, cancel := context.WithCancel(t.Context())
		waiting := []chan error{get(t.Context(), time.Time{}), get(t.Context(), now), get(t.Context(), now.Add(time.Second))}
		impatient := get(leaving, time.Time{})
		cancel()
		if err := <-impatient; !errors.Is(err, context.Canceled) {
			t.Errorf("the one whose run ended: %v", err)
		}
		close(end)
		for _, got := range waiting {
			if err := <-got; !errors.Is(err, silent) {
				t.Errorf("got %v", err)
			}
		}
		if asked != 1 {
			t.Errorf("it was asked %d times", asked)
		}
	})
}

// As long as there was always one who waited, a request that would never be answered was joined, and nobody asked anew.
func TestASilentServerIsAskedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		var s sharedRequests[string, int]
		asked := 0
		ask := func(ctx context.Context) (int, error) {
			asked++
			<-ctx.Done()
			return 0, ctx.Err()
		}
		for range 3 {
			go func() { _, _ = s.get(t.Context(), "fleet", time.Time{}, now, ask) }()
			time.Sleep(askTimeout - time.Second)
			synctest.Wait()
		}
		if asked != 2 {
			t.Errorf("asked %d times within %s", asked, 3*askTimeout)
		}
		time.Sleep(2 * askTimeout)
	})
}
