// SPDX-License-Identifier: Apache-2.0

package canary

import (
	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// initializing reports whether the primary is still to be made for the first time.
func initializing(phase flaggerv1.CanaryPhase) bool {
	return phase == "" || phase == flaggerv1.CanaryPhaseInitializing
}

// initialize makes the primary out of the target, and moves the users over once
// it is ready. Until then the target keeps serving: a primary that does not
// start must not take the application down, and is replaced by a fix.
func initialize(t transition) Decision {
	d := t.unchanged()
	if t.prev.Phase == "" {
		d.State = t.prev.enter(flaggerv1.CanaryPhaseInitializing, t.now)
	}
	target, primary := t.seen.Target, t.seen.Primary
	switch {
	case !primary.Exists && !target.Exists:
		d.Problem = t.seen.MissingTarget()
	case !primary.Exists || !primary.Ready && target.Exists && primary.Revision != target.Revision:
		d.addActions(services(t.seen.Plan)...)
		d.addActions(Snapshot{target.Revision}, SetPrimary{target.Revision})
		d.wait(t.interval(), "Creating %s", t.seen.primary())
	case primary.Stuck:
		d.Problem = t.seen.primaryNotReady()
	case !primary.Ready:
		d.addActions(services(t.seen.Plan)...)
		d.wait(t.interval(), "%s", t.seen.primaryNotReady())
	default:
		return t.then(d, initialized)
	}
	return d
}

// initialized moves the users over to a primary that is ready.
func initialized(t transition) Decision {
	d := t.unchanged()
	d.addActions(services(t.seen.Plan)...)
	d.addActions(keepPrimary(t.seen)...)
	if !t.seen.Plan.Worker {
		d.addActions(EnsureApex{}, EnsureRoute{})
	}
	d.addActions(autoscaler(t.seen)...)
	d = t.then(d, setWeights(provider.ToPrimary))
	d.addActions(StopTarget{})
	d.State = d.State.enter(flaggerv1.CanaryPhaseInitialized, t.now)
	d.State.Applied, d.State.Promoted = t.seen.Primary.Revision, t.seen.Primary.Revision
	d.State.FailedChecks, d.State.Iterations = 0, 0
	if t.seen.Unmeasurable != "" && !t.seen.Plan.Skip {
		d.warn("Error checking metric providers: %s", t.seen.Unmeasurable)
	}
	d.alert(flaggerv1.SeverityInfo, "Initialization done! %s", t.seen.canary())
	d.Message = t.seen.Kind + " initialization completed."
	if d.State.newRevision(t.seen.Target) {
		d.After = soon
	}
	return d
}

// services are the actions that make the Services of the two copies. A worker has none.
func services(p Plan) []Action {
	if p.Worker {
		return nil
	}
	return []Action{EnsureServices{}}
}

// autoscaler is the action that keeps the primary's autoscaler in step. An edited spec
// may have one no more, which has to go.
func autoscaler(seen Observation) []Action {
	if !seen.Plan.Autoscaled && !seen.Edited {
		return nil
	}
	return []Action{EnsureScaler{}}
}
