// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-cd/sluice/apply"
	"github.com/sluice-cd/sluice/apply/build"
	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/internal/mask"
)

// state is what is kept of a Kustomization between reconciles, in memory. Losing it costs
// one build and one apply that changes nothing.
type state struct {
	// previous is the state that the last decision left.
	previous decide.State
	// objects are its objects as they were applied.
	objects *apply.Set
	// reads and inputs are what the last build depended on in its artifact, and the
	// versions of what its variables were read from.
	reads  build.Reads
	inputs inputs
	// mask hides the values of Secrets that were substituted last.
	mask *mask.Mask
	// compiled are the expressions and rules of a generation of the spec.
	compiled compiled
	// termination is what the last decision about its deletion left.
	termination decide.Termination
}

// states are the states of all Kustomizations. Each is made on first use, and kept until
// its Kustomization is deleted.
type states struct {
	engine *apply.Engine
	wake   func(types.NamespacedName)

	mu     sync.Mutex
	byName map[types.NamespacedName]*state
}

func newStates(engine *apply.Engine, wake func(types.NamespacedName)) *states {
	return &states{engine: engine, wake: wake, byName: map[types.NamespacedName]*state{}}
}

func (s *states) of(name types.NamespacedName) *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName[name] == nil {
		owner := profile.Owner(name.Namespace, name.Name)
		s.byName[name] = &state{objects: s.engine.Set(owner, func() { s.wake(name) })}
	}
	return s.byName[name]
}

func (s *states) forget(ctx context.Context, name types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.byName[name]; known != nil {
		known.objects.Close(ctx)
		delete(s.byName, name)
	}
}
