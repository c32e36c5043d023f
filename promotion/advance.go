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
func advance(s *stage) sluicev1.StageStatus {
	if s.seen.isUnseen() {
		return unseen(s)
	}
	proposer{s}.abandon()
	proposer{s}.recordPullRequest()
	s.add(replanRollback(s.from()))
	s.add(endPin(s.from()))
	chosen := choose(s.from())
	w, gates := chosen.bundle, chosen.waits.gates
	s.lookAt(chosen.waits)
	proposes := s.spec.Write.PullRequest != nil && !pastPullRequests(s, w)
	takesBack := w != nil && w.kind == sluicev1.LandingRollback
	if frozen := (proposer{s}).keptOpen(); proposes && frozen != nil && !takesBack {
		w, gates = frozen, nil // whatever is newer
	}
	if w != nil {
		closed := gatesBefore(s.from(), *w)
		gates = append(gates, closed.gates...)
		s.lookAt(closed)
	}
	status := stageStatus(s, w)
	if proposes {
		gates = proposer{s}.propose(w, gates, &status)
	} else if w != nil && len(gates) == 0 {
		write(s, *w)
	}
	status.Waiting = gates
	status.Phase, status.Message = phase(s, w, gates, status)
	if missing := cmp.Or(s.seen.problem(), missingObject(s.spec.Name, s.seen.Targets), s.seen.unreadable()); missing != "" {
		s.transition.Missing = cmp.Or(s.transition.Missing, missing)
		if !strings.Contains(status.Message, missing) {
			status.Message += "; " + missing
		}
	}
	return status
}

// unseen is where a stage stands that could not be looked at: where it stood, and why
// nobody knows more.
func unseen(s *stage) sluicev1.StageStatus {
	status := stageStatus(s, nil)
	status.Waiting = choose(s.from()).waits.gates
	status.Phase, status.Message = phase(s, nil, status.Waiting, status)
	status.Message = s.seen.Problem
	if has := s.state.currentBundle(); has != "" {
		status.Message = s.name(has) + ": " + s.seen.Problem
	}
	return status
}

// pastPullRequests reports whether what is wanted is committed although the stage takes
// pull requests.
func pastPullRequests(s *stage, w *desiredBundle) bool {
	return w != nil && w.kind == sluicev1.LandingRollback && s.spec.OnFailure.Mode == sluicev1.RollbackByCommit
}

// write writes a bundle to the stage: a rollback to all targets, a promotion to those of
// the next wave.
func write(s *stage, w desiredBundle) {
	if s.state.Writing == nil || s.state.Writing.Bundle != w.bundle.ID {
		s.state.Writing = &Writing{Bundle: w.bundle.ID, Kind: w.kind, At: s.now, By: w.by, Reason: w.reason}
	}
	s.transition.addActions(Write{
		Stage: s.spec.Name, Targets: targets(s, w), Bundle: w.bundle, Kind: w.kind, From: s.state.currentBundle(), By: w.by, Reason: w.reason,
	})
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

// targets are their names.
func targets(s *stage, w desiredBundle) []string {
	to := next(s.from(), w)
	names := make([]string, 0, len(to))
	for _, t := range to {
		names = append(names, t.Name)
	}
	return names
}

// stageStatus is what is seen of the stage, and what it wants.
func stageStatus(s *stage, w *desiredBundle) sluicev1.StageStatus {
	status := sluicev1.StageStatus{Name: s.spec.Name}
	if l := s.state.current(); l != nil {
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
		status.Targets = append(status.Targets, targetStatus(s, t))
	}
	for _, l := range s.state.Landings[:min(len(s.state.Landings), shownLandings)] {
		b := s.bundle(l.Bundle)
		status.Landings = append(status.Landings, sluicev1.Landing{
			Bundle: b, At: metav1.Time{Time: l.At}, Kind: l.Kind, Commit: l.Commit, By: l.By, Verdict: l.Verdict, Reason: l.Reason,
		})
	}
	return status
}

func targetStatus(s *stage, t TargetObservation) sluicev1.TargetStatus {
	bundle, _ := s.transition.State.identify(t.Content, s.state.expected(), s.transition.seen.Newest)
	status := sluicev1.TargetStatus{
		Name: t.Name, Bundle: bundle.ID, Ready: metav1.ConditionUnknown,
		Message: cmp.Or(t.Content.Problem, t.missing(s.spec.Name), t.Unreadable, t.Why),
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
func phase(s *stage, w *desiredBundle, gates []sluicev1.Gate, status sluicev1.StageStatus) (sluicev1.StagePhase, string) {
	l := s.state.current()
	switch {
	case w != nil && w.kind == sluicev1.LandingRollback && (s.spec.Write.PullRequest == nil || pastPullRequests(s, w)):
		return sluicev1.StageRollingBack, fmt.Sprintf("taking %s back to %s%s", s.spec.Name, Describe(w.bundle), because(w.reason))
	case status.PullRequest != nil && status.PullRequest.State == "open":
		return sluicev1.StageProposed, fmt.Sprintf("pull request #%d proposes %s%s",
			status.PullRequest.Number, s.name(status.PullRequest.Bundle), waitingFor(gates))
	case s.state.Hold != nil:
		return sluicev1.StageHeld, fmt.Sprintf("held by %s%s", s.state.Hold.By, because(s.state.Hold.Reason))
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
