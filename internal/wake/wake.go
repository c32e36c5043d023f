// SPDX-License-Identifier: Apache-2.0

// Package wake starts reconciles from inside the process: when a scan, a build or a
// fetch in the background is done, or when another controller has left something for
// an object to find.
//
//	imageupdateautomation --Wake(GitRepository)--> gitrepository
//	scan.Scanner ----------Wake(ImageRepository)-> imagerepository
//
// A wake only makes a step start sooner. It is not stored, not repeated and not heard
// by other processes; an object that misses one is reconciled at its next interval, and finds
// the same in Git or at the API server. So nothing may be decided because of a wake alone.
//
// It is a channel source of controller-runtime whose channel carries no object but
// only says that there are some. With objects in the channel itself, a caller that wakes more
// than fit would block, often with a lock held, or wakes would be lost.
package wake

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Source is a source.Source of one controller. What is woken before the controller
// starts is reconciled when it does. The zero value is ready.
type Source struct {
	mu      sync.Mutex
	pending map[types.NamespacedName]struct{}
	signal  chan signal
}

type (
	signal = event.TypedGenericEvent[struct{}]
	queue  = workqueue.TypedRateLimitingInterface[reconcile.Request]
)

// Wake has an object reconciled soon. It never blocks.
func (s *Source) Wake(object types.NamespacedName) {
	signals := s.signals()
	s.mu.Lock()
	s.pending[object] = struct{}{}
	s.mu.Unlock()
	select {
	case signals <- signal{}:
	default: // there is a signal already, and its reader finds this object too
	}
}

func (s *Source) signals() chan signal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.signal == nil {
		s.signal, s.pending = make(chan signal, 1), map[types.NamespacedName]struct{}{}
	}
	return s.signal
}

// Start implements source.Source for a controller of the objects that are woken.
func (s *Source) Start(ctx context.Context, q queue) error {
	return s.Map(func(_ context.Context, object types.NamespacedName) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: object}}
	}).Start(ctx, q)
}

// Map is the source for a controller of other objects, which depend on those that are
// woken. One source has one controller.
func (s *Source) Map(dependents func(context.Context, types.NamespacedName) []reconcile.Request) source.Source {
	return source.Channel(s.signals(), handler.TypedFuncs[struct{}, reconcile.Request]{
		GenericFunc: func(ctx context.Context, _ signal, q queue) {
			for _, object := range s.drain() {
				for _, request := range dependents(ctx, object) {
					q.Add(request)
				}
			}
		},
	})
}

func (s *Source) drain() []types.NamespacedName {
	s.mu.Lock()
	defer s.mu.Unlock()
	objects := make([]types.NamespacedName, 0, len(s.pending))
	for object := range s.pending {
		objects = append(objects, object)
	}
	clear(s.pending)
	return objects
}
