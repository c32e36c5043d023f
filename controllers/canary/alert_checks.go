// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/notify/alert"
)

// alertChecks know of each canary which of its alerts nobody will hear, until it is gone. The API
// server is asked again when spec.analysis.alerts changed, or an AlertProvider or a Secret that they are sent by.
type alertChecks struct {
	alerts  *alert.Notifier
	watcher *dynamicWatcher

	mu   sync.Mutex
	last map[types.UID]alertCheck
}

// alertCheck is what was found of the alerts of a canary.
type alertCheck struct {
	alerts []flaggerv1.CanaryAlert
	// on is what has to change for another answer: AlertProviders and their Secrets.
	on []clusterRef
	// versions are those that watches had seen before the API server was asked. What they
	// had not told of yet has none.
	versions map[clusterRef]string
	unheard  error
}

// check is the last answer as long as it holds, or as the API server does not give another one.
func (a *alertChecks) check(ctx context.Context, c *flaggerv1.Canary) alertCheck {
	if c.Spec.Analysis == nil || len(c.Spec.Analysis.Alerts) == 0 {
		a.forget(c.UID)
		return alertCheck{}
	}
	next := alertCheck{alerts: slices.Clone(c.Spec.Analysis.Alerts), versions: map[clusterRef]string{}}
	a.mu.Lock()
	last, ok := a.last[c.UID]
	a.mu.Unlock()
	ok = ok && slices.Equal(last.alerts, next.alerts)
	holds := ok
	for _, object := range last.on {
		now, seen := a.watcher.seen(ctx, object)
		before, known := last.versions[object]
		if seen {
			next.versions[object] = now
		}
		holds = holds && seen && known && now == before
	}
	if holds {
		return last
	}
	found := a.alerts.Check(ctx, c)
	next.unheard = found.Unheard
	for _, object := range found.On {
		next.on = append(next.on, clusterRef{clusterKind{object.GroupVersionKind, workloadCluster}, object.ObjectKey})
	}
	if found.Refused {
		next.versions = nil // no watch tells when that changes
	}
	switch {
	case found.Unknown == nil:
		a.add(c.UID, next)
	case ok:
		last.on = slices.Concat(last.on, next.on)
		return last
	}
	return next
}

func (a *alertChecks) add(uid types.UID, found alertCheck) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == nil {
		a.last = map[types.UID]alertCheck{}
	}
	a.last[uid] = found
}

func (a *alertChecks) forget(uid types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.last, uid)
}
