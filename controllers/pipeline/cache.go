// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// pipelineCache is what is remembered of a pipeline between two runs, so that one which finds
// nothing to do asks no server. A restart loses it, and costs a pipeline one look at its
// state branch.
type pipelineCache struct {
	kept  stateCache
	heads pushedHeads
	// wrote is the bundle that was written last, by stage.
	wrote map[string]string
	forge forgeCache
	tags  tagCache
	// since is when this process saw the pipeline first.
	since time.Time
	looks looksCache
}

// pipelineCaches are the caches of all pipelines. Entries go when their pipeline is deleted.
type pipelineCaches struct {
	mu  sync.Mutex
	all map[client.ObjectKey]*pipelineCache
}

// of returns the cache of a pipeline. One run at a time uses it.
func (m *pipelineCaches) of(key client.ObjectKey) *pipelineCache {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[client.ObjectKey]*pipelineCache{}
	}
	if m.all[key] == nil {
		m.all[key] = &pipelineCache{heads: pushedHeads{}, wrote: map[string]string{}}
	}
	return m.all[key]
}

// forget ends what is remembered of a pipeline that was deleted, and returns it; nil is
// nothing.
func (m *pipelineCaches) forget(key client.ObjectKey) *pipelineCache {
	m.mu.Lock()
	defer m.mu.Unlock()
	last := m.all[key]
	delete(m.all, key)
	return last
}
