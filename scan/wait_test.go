// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/registry/registrytest"
)

func TestWhoWaitsSharesTheListOfAll(t *testing.T) {
	var lists atomic.Int64
	host := registrytest.Serve(t, counted(&lists, registrytest.New(t, "1", "2", "2.sig")))
	repository, err := registry.ParseURL("oci://" + host + "/" + image)
	if err != nil {
		t.Fatal(err)
	}
	s := patient(t, NewStore())
	request := Request{Key: object("app"), Target: TagsOf(repository, time.Minute), Access: registry.In("apps"), Within: time.Hour}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			tags, err := s.List(t.Context(), request)
			if err != nil {
				t.Error(err)
				return
			}
			if got := slices.Collect(tags.All()); !slices.Equal(got, []string{"1", "2", "2.sig"}) {
				t.Errorf("listed %v", got)
			}
		})
	}
	all.Wait()
	if n := lists.Load(); n != 1 {
		t.Errorf("the registry was asked %d times", n)
	}
	if _, ok := s.Store().Get(request.Key, request.Target); ok {
		t.Error("a snapshot is kept")
	}
	request.Within = 0
	if _, err := s.List(t.Context(), request); err != nil || lists.Load() != 2 {
		t.Errorf("a new list: %v, asked %d times", err, lists.Load())
	}
}

func TestWhoWaitsForASilentRegistryGivesUp(t *testing.T) {
	repository, err := registry.ParseURL("oci://" + registrytest.Serve(t, silent(t)) + "/" + image)
	if err != nil {
		t.Fatal(err)
	}
	s := patient(t, NewStore())
	request := Request{Key: object("app"), Target: TagsOf(repository, 50*time.Millisecond), Access: registry.In("apps")}
	if _, err := s.List(t.Context(), request); !errors.Is(err, registry.ErrTimeout) {
		t.Errorf("after its timeout: %v", err)
	}
	request.Target.Timeout = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.List(ctx, request); !errors.Is(err, registry.ErrTimeout) {
		t.Errorf("when its context has ended: %v", err)
	}
}
