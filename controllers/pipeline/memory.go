// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// memory is what is remembered of a pipeline between two runs, so that one which finds
// nothing to do asks no server. A restart loses it, and costs a pipeline one look at its
// state branch.
type memory struct {
	kept  stateMemory
	heads heads
	// wrote is the bundle that was written last, by stage.
	wrote map[string]string
	forge forgeMemory
	tags  tagMemory
	// since is when this process saw the pipeline first.
	since time.Time
	looks looksMemory
}

// memories are those of all pipelines. Entries go when their pipeline is deleted.
type memories struct {
	mu  sync.Mutex
	all map[client.ObjectKey]*memory
}

// of returns the memory of a pipeline. One run at a time uses it.
func (m *memories) of(key client.ObjectKey) *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[client.ObjectKey]*memory{}
	}
	if m.all[key] == nil {
		m.all[key] = &memory{heads: heads{}, wrote: map[string]string{}}
	}
	return m.all[key]
}

// forget ends what is remembered of a pipeline that was deleted, and returns it; nil is
// nothing.
func (m *memories) forget(key client.ObjectKey) *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	last := m.all[key]
	delete(m.all, key)
	return last
}
