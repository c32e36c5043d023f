package canary

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// initialize makes the primary out of the target, and moves the users over once
// it is ready. Until then the target keeps serving: a primary that does not
// start must not take the application down, and is replaced by a fix.
func (t *turn) initialize() {
	if t.State.Phase == "" {
		t.enter(flaggerv1.CanaryPhaseInitializing)
	}
	switch {
	case !t.Primary.Exists && !t.Target.Exists:
		t.step.Problem = t.missingTarget()
	case !t.Primary.Exists || !t.Primary.Ready && t.Target.Exists && t.Primary.Revision != t.Target.Revision:
		t.services()
		t.do(Snapshot{t.Target.Revision}, SetPrimary{t.Target.Revision})
		t.wait("Creating %s-primary.%s", t.Names.Target, t.Namespace)
	case t.Primary.Stuck:
		t.step.Problem = t.primaryNotReady()
	case !t.Primary.Ready:
		t.services()
		t.wait("%s", t.primaryNotReady())
	default:
		t.initialized()
	}
}

// initialized moves the users over to a primary that is ready.
func (t *turn) initialized() {
	t.services()
	if !t.Plan.Worker {
		t.do(EnsureApex{}, EnsureRoute{})
	}
	if t.Plan.Autoscaled || t.Edited {
		t.do(EnsureScaler{})
	}
	t.route(Stable)
	t.do(StopTarget{})
	t.enter(flaggerv1.CanaryPhaseInitialized)
	t.State.Applied, t.State.Promoted = t.Primary.Revision, t.Primary.Revision
	t.State.FailedChecks, t.State.Iterations = 0, 0
	if t.Unmeasurable != "" && !t.Plan.Skip {
		t.warn("Error checking metric providers: %s", t.Unmeasurable)
	}
	t.say("Initialization done! %s.%s", t.Canary, t.Namespace)
	t.alert(flaggerv1.SeverityInfo)
	t.message("%s initialization completed.", t.Kind)
	if t.fresh() {
		t.step.After = soon
	}
}

// services makes the Services that the two copies are reached by.
func (t *turn) services() {
	if !t.Plan.Worker {
		t.do(EnsureServices{})
	}
}

// rest waits for a new revision.
func (t *turn) rest() {
	if !t.restorePrimary() {
		return
	}
	t.acknowledge()
	if t.State.Weight > 0 || t.stranded() {
		t.land()
	}
	if t.fresh() {
		t.begin()
		return
	}
	if t.Target.Exists && t.Target.Revision == t.State.Promoted {
		t.State.Applied = t.State.Promoted
		if !t.Snapshots[t.State.Promoted] {
			t.do(Snapshot{t.State.Promoted})
		}
	}
	if t.State.Phase == flaggerv1.CanaryPhaseWaiting {
		t.enter(flaggerv1.CanaryPhaseInitialized) // what it waited to release is gone
		t.withdrawn()
	}
	t.idle()
	switch {
	case !t.Target.Exists:
		t.step.Problem = t.missingTarget()
	case t.State.Phase == flaggerv1.CanaryPhaseInitialized:
		t.message("%s initialization completed.", t.Kind)
	default:
		t.message("Canary analysis completed successfully, promotion finished.")
	}
}

// acknowledge notes what all pods have that are their own primary. They went back
// to a template that was replaced before they got there, and nothing else has it.
func (t *turn) acknowledge() {
	if t.Plan.InPlace && t.Primary.Ready && t.Primary.Revision != "" {
		t.State.Promoted = t.Primary.Revision
	}
}

// fresh reports whether the target is a revision that was neither analysed nor
// promoted.
func (t *turn) fresh() bool {
	return t.Target.Exists && t.Target.Revision != t.State.Applied && t.Target.Revision != t.State.Promoted
}

// idle scales down a target that somebody scaled up although there is nothing to
// try: applying a manifest with replicas does that, again and again.
func (t *turn) idle() {
	if !t.Plan.InPlace && t.pinned() && t.Target.Replicas > 0 && !t.occupied() && t.Primary.Serves() {
		t.do(StopTarget{})
	}
}

// begin starts an analysis once nobody objects, it can be measured, and the primary
// is fit to fall back on. The new revision is remembered only then, so that none gets
// lost. Of a primary that serves nobody there is nothing to lose: this may be its
// fix. If users are on the canary, it is analysed where they are.
func (t *turn) begin() {
	switch {
	case !t.Primary.Ready && !t.Primary.Failing() && t.State.Fallback == nil && !t.Plan.Skip:
		t.wait("New revision detected, %s", t.primaryNotReady())
		return
	case t.Unmeasurable != "" && !t.Plan.Skip, t.Plan.Routed && t.RouteRefused:
		t.wait("New revision detected, and waits to be analysed.")
		return
	case !t.allowed():
		return
	case t.Primary.Ready:
		t.land()
	}
	t.say("New revision detected! Scaling up %s.%s", t.Names.Target, t.Namespace)
	t.alert(flaggerv1.SeverityInfo)
	for _, note := range t.Plan.Notes {
		t.warn("%s", note)
	}
	t.pin()
}

// allowed reports whether the first gate is open; otherwise the release waits, and
// may be given up before it has begun.
func (t *turn) allowed() bool {
	t.begun()
	if t.State.Hold != nil && !t.approved(flaggerv1.ConfirmRolloutHook) && t.lingers() {
		return false
	}
	if t.open(flaggerv1.ConfirmRolloutHook) {
		return true
	}
	if !t.step.due.None() {
		t.message("New revision detected%s", t.holding())
		t.step.After = soon
		return false
	}
	if t.State.Phase != flaggerv1.CanaryPhaseFailed || t.State.Weight == 0 {
		t.enter(flaggerv1.CanaryPhaseWaiting)
	}
	t.State.At = t.now
	t.wait("Waiting for approval%s", t.holding())
	return false
}

// lingers reports whether a release that was held before is not to be asked about
// yet: the gate is asked once an interval, and after those who may want it gone.
// A halt keeps the gate from being asked, and not those.
func (t *turn) lingers() bool {
	t.message("Waiting for approval%s", t.holding())
	recallable := t.State.Phase == flaggerv1.CanaryPhaseWaiting
	switch left := t.left(); {
	case t.paused(), t.held() && (!recallable || !t.Plan.Hooks[flaggerv1.RollbackHook]):
	case left > 0:
		t.step.After = left
	case !recallable:
		return false // users are on a canary that failed, and nothing is there to take back
	case !t.answered(flaggerv1.RollbackHook):
		t.step.After = soon
	case t.wanted():
		t.State.Applied = t.Target.Revision
		t.rollbackWanted()
	case t.held():
		t.State.At = t.now
		t.step.After = t.Plan.Interval
	default:
		return false
	}
	return true
}

// pin makes the target's revision the one under analysis.
func (t *turn) pin() {
	t.begun()
	t.release().StartedAt = metav1.NewTime(t.now)
	t.enter(flaggerv1.CanaryPhaseProgressing)
	t.State.Hold = nil // it was for another revision
	t.State.Applied = t.Target.Revision
	t.State.FailedChecks, t.State.Iterations = 0, 0
	t.do(Snapshot{t.Target.Revision}, StartTarget{})
	t.wait("New revision detected, progressing canary analysis.")
}

// restorePrimary brings a missing primary back with what it was last given, and
// reports whether there is one. What the target happens to be may have failed.
func (t *turn) restorePrimary() bool {
	if t.Primary.Exists {
		return true
	}
	revision := t.State.Promoted
	if promoting(t.State.Phase) && t.have(t.State.Applied) {
		revision = t.State.Applied
	}
	switch {
	case t.have(revision):
		t.do(SetPrimary{revision})
		t.warn("%s-primary.%s is missing, restoring it", t.Names.Target, t.Namespace)
		t.wait("Restoring %s-primary.%s", t.Names.Target, t.Namespace)
	case t.Target.Exists:
		t.enter(flaggerv1.CanaryPhaseInitializing)
		t.step.After = soon
		return false
	default:
		t.step.Problem = t.missingTarget()
	}
	if t.stranded() {
		t.fallBack()
	}
	return false
}
