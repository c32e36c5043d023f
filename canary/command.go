// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// promotionCommanded is the reason of a release that a person wants promoted
// unmeasured, from the command on.
const promotionCommanded = "promotion was commanded"

// promotionWasCommanded reports whether the rest of the analysis is to be left out.
func promotionWasCommanded(s State) bool {
	return s.History.current().Reason == promotionCommanded
}

// applyCommand carries out what a person wants, and records what came of it, before
// the phase is looked at. If that ends the release, the phase has no say any more.
func applyCommand(t transition) (d Decision, ended bool) {
	if t.seen.Command == nil {
		return t.unchanged(), false
	}
	command := *t.seen.Command
	d, command.Outcome = carryOut(t, command)
	d.State.LastCommand = &command
	d.alert(flaggerv1.SeverityInfo, "%s by %s: %s", command.Verb, orSomebody(command.By), command.Outcome)
	return d, d.Result == ResultFailed
}

// carryOut decides what a command changes, and says what came of it.
func carryOut(t transition, command flaggerv1.CanaryCommand) (Decision, string) {
	switch command.Verb {
	case flaggerv1.CommandApprove:
		return approve(t)
	case flaggerv1.CommandHalt:
		return hold(t, flaggerv1.HoldHalt, command.By)
	case flaggerv1.CommandPause:
		return hold(t, flaggerv1.HoldPause, command.By)
	case flaggerv1.CommandRetry:
		return retry(t)
	}
	switch {
	case command.Verb == flaggerv1.CommandPromote && waitsToBegin(t):
		return skipAnalysis(t, command.By)
	case !t.prev.underWay(t.seen.Target):
		return t.unchanged(), nothingUnderWay(t.prev.Phase)
	case command.Verb == flaggerv1.CommandAbort:
		return abort(t, command.By)
	default:
		return skipAnalysis(t, command.By)
	}
}

// waitsToBegin reports whether there is a new revision whose release has not begun. A
// person may promote it at once: it may mend what keeps it waiting, such as a primary
// that is not ready.
func waitsToBegin(t transition) bool {
	switch t.prev.Phase {
	case flaggerv1.CanaryPhaseInitialized, flaggerv1.CanaryPhaseSucceeded, flaggerv1.CanaryPhaseFailed:
		return t.newRevision()
	}
	return false
}

// nothingUnderWay says why a command has nothing to work on.
func nothingUnderWay(phase flaggerv1.CanaryPhase) string {
	if promoting(phase) {
		return "refused: the promotion has begun; go back in Git"
	}
	return fmt.Sprintf("refused: no release is under way, the phase is %s", phase)
}

// approve opens the gate that the release waits at, or ends a halt.
func approve(t transition) (Decision, string) {
	d, held := t.unchanged(), t.prev.Hold
	switch history := t.prev.History; {
	case held == nil:
		return d, "refused: nothing waits for an approval"
	case history.underWay() && history.current().Revision != t.seen.Target.Revision:
		return d, "refused: another revision has come"
	case heldByPerson(held):
		d.State.Hold = nil
		return d, "the release goes on"
	default:
		opened := *held
		opened.Approved = true
		d.State.Hold = &opened
		if inconclusive(held) {
			return d, "the release goes on without a verdict of the judge"
		}
		return d, fmt.Sprintf("gate %s is open", held.Gate)
	}
}

// hold keeps the release where it is. A promotion that was commanded before, and waits for
// pods, is taken back: otherwise nobody would judge the canary for as long as it is held.
func hold(t transition, kind, by string) (Decision, string) {
	d := t.unchanged()
	if !t.prev.underWay(t.seen.Target) {
		return d, nothingUnderWay(t.prev.Phase)
	}
	if t.prev.Phase == flaggerv1.CanaryPhaseWaiting {
		d.State = withNewRelease(t) // it is this revision that is meant
	}
	d.State.Hold = &flaggerv1.CanaryHold{Kind: kind, By: by, Since: metav1.NewTime(t.now)}
	if !promotionWasCommanded(d.State) {
		return d, "the release is " + holdVerbs[kind]
	}
	d.State.History = d.State.History.edit(func(r *flaggerv1.CanaryRelease) { r.By, r.Reason = "", "" })
	return d, fmt.Sprintf("the release is %s; the promotion that was commanded is taken back", holdVerbs[kind])
}

// abort gives up the revision. One that waits at the first gate has no pods yet,
// and becomes a failed one all the same: it must not begin by itself.
func abort(t transition, by string) (Decision, string) {
	d, aborted := t.unchanged(), "aborted by "+orSomebody(by)
	if t.prev.Phase == flaggerv1.CanaryPhaseWaiting {
		d.State = withNewRelease(t)
		d.State.Applied = t.seen.Target.Revision
	}
	d.alert(flaggerv1.SeverityError, "Rolling back %s %s", t.seen.canary(), aborted)
	d = t.then(d, rollBack(aborted))
	d.State.History = d.State.History.edit(func(r *flaggerv1.CanaryRelease) { r.By = by })
	return d, "rolled back"
}

// skipAnalysis leaves out the rest of the analysis.
func skipAnalysis(t transition, by string) (Decision, string) {
	d := t.unchanged()
	switch {
	case t.prev.Phase == flaggerv1.CanaryPhaseWaiting || waitsToBegin(t):
		d = startAnalysis(t)
	case !t.pinned():
		return d, "refused: the target is not the revision under analysis any more"
	}
	d.State.Hold = nil
	d.State = withRelease(t.from(d.State))
	d.State.History = d.State.History.edit(func(r *flaggerv1.CanaryRelease) { r.By, r.Reason = by, promotionCommanded })
	return d, "promoted once its pods are ready"
}

// retry makes a failed revision one that was never looked at.
func retry(t transition) (Decision, string) {
	d := t.unchanged()
	if t.prev.Phase != flaggerv1.CanaryPhaseFailed || !t.pinned() || t.prev.Applied == t.prev.Promoted {
		return d, "refused: there is no failed revision"
	}
	d.State.Applied = ""
	return d, "the revision is analysed again"
}
