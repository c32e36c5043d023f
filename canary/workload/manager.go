// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// Options are the settings of a controller.
type Options struct {
	// SelectorLabels are the keys of which a target's selector must have one. The
	// first that it has tells the primary's pods from the canary's.
	SelectorLabels []string
	// IncludeLabelPrefix are the prefixes of labels and annotations that copies
	// inherit; `*` stands for all.
	IncludeLabelPrefix []string
	// IgnoreConfigs leaves ConfigMaps and Secrets out of revisions.
	IgnoreConfigs bool
	// Warn is called with what keeps a canary from nothing, but works in another way
	// than its owner may think. It may be nil.
	Warn func(*flaggerv1.Canary, error)
}

// DefaultSelectorLabels are Flagger's.
var DefaultSelectorLabels = []string{"app", "name", "app.kubernetes.io/name"}

// Manager observes the workloads of canaries.
type Manager struct {
	// live reads from the API server, cached from informers: Services, for which
	// a moment's delay does no harm, and whether anything has changed.
	live   client.Client
	cached client.Reader
	clock  clock.PassiveClock
	opts   Options
	cache  cache
	// configBytes bounds how much of the content of configs is held at once.
	configBytes int
}

// New returns a Manager. The live client must not return what is older than a write
// through it, as a cache would; the cached reader must read from one, for metadata of
// all kinds: reading Secrets live would cost a call for each at every observation.
func New(live client.Client, cached client.Reader, clk clock.PassiveClock, opts Options) *Manager {
	if len(opts.SelectorLabels) == 0 {
		opts.SelectorLabels = DefaultSelectorLabels
	}
	return &Manager{live: live, cached: cached, clock: clk, opts: opts, configBytes: maxConfigBytes}
}

// Observe reads the target, its configuration, the primary and the snapshots. The
// result is there even if something could not be read, for its Configs.
func (m *Manager) Observe(ctx context.Context, c *flaggerv1.Canary) (*Workloads, error) {
	s := &scope{canary: c, live: m.live, cached: m.cached, clock: m.clock, opts: m.opts, entry: m.cache.entryOf(c)}
	w := &Workloads{scope: s, snapshots: snapshots{scope: s, configs: configs{scope: s, maxBytes: m.configBytes}}}
	build, err := adapterOf(c.Spec.TargetRef)
	if err != nil {
		return w, err
	}
	s.entry.noteEdit(c)
	w.Edited = s.entry.edited
	w.adapter = build(s, w.snapshots)
	w.Copies, err = w.adapter.observe(ctx)
	return w, err
}

// Forget drops what is kept of a canary that is gone.
func (m *Manager) Forget(uid types.UID) { m.cache.forget(uid) }
