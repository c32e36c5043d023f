// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"context"
	"slices"
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
	// objects are its objects as they were applied, and cluster is the one of a kubeConfig
	// where they are.
	objects *apply.Set
	cluster targetCluster
	// reads and inputs are what the last build depended on in its artifact, and the
	// versions of what its variables were read from.
	reads  build.Reads
	inputs inputs
	// moves says that the last build has fetched what may be something else by now.
	moves bool
	// warnings are those of the last build, with secret values hidden, and reportedWarnings
	// those of which there was an event.
	warnings         []build.Warning
	reportedWarnings map[string]bool
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
	clusters *clusters
	wake     func(types.NamespacedName)

	mu     sync.Mutex
	byName map[types.NamespacedName]*state
}

func newStates(of *clusters, wake func(types.NamespacedName)) *states {
	return &states{clusters: of, wake: wake, byName: map[types.NamespacedName]*state{}}
}

func (s *states) get(name types.NamespacedName) *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName[name] == nil {
		s.byName[name] = &state{objects: s.set(s.clusters.local, name)}
	}
	return s.byName[name]
}

func (s *states) set(engine *apply.Engine, name types.NamespacedName) *apply.Set {
	return engine.Set(profile.Owner(name.Namespace, name.Name), func() { s.wake(name) })
}

// move makes a state one of another cluster, where nothing was applied yet.
func (s *states) move(ctx context.Context, name types.NamespacedName, known *state, to targetCluster) {
	engine := s.clusters.local
	if to.remoteCluster != nil {
		engine = to.engine
	}
	known.objects.Close(ctx)
	s.clusters.release(known.cluster.remoteCluster)
	s.mu.Lock()
	known.objects = s.set(engine, name)
	s.mu.Unlock()
	known.cluster = to
	known.previous, known.termination = decide.State{}, decide.Termination{}
}

// sharing are the Kustomizations that apply objects of one as well.
func (s *states) sharing(name types.NamespacedName) (others []types.NamespacedName) {
	s.mu.Lock()
	known := s.byName[name]
	var objects *apply.Set
	if known != nil {
		objects = known.objects
	}
	s.mu.Unlock()
	if objects == nil {
		return nil
	}
	for _, shared := range objects.Shared() {
		for _, owner := range shared.Others {
			if key := (types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name}); !slices.Contains(others, key) {
				others = append(others, key)
			}
		}
	}
	return others
}

func (s *states) forget(ctx context.Context, name types.NamespacedName) {
	s.mu.Lock()
	known := s.byName[name]
	delete(s.byName, name)
	s.mu.Unlock()
	if known != nil { // another cluster may take its time
		known.objects.Close(ctx)
		s.clusters.release(known.cluster.remoteCluster)
	}
}
