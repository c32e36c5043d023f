// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"strings"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// State is what one decision leaves for the next: the part of the Canary's status
// that belongs to the state machine. A decision reads the previous state and makes a
// new one; what a state points to is never changed.
type State struct {
	// Target is the identity of the workload that the rest is about; empty if an
	// earlier version has not recorded it.
	Target       string
	Phase        flaggerv1.CanaryPhase
	FailedChecks int
	// Weight is the canary's percentage of the users.
	Weight int
	// Fallback is there while all users are on the canary because the primary cannot
	// answer. Its weight is the one that the release has given the canary itself.
	Fallback *flaggerv1.CanaryFallback
	// Iterations is the step of an analysis that does not move users step by step.
	Iterations int
	// Applied is the revision under analysis, or the last one that was.
	// Promoted is the one that the primary was last given for good.
	Applied, Promoted string
	// At is when the last check was made or the phase was entered.
	At time.Time
	// Hold is what keeps the release from going on; nil is nothing.
	Hold *flaggerv1.CanaryHold
	// LastCommand is the last command that was carried out.
	LastCommand *flaggerv1.CanaryCommand
	// Cookies keep users on the version that they saw first.
	Cookies Cookies
	// History has the last releases, the newest first. The first has no end while
	// it is under way.
	History History
}

// Started reports whether the analysis has entered its first step.
func (s State) Started() bool { return s.stepWeight() > 0 || s.Iterations > 0 }

// stepWeight is the canary's weight in the current step of the analysis. While the
// primary is down, more users than that are on the canary.
func (s State) stepWeight() int {
	if s.Fallback != nil {
		return s.Fallback.Weight
	}
	return s.Weight
}

// beforeFirstStep is the state without any step and failed check. Users whom a primary that is
// down has left to the canary stay there, and the step that another revision had reached does not.
func (s State) beforeFirstStep() State {
	s.FailedChecks, s.Iterations = 0, 0
	if s.Fallback != nil {
		s.Fallback = &flaggerv1.CanaryFallback{Since: s.Fallback.Since}
	}
	return s
}

// enter is the state in another phase.
func (s State) enter(phase flaggerv1.CanaryPhase, now time.Time) State {
	s.Phase, s.At = phase, now
	return s
}

// pinned reports whether the target is the revision under analysis.
func (s State) pinned(target Workload) bool {
	return target.Exists && s.Applied != "" && target.Revision == s.Applied
}

// newRevision reports whether the target is a revision that was neither analysed nor
// promoted.
func (s State) newRevision(target Workload) bool {
	return target.Exists && target.Revision != s.Applied && target.Revision != s.Promoted
}

// promotionBegun recognises a promotion that the phase does not tell of, such as one that
// failed, or whose status Flagger had no time to write: the primary has the revision under
// analysis, and only a good analysis gives it that.
func (s State) promotionBegun(primary Workload) bool {
	return s.Applied != "" && primary.Revision == s.Applied && s.Applied != s.Promoted
}

// underWay reports whether there is a revision that can still be stopped: one under
// analysis, or one that waits at the first gate.
func (s State) underWay(target Workload) bool {
	return analysing(s.Phase) || s.Phase == flaggerv1.CanaryPhaseWaiting && s.newRevision(target)
}

// Promoting reports whether the primary is being given a revision, so that its pods are of two.
func (s State) Promoting() bool { return promoting(s.Phase) }

// promoting reports whether the primary is being given a revision.
func promoting(phase flaggerv1.CanaryPhase) bool {
	return phase == flaggerv1.CanaryPhasePromoting || phase == flaggerv1.CanaryPhaseFinalising
}

// analysing reports whether a phase is one of an analysis.
func analysing(phase flaggerv1.CanaryPhase) bool {
	return phase == flaggerv1.CanaryPhaseProgressing || phase == flaggerv1.CanaryPhaseWaitingPromotion
}

// DigestPrefix starts every revision that Sluice names. Flagger's hashes have none,
// which is how a status that Flagger wrote is told from one of Sluice's own.
const DigestPrefix = "sha256:"

// Ours reports whether a revision was named by Sluice, and not by Flagger.
func Ours(revision string) bool { return strings.HasPrefix(revision, DigestPrefix) }
