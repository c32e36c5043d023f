// SPDX-License-Identifier: Apache-2.0

// Package consistency answers whether a cache has seen what this process wrote.
//
// A reconcile that starts from an object older than its own last write acts on a status
// that is not true any more, finds out when it writes, and has done its work for
// nothing. So the resource version of each write is kept until the cache shows it or a
// later one; until then the object is looked at again a little later, and no worker
// waits. The controllers of kube-controller-manager follow the same rule, with a
// ConsistencyStore of their own.
//
// controller-runtime's EnableReadYourWritesConsistency was measured instead; see
// BenchmarkReadAfterWrite in test/integration/consistency. It blocks a worker until the
// cache has caught up, and a list until it has for every write of the kind. It knows
// only of writes in the representation that is read: a status is patched here as
// metadata, which spares decoding the whole object, and then 64 of 100 reads that follow
// at once are as stale as without it (61), at the price of a second watch of the kind.
// With typed patches none is, and each read waits 0.3 ms. It also opens a watch of every
// kind that is written, cached or not, for which there need be no right.
//
// What is remembered is lost with the process, as is the cache that it is about.
package consistency

import (
	"sync"

	"github.com/sluice-cd/sluice/internal/resourceversion"
)

// Store has the resource version of the last write to each object that the cache was
// not seen to show. It holds as many as were written and not read since. The zero value
// is ready.
type Store[K comparable] struct {
	mu     sync.Mutex
	writes map[K]string
}

// WroteAt notes the resource version that a write gave to an object.
func (s *Store[K]) WroteAt(object K, resourceVersion string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writes == nil {
		s.writes = map[K]string{}
	}
	s.writes[object] = resourceVersion
}

// IsReady reports whether an object that was read from the cache at the given resource
// version is as new as the last write to it.
func (s *Store[K]) IsReady(object K, cached string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if resourceversion.Older(cached, s.writes[object]) {
		return false
	}
	delete(s.writes, object)
	return true
}

// Clear drops what is remembered of an object that is gone: one of the same name may
// follow, from a server that counts from the start.
func (s *Store[K]) Clear(object K) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.writes, object)
}
