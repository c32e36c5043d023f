package canary

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// promotionCommanded is the reason of a release that a person wants promoted
// unmeasured, from the command on.
const promotionCommanded = "promotion was commanded"

// obey carries out what a person wants, and records what came of it. It changes
// the state before the phase is looked at, so that every phase sees it alike.
func (t *turn) obey() {
	if t.Command == nil {
		return
	}
	command := *t.Command
	command.Outcome = t.carryOut(command)
	t.State.LastCommand = &command
	t.say("%s by %s: %s", command.Verb, somebody(command.By), command.Outcome)
	t.alert(flaggerv1.SeverityInfo)
}

func (t *turn) carryOut(command flaggerv1.CanaryCommand) string {
	switch command.Verb {
	case flaggerv1.CommandApprove:
		return t.approve()
	case flaggerv1.CommandHalt:
		return t.hold(flaggerv1.HoldHalt, command.By)
	case flaggerv1.CommandPause:
		return t.hold(flaggerv1.HoldPause, command.By)
	case flaggerv1.CommandRetry:
		return t.retry()
	}
	switch {
	case command.Verb == flaggerv1.CommandPromote && t.blocked():
		return t.skipAhead(command.By)
	case !t.underWay():
		return t.nothing()
	case command.Verb == flaggerv1.CommandAbort:
		t.abort(command.By)
		return "rolled back"
	default:
		return t.skipAhead(command.By)
	}
}

// underWay reports whether there is a revision that can still be stopped: one
// under analysis, or one that waits at the first gate.
func (t *turn) underWay() bool {
	return analysing(t.State.Phase) || t.State.Phase == flaggerv1.CanaryPhaseWaiting && t.fresh()
}

// blocked reports whether a revision is there whose release has not begun: what keeps
// it, such as a primary that is not ready, may be what it mends.
func (t *turn) blocked() bool {
	switch t.State.Phase {
	case flaggerv1.CanaryPhaseInitialized, flaggerv1.CanaryPhaseSucceeded, flaggerv1.CanaryPhaseFailed:
		return t.fresh()
	}
	return false
}

// nothing says why a command has nothing to work on.
func (t *turn) nothing() string {
	if promoting(t.State.Phase) {
		return "refused: the promotion has begun; go back in Git"
	}
	return fmt.Sprintf("refused: no release is under way, the phase is %s", t.State.Phase)
}

func (t *turn) approve() string {
	h := t.State.Hold
	switch {
	case h == nil:
		return "refused: nothing waits for an approval"
	case t.openRelease() != nil && t.openRelease().Revision != t.Target.Revision:
		return "refused: another revision has come"
	case h.Kind != flaggerv1.HoldGate:
		t.State.Hold = nil
		return "the release goes on"
	default:
		opened := *h
		opened.Approved = true
		t.State.Hold = &opened
		return fmt.Sprintf("gate %s is open", h.Gate)
	}
}

func (t *turn) hold(kind, by string) string {
	if !t.underWay() {
		return t.nothing()
	}
	if t.State.Phase == flaggerv1.CanaryPhaseWaiting {
		t.begun() // it is this revision that is meant
	}
	t.State.Hold = &flaggerv1.CanaryHold{Kind: kind, By: by, Since: metav1.NewTime(t.now)}
	return "the release is " + holdWords[kind]
}

// abort gives up the revision. One that waits at the first gate has no pods yet,
// and becomes a failed one all the same: it must not begin by itself.
func (t *turn) abort(by string) {
	if t.State.Phase == flaggerv1.CanaryPhaseWaiting {
		t.begun()
		t.State.Applied = t.Target.Revision
	}
	t.warn("Rolling back %s.%s aborted by %s", t.Canary, t.Namespace, somebody(by))
	t.alert(flaggerv1.SeverityError)
	t.rollback("aborted by " + somebody(by))
	t.State.History[0].By = by
	t.over = true
}

// skipAhead leaves out the rest of the analysis.
func (t *turn) skipAhead(by string) string {
	switch {
	case t.State.Phase == flaggerv1.CanaryPhaseWaiting || t.blocked():
		t.pin()
	case !t.pinned():
		return "refused: the target is not the revision under analysis any more"
	}
	t.State.Hold = nil
	release := t.release()
	release.By, release.Reason = by, promotionCommanded
	return "promoted once its pods are ready"
}

// commanded reports whether the rest of the analysis is to be left out.
func (t *turn) commanded() bool {
	open := t.openRelease()
	return open != nil && open.Reason == promotionCommanded
}

// retry makes a failed revision one that was never looked at.
func (t *turn) retry() string {
	if t.State.Phase != flaggerv1.CanaryPhaseFailed || !t.Target.Exists ||
		t.Target.Revision != t.State.Applied || t.State.Applied == t.State.Promoted {
		return "refused: there is no failed revision"
	}
	t.State.Applied = ""
	return "the revision is analysed again"
}
