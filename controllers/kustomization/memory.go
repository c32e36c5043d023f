// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-cd/sluice/apply"
	"github.com/sluice-cd/sluice/apply/build"
	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/internal/mask"
)

// memory is all that is remembered of a Kustomization between reconciles. Losing it
// costs one build and one apply that changes nothing.
type memory struct {
	// decided is what decisions are made from.
	decided decide.Memory
	// objects is how its objects were left.
	objects *apply.Set
	// reads and inputs are what the last build depended on in its artifact, and the
	// versions of what its variables were read from.
	reads  build.Reads
	inputs inputs
	// mask hides the values of Secrets that were substituted last.
	mask *mask.Mask
	// termination is what a deleted Kustomization waits for; nil before its objects
	// were deleted.
	termination *termination
}

// termination is the wait for objects that were deleted.
type termination struct {
	since     time.Time
	deleted   []apply.Change
	announced bool
}

// memories are the memories of all Kustomizations. One is made when it is first asked
// for, and lives until its Kustomization is deleted.
type memories struct {
	engine *apply.Engine
	wake   func(types.NamespacedName)

	mu     sync.Mutex
	byName map[types.NamespacedName]*memory
}

func newMemories(engine *apply.Engine, wake func(types.NamespacedName)) *memories {
	return &memories{engine: engine, wake: wake, byName: map[types.NamespacedName]*memory{}}
}

func (m *memories) of(name types.NamespacedName) *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byName[name] == nil {
		owner := profile.Owner(name.Namespace, name.Name)
		m.byName[name] = &memory{objects: m.engine.Set(owner, func() { m.wake(name) })}
	}
	return m.byName[name]
}

func (m *memories) forget(ctx context.Context, name types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := m.byName[name]; known != nil {
		known.objects.Close(ctx)
		delete(m.byName, name)
	}
}
