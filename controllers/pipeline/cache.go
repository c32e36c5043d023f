// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
)

// pipelineCache is what is remembered of a pipeline between two runs, so that one which finds
// nothing to do asks no server. A restart loses it, and costs a pipeline one look at its
// state branch.
type pipelineCache struct {
	kept  stateCache
	heads pushedHeads
	// lastHeadPoll is the last look at branches that no GitRepository follows.
	lastHeadPoll poll
	wrote        writtenBundles
	forge        forgeCache
	tags         tagCache
	// sourceRequests are sources that may not have been asked to fetch what was pushed.
	sourceRequests sourceRequests
	// since is when this process saw the pipeline first.
	since        time.Time
	measurements measurementsCache
}

// refreshHeads has branches looked at that no GitRepository follows, once in an interval and when
// somebody asks for it.
func (m *pipelineCache) refreshHeads(p *sluicev1.Pipeline, repos repositories, now time.Time) {
	if next := pollAt(p, now); next.isDue(m.lastHeadPoll, p) {
		m.lastHeadPoll = next
		m.heads.forgetOthers(repos)
	}
}

// targetKey is a target of a stage.
type targetKey struct{ stage, target string }

// writtenBundle is a bundle that was written to a target, and when; its zero value is none that is known.
type writtenBundle struct {
	bundle    string
	writtenAt time.Time
}

// writtenBundles are those that were written last.
type writtenBundles map[targetKey]writtenBundle

// since is the bundle that was written to a target since that was planned; empty if none was. What
// was written before, and what somebody did about that, was decided about then.
func (b writtenBundles) since(to targetKey, planned *promotion.Writing) string {
	if last := b[to]; planned != nil && !last.writtenAt.Before(planned.At) {
		return last.bundle
	}
	return ""
}

// pipelineCaches are the caches of all pipelines. Entries go when their pipeline is deleted.
type pipelineCaches struct {
	mu  sync.Mutex
	all map[client.ObjectKey]*pipelineCache
}

// get returns the cache of a pipeline. One run at a time uses it.
func (m *pipelineCaches) get(key client.ObjectKey) *pipelineCache {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[client.ObjectKey]*pipelineCache{}
	}
	if m.all[key] == nil {
		m.all[key] = &pipelineCache{wrote: writtenBundles{}}
	}
	return m.all[key]
}

// unseen reports whether a pipeline has pushed to a branch, and has not looked at what the
// GitRepository of that has since.
func (m *pipelineCaches) unseen(key client.ObjectKey, at branchKey) bool {
	m.mu.Lock()
	known := m.all[key]
	m.mu.Unlock()
	return known != nil && known.heads.isUnseen(at)
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
