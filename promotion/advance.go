// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// firstWave are the targets of the first wave among these.
func firstWave(targets []TargetObservation) []TargetObservation {
	var first []TargetObservation
	for _, t := range targets {
		switch {
		case len(first) == 0 || t.Wave < first[0].Wave:
			first = []TargetObservation{t}
		case t.Wave == first[0].Wave:
			first = append(first, t)
		}
	}
	return first
}

// shownLandings is how many landings a status has.
const shownLandings = 10

// waitingFor is what is waited for first, as the end of a sentence.
func waitingFor(gates []sluicev1.Gate) string {
	if len(gates) == 0 {
		return ""
	}
	return ": " + gates[0].Message
}

// advance gives the stage what it wants if all gates are open, and says where it stands.
func advance(s stageTransition) stageDecision {
	if s.seen.isUnseen() {
		return unseen(s)
	}
	return s.inSequence(abandonPullRequest, endProposalElsewhere, recordPullRequest, replanRollback, endPin, deliverBundle)
}

// deliverBundle writes or proposes what the stage is to be given.
func deliverBundle(s stageTransition) stageDecision {
	w, waits, proposes := bundleToDeliver(s)
	if w != nil {
		waits = waits.and(gatesBefore(s, *w))
	}
	status := stageStatus(s, w)
	d := s.unchanged()
	switch {
	case proposes:
		status.PullRequest = shownPullRequest(s, w)
		d = propose(s, w, waits.gates)
	case w != nil && len(waits.gates) == 0:
		d = write(s, *w)
	}
	d.waits = waits.and(d.waits)
	status.Waiting = d.waits.gates
	status.Phase, status.Message = phase(s, w, status)
	d.missing = cmp.Or(s.seen.problem(), missingObject(s.spec.Name, s.seen.Targets), s.seen.unreadable())
	if !strings.Contains(status.Message, d.missing) {
		status.Message += "; " + d.missing
	}
	d.status = status
	return d
}

// bundleToDeliver is what the stage is to be given, and whether by a pull request. One that is not to be changed any more
// comes before whatever is newer, but for a rollback.
func bundleToDeliver(s stageTransition) (w *desiredBundle, waits waiting, proposes bool) {
	chosen := choose(s)
	proposes = s.spec.Write.PullRequest != nil && !pastPullRequests(s.spec, chosen.bundle)
	takesBack := chosen.bundle != nil && chosen.bundle.kind == sluicev1.LandingRollback
	if kept := keptOpen(s); proposes && kept != nil && !takesBack {
		return kept, waiting{nextCheck: chosen.waits.nextCheck}, true
	}
	return chosen.bundle, chosen.waits, proposes
}

// unseen is where a stage stands that could not be looked at: where it stood, and why
// nobody knows more.
func unseen(s stageTransition) stageDecision {
	d := s.unchanged()
	d.waits = choose(s).waits
	d.status = stageStatus(s, nil)
	d.status.Waiting = d.waits.gates
	d.status.Phase, _ = phase(s, nil, d.status)
	d.status.Message = s.seen.Problem
	if has := s.prev.currentBundle(); has != "" {
		d.status.Message = s.name(has) + ": " + s.seen.Problem
	}
	return d
}

// pastPullRequests reports whether what is wanted is committed although the stage takes
// pull requests.
func pastPullRequests(spec *sluicev1.Stage, w *desiredBundle) bool {
	return w != nil && w.kind == sluicev1.LandingRollback && spec.OnFailure.Mode == sluicev1.RollbackByCommit
}

// write writes a bundle to the stage: a rollback to all targets, a promotion to those of
// the next wave.
func write(s stageTransition, w desiredBundle) stageDecision {
	d := s.unchanged()
	if s.prev.Writing == nil || s.prev.Writing.Bundle != w.bundle.ID {
		d.state.Writing = &Writing{Bundle: w.bundle.ID, Kind: w.kind, At: s.now, By: w.by, Reason: w.reason}
	}
	d.actions = []Action{Write{
		Stage: s.spec.Name, Targets: targetNames(s, w), Bundle: w.bundle, Kind: w.kind, From: s.prev.currentBundle(), By: w.by, Reason: w.reason,
	}}
	return d
}

// next are the targets that a bundle is written to next.
func next(s stageTransition, w desiredBundle) []TargetObservation {
	switch {
	case w.targets != nil:
		return w.targets
	case w.kind == sluicev1.LandingRollback:
		return s.seen.lacking(w.bundle)
	}
	return firstWave(s.seen.lacking(w.bundle))
}

// targetNames are those of the targets that a bundle is written to next.
func targetNames(s stageTransition, w desiredBundle) []string {
	to := next(s, w)
	names := make([]string, 0, len(to))
	for _, t := range to {
		names = append(names, t.Name)
	}
	return names
}

// stageStatus is what is seen of the stage, and what it wants.
func stageStatus(s stageTransition, w *desiredBundle) sluicev1.StageStatus {
	status := sluicev1.StageStatus{Name: s.spec.Name}
	if l := s.prev.current(); l != nil {
		b := s.bundle(l.Bundle)
		status.Has, status.Since = &b, &metav1.Time{Time: l.At}
		status.Commit, status.By = l.Commit, l.By
		if l.Verdict == VerdictVerified && l.VerdictAt != nil {
			status.Verified = &metav1.Time{Time: *l.VerdictAt}
		}
	}
	if w != nil {
		status.Wants = &w.bundle
	}
	for _, t := range s.seen.Targets {
		bundle, _ := s.pipeline.identify(t.Content, s.prev.expected(), s.newest)
		status.Targets = append(status.Targets, targetStatus(t, s.spec.Name, bundle.ID))
	}
	for _, l := range s.prev.Landings[:min(len(s.prev.Landings), shownLandings)] {
		status.Landings = append(status.Landings, sluicev1.Landing{
			Bundle: s.bundle(l.Bundle), At: metav1.Time{Time: l.At}, Kind: l.Kind, Commit: l.Commit, By: l.By, Verdict: l.Verdict, Reason: l.Reason,
		})
	}
	return status
}

// targetStatus is what is seen of a target of the stage of this name, which has that bundle.
func targetStatus(t TargetObservation, stage, bundle string) sluicev1.TargetStatus {
	status := sluicev1.TargetStatus{
		Name: t.Name, Bundle: bundle, Ready: metav1.ConditionUnknown,
		Message: cmp.Or(t.Content.Problem, t.missing(stage), t.Unreadable, t.Why),
	}
	switch t.Ready {
	case ReadinessReady:
		if !t.isUnknown() {
			status.Ready = metav1.ConditionTrue
		}
		status.Message = cmp.Or(status.Message, t.Evidence)
	case ReadinessFailed:
		status.Ready = metav1.ConditionFalse
	case ReadinessProgressing, ReadinessUnknown, ReadinessMissing:
	}
	return status
}

// phase says where the stage stands, in a word and in a sentence.
func phase(s stageTransition, w *desiredBundle, status sluicev1.StageStatus) (sluicev1.StagePhase, string) {
	l, gates := s.prev.current(), status.Waiting
	switch {
	case w != nil && w.kind == sluicev1.LandingRollback && (s.spec.Write.PullRequest == nil || pastPullRequests(s.spec, w)):
		return sluicev1.StageRollingBack, fmt.Sprintf("taking %s back to %s%s", s.spec.Name, Describe(w.bundle), because(w.reason))
	case status.PullRequest != nil && status.PullRequest.State == "open":
		return sluicev1.StageProposed, fmt.Sprintf("pull request #%d proposes %s%s",
			status.PullRequest.Number, s.name(status.PullRequest.Bundle), waitingFor(gates))
	case s.prev.Hold != nil:
		return sluicev1.StageHeld, fmt.Sprintf("held by %s%s", s.prev.Hold.By, because(s.prev.Hold.Reason))
	case w != nil && len(gates) > 0:
		return sluicev1.StageWaiting, Describe(w.bundle) + waitingFor(gates)
	case w != nil:
		return sluicev1.StageWriting, "writing " + Describe(w.bundle)
	case l == nil:
		return sluicev1.StageEmpty, cmp.Or(s.seen.problem(), "it has no bundle") + waitingFor(gates)
	case l.Verdict == VerdictFailed:
		return sluicev1.StageFailed, fmt.Sprintf("%s failed: %s", s.name(l.Bundle), l.Reason)
	case l.Verdict == "":
		return sluicev1.StageVerifying, fmt.Sprintf("%s: %s", s.name(l.Bundle), s.seen.whyUnverified(s.spec.Name, s.bundle(l.Bundle)))
	}
	return sluicev1.StageVerified, s.name(l.Bundle) + " is verified" + waitingFor(gates)
}
