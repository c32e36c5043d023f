// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
)

// cache has what an observation need not read again, because the informers say that
// it has not changed, or because nobody else writes it. It has one entry for each
// canary, which goes with it; a restart loses all, and everything is read again.
type cache struct {
	mu      sync.Mutex
	entries map[types.UID]*entry
}

// entry is about one canary. The observations of a canary follow one another, so that
// its fields need no lock.
type entry struct {
	// target is the identity of the target that all of it is about.
	target string
	// generation is the target's. With another one all configs are read again: what is
	// applied together with a template may not have reached the informers.
	generation int64
	configs    map[string]cachedConfig
	// saved are the digests of the revisions that have a snapshot, once they were listed.
	saved  map[string]bool
	listed bool
	// scaler is the state in which the autoscalers were found in step.
	scaler string
	// edited means that the canary's spec was edited, and that objects which an earlier
	// one asked for may be left. After a restart nobody knows whether it was.
	edited bool
	// waitingSince is when each of the copies was first seen to lack something.
	waitingSince map[role]time.Time
	// selected is what was found when the pods that Services select were compared last.
	selected selectedPods
	// idle means that the primary had no pods by its autoscaler, and has none yet.
	idle bool
	// primaryPods is how many pods the primary had last.
	primaryPods int32
}

// cachedConfig is a config as it was with a resource version; an empty version means
// that it was missing.
type cachedConfig struct {
	version string
	config  *Config
	missing error
}

// entryOf returns the entry of a canary, a new one if the last is about another target.
func (m *cache) entryOf(c *flaggerv1.Canary) *entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries == nil {
		m.entries = map[types.UID]*entry{}
	}
	target, known := c.Spec.TargetRef.Identity(), m.entries[c.UID]
	if known == nil || known.target != target {
		fresh := &entry{target: target, configs: map[string]cachedConfig{}, waitingSince: map[role]time.Time{}}
		fresh.edited = known == nil || known.edited
		m.entries[c.UID] = fresh
	}
	return m.entries[c.UID]
}

func (m *cache) forget(uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.entries, uid)
}

// noteEdit keeps in mind that a canary was edited until that has been acted on: its
// status says that the edit was seen, and not that all of it went well.
func (e *entry) noteEdit(c *flaggerv1.Canary) {
	seen := c.Status.ObservedGeneration
	e.edited = e.edited || seen > 0 && seen != c.Generation
}

// expectGeneration forgets configs that were read with another generation of the target.
func (e *entry) expectGeneration(generation int64) {
	if e.generation != generation {
		e.generation, e.configs = generation, map[string]cachedConfig{}
	}
}

// savedSnapshots returns the snapshots that are known of; ok is false if they have to be
// listed.
func (e *entry) savedSnapshots() (saved map[string]bool, ok bool) {
	return maps.Clone(e.saved), e.listed
}

// noteSnapshots notes which snapshots there are.
func (e *entry) noteSnapshots(saved map[string]bool) { e.saved, e.listed = maps.Clone(saved), true }

// forgetSnapshots makes the next observation list the snapshots.
func (e *entry) forgetSnapshots() { e.saved, e.listed = nil, false }

// noteWaiting notes since when a copy lacks something. A target without pods lacks
// nothing.
func (e *entry) noteWaiting(of role, w canary.Workload, now time.Time) {
	if _, waits := e.waitingSince[of]; w.Ready || !w.Exists || w.Replicas == 0 && of == target {
		delete(e.waitingSince, of)
	} else if !waits {
		e.waitingSince[of] = now
	}
}
