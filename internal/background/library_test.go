// SPDX-License-Identifier: Apache-2.0

package background

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/singleflight"
	"k8s.io/apimachinery/pkg/types"
)

// silentHost answers after a minute, and counts the most requests that it had at once.
type silentHost struct {
	mu             sync.Mutex
	requests, most int
}

func (h *silentHost) ask(context.Context) (string, error) {
	h.count(1)
	defer h.count(-1)
	time.Sleep(time.Minute) // of the bubble
	return "", nil
}

// atOnce is how many requests it had at one time.
func (h *silentHost) atOnce() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.most
}

func (h *silentHost) count(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests += n
	h.most = max(h.most, h.requests)
}

// Four workers have forty objects at a host that does not answer before those at one that does:
// how long the latter wait, and how many requests the silent host has at once, here and with
// singleflight. `go test -v` says it.
func TestASilentHostHoldsUpOthersWithSingleflightAndNotHere(t *testing.T) {
	const objects = 40
	for name, tc := range map[string]struct {
		visit  func(*testing.T, *silentHost) func(key string) // of a worker, by an object of the silent host
		waited time.Duration
		most   int
	}{
		"singleflight.Do": {func(t *testing.T, h *silentHost) func(string) {
			var calls singleflight.Group
			return func(key string) {
				_, _, _ = calls.Do(key, func() (any, error) { return h.ask(t.Context()) })
			}
		}, objects / 4 * time.Minute, 4},
		"singleflight.DoChan, with the patience": {func(t *testing.T, h *silentHost) func(string) {
			var calls singleflight.Group
			return func(key string) {
				select {
				case <-calls.DoChan(key, func() (any, error) { return h.ask(t.Context()) }):
				case <-time.After(DefaultPatience):
				}
			}
		}, objects / 4 * DefaultPatience, objects},
		"Runner": {func(t *testing.T, h *silentHost) func(string) {
			r := &runner{Patience: DefaultPatience, PerHost: 8, PerNamespace: 4}
			return func(key string) {
				req := Request[types.NamespacedName]{Key: object(key), Namespace: "apps", Host: "silent.example.com", Now: time.Unix(0, 0)}
				if _, err := r.Run(t.Context(), req, h.ask); !errors.Is(err, ErrPending) {
					t.Error(err)
				}
			}
		}, DefaultPatience, 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var host silentHost
				visit, queue, begun := tc.visit(t, &host), make(chan string, objects), time.Now()
				for i := range objects {
					queue <- fmt.Sprint(i)
				}
				close(queue)
				free := make(chan struct{}, 4) // workers that come to the other objects
				for range 4 {
					go func() {
						for key := range queue {
							visit(key)
						}
						free <- struct{}{}
					}()
				}
				<-free
				waited, most := time.Since(begun), host.atOnce()
				t.Logf("others wait %s, and the silent host has %d requests at once", waited, most)
				if waited != tc.waited || most != tc.most {
					t.Errorf("want %s and %d", tc.waited, tc.most)
				}
				time.Sleep(time.Hour) // until all requests are answered
			})
		})
	}
}
