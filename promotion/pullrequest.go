// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// propose makes the stage's pull request what it should be, and returns what the stage
// waits for.
//
//	none          --wanted-------------------> opened
//	open          --another bundle-----------> updated, unless it is approved, queued or kept
//	              --conflict, behind---------> made anew
//	              --somebody else's commit---> left alone; a label hands it back
//	              --all gates open, green----> merged
//	              --not wanted any more------> closed
//	closed        --by a person--------------> its bundle is not proposed again
//	              --by us--------------------> forgotten
//	merged        --------------------------> the content decides
func (s *stageRound) propose(w *want, gates []sluicev1.Gate, status *sluicev1.StageStatus) []sluicev1.Gate {
	pr := s.seen.PullRequest
	open := pr != nil && pr.Open
	if w != nil && s.mergedAndGone(w.bundle.ID) {
		s.show(status, pr)
		return append(gates, s.reviewGate("#%d is merged, and the branch does not have %s", pr.Number, Describe(w.bundle)))
	}
	if open {
		w = s.keepFrozen(w, status)
	}
	switch {
	case w == nil && open && s.isOurs(pr):
		s.close(pr)
		return gates
	case w == nil:
		return gates
	case !open:
		return s.open(*w, gates)
	}
	s.show(status, pr)
	return append(gates, s.update(*w, pr, gates)...)
}

// mergedAndGone reports whether the pull request of a bundle was merged, and the content
// does not have the bundle: it will in a moment, or somebody took it out again.
func (s *stageRound) mergedAndGone(bundle string) bool {
	pr, p := s.seen.PullRequest, s.state.Proposal
	return pr != nil && !pr.Open && pr.Merged && p != nil && p.Bundle == bundle
}

// keepFrozen is what an open pull request goes on to propose if it is not to be changed
// any more, and what is wanted otherwise.
func (s *stageRound) keepFrozen(w *want, status *sluicev1.StageStatus) *want {
	p := s.state.Proposal
	if p == nil || !s.stillGood(p.Bundle) {
		return w
	}
	why := s.frozen(s.seen.PullRequest)
	if why == "" {
		return w
	}
	status.PullRequest = &sluicev1.PullRequestStatus{Frozen: why}
	return s.wants(Writing{Bundle: p.Bundle, Kind: p.Kind})
}

// recordPullRequest notes what became of the stage's pull request.
func (s *stageRound) recordPullRequest() {
	switch pr := s.seen.PullRequest; {
	case pr == nil:
	case pr.Open:
		s.recordReopened(pr)
	case s.state.Proposal != nil:
		s.recordEnd(pr)
	}
}

// stillGood reports whether a bundle that was proposed may still be.
func (s *stageRound) stillGood(id string) bool {
	return s.State.quarantined(id) == nil && !s.hasEverywhere(id)
}

// isOurs reports whether what a pull request proposes was pushed by us.
func (s *stageRound) isOurs(pr *PullRequest) bool {
	return pr.HeadOurs || s.state.Proposal != nil && pr.Head == s.state.Proposal.Head
}

// recordEnd notes that a pull request was merged or closed.
func (s *stageRound) recordEnd(pr *PullRequest) {
	p := s.state.Proposal
	switch {
	case p.Number != pr.Number:
		return // an earlier one
	case pr.Merged && s.hasEverywhere(p.Bundle):
		s.state.Proposal = nil
	case pr.Merged:
		return // the content shows it in a moment, or somebody took it out again
	case pr.ClosedByUs:
		s.state.Proposal = nil
	default:
		s.state.Ignored = append(s.state.Ignored, Ignored{Bundle: p.Bundle, By: pr.ClosedBy, Number: pr.Number, At: s.now})
		s.state.Proposal = nil
		s.say(s.spec.Name, "Ignored", "%s closed pull request #%d: %s is not proposed to %s again; reopening it, or `sluice pipeline promote`, ends that",
			orSomebody(pr.ClosedBy), pr.Number, s.name(p.Bundle), s.spec.Name)
	}
}

// recordReopened takes back that a bundle is ignored.
func (s *stageRound) recordReopened(pr *PullRequest) {
	i := slices.IndexFunc(s.state.Ignored, func(i Ignored) bool { return i.Number == pr.Number })
	if i < 0 {
		return
	}
	bundle := s.state.Ignored[i].Bundle
	s.state.Ignored = slices.Delete(s.state.Ignored, i, i+1)
	if s.state.Proposal == nil {
		s.state.Proposal = &Proposal{Bundle: bundle, At: s.now, Number: pr.Number, Head: pr.Head, Kind: sluicev1.LandingPromotion}
	}
	s.say(s.spec.Name, "Reopened", "pull request #%d is open again: it proposes %s", pr.Number, s.name(bundle))
}

// frozen says why a pull request keeps its bundle although there is a newer one.
func (s *stageRound) frozen(pr *PullRequest) string {
	switch {
	case pr.Queued:
		return "it is in the merge queue"
	case pr.Approved:
		return "it is approved"
	case pr.Keep:
		return "it has the label sluice/keep"
	}
	return ""
}

// show puts the pull request into the status.
func (s *stageRound) show(status *sluicev1.StageStatus, pr *PullRequest) {
	shown := cmp.Or(status.PullRequest, &sluicev1.PullRequestStatus{})
	shown.Number, shown.URL, shown.State = pr.Number, pr.URL, "closed"
	switch {
	case pr.Open:
		shown.State = "open"
	case pr.Merged:
		shown.State = "merged"
	}
	if s.state.Proposal != nil {
		shown.Bundle = s.state.Proposal.Bundle
	}
	status.PullRequest = shown
}

func (s *stageRound) reviewGate(format string, args ...any) sluicev1.Gate {
	since := time.Time{}
	if s.state.Proposal != nil {
		since = s.state.Proposal.At
	}
	return gate(sluicev1.GateReview, since, time.Time{}, format, args...)
}

// close ends a pull request that proposes what nobody wants any more.
func (s *stageRound) close(pr *PullRequest) {
	why := "it is not wanted any more"
	if p := s.state.Proposal; p != nil {
		switch q := s.State.quarantined(p.Bundle); {
		case s.hasEverywhere(p.Bundle):
			why = fmt.Sprintf("%s has %s already", s.spec.Name, s.name(p.Bundle))
		case q != nil:
			why = fmt.Sprintf("%s is in quarantine: %s", s.name(p.Bundle), q.Reason)
		}
	}
	s.state.Proposal = nil
	s.do(ClosePullRequest{Stage: s.spec.Name, Number: pr.Number, Comment: "Closed by Sluice: " + why + "."})
}

// open opens a pull request. Gates keep it from being merged, not from being opened,
// unless a person holds the stage, or nothing may be promoted at all.
func (s *stageRound) open(w want, gates []sluicev1.Gate) []sluicev1.Gate {
	if slices.ContainsFunc(gates, stopsProposals) {
		return gates
	}
	s.push(w, 0, gates)
	return append(gates, s.reviewGate("a pull request is being opened"))
}

func stopsProposals(g sluicev1.Gate) bool {
	switch g.Type {
	case sluicev1.GateHold, sluicev1.GateState, sluicev1.GateContent, sluicev1.GateVerdict:
		return true
	}
	return false
}

// push makes the head of the pull request anew.
func (s *stageRound) push(w want, number int64, gates []sluicev1.Gate) {
	p := s.state.Proposal
	if p == nil || p.Bundle != w.bundle.ID || p.Number != number {
		s.state.Proposal = &Proposal{Bundle: w.bundle.ID, At: s.now, Number: number, Kind: w.kind}
	}
	s.do(Propose{
		Stage: s.spec.Name, Targets: s.targets(w), Bundle: w.bundle, Kind: w.kind, From: s.has(), By: w.by, Reason: w.reason,
		Number: number, Draft: s.spec.Write.PullRequest.Draft && len(gates) > 0,
	})
}

// update makes an open pull request what it should be, and merges it if it may.
func (s *stageRound) update(w want, pr *PullRequest, gates []sluicev1.Gate) []sluicev1.Gate {
	p := s.state.Proposal
	switch {
	case pr.Queued:
		return []sluicev1.Gate{s.reviewGate("#%d is in the merge queue", pr.Number)}
	case !s.isOurs(pr) && !pr.Retry:
		return []sluicev1.Gate{s.leaveAlone(pr, gates)}
	case p == nil || p.Bundle != w.bundle.ID || p.Number != pr.Number || pr.Conflicted || pr.Retry && !s.isOurs(pr),
		pr.Behind && pr.MustBeUpToDate && len(gates) == 0:
		if slices.ContainsFunc(gates, stopsProposals) {
			return nil
		}
		s.push(w, pr.Number, gates)
		return []sluicev1.Gate{s.reviewGate("#%d is being updated", pr.Number)}
	}
	return s.merge(pr, gates)
}

// leaveAlone is what is done about a pull request that somebody else committed to: one
// comment. Where it goes is up to them, and the content tells whether it landed.
func (s *stageRound) leaveAlone(pr *PullRequest, gates []sluicev1.Gate) sluicev1.Gate {
	if p := s.state.Proposal; p == nil || p.HandsOff != pr.Head {
		if p == nil {
			s.state.Proposal = &Proposal{At: s.now, Number: pr.Number, Kind: sluicev1.LandingPromotion}
		} else {
			next := *p
			s.state.Proposal = &next
		}
		s.state.Proposal.HandsOff = pr.Head
		s.do(Comment{Stage: s.spec.Name, Number: pr.Number, Text: "Somebody else committed to this branch, so Sluice leaves it alone. " +
			"The label `sluice/retry` discards those commits and hands it back."})
	}
	s.do(SetStatus{Stage: s.spec.Name, Head: pr.Head, Open: len(gates) == 0, Message: gateText(gates)})
	return s.reviewGate("somebody else committed to #%d: it is theirs to merge; the label sluice/retry hands it back", pr.Number)
}

func gateText(gates []sluicev1.Gate) string {
	if len(gates) == 0 {
		return "all gates are open"
	}
	return gates[0].Message
}

// merge merges a pull request once all gates are open and the forge has what it asks for.
// What a forge merges by itself it merges whenever it likes, so it is asked to only while
// all gates are open.
func (s *stageRound) merge(pr *PullRequest, gates []sluicev1.Gate) []sluicev1.Gate {
	stage, spec := s.spec.Name, s.spec.Write.PullRequest
	if draft := spec.Draft && len(gates) > 0; draft != pr.Draft {
		s.do(SetDraft{Stage: stage, Number: pr.Number, Draft: draft})
	}
	s.do(SetStatus{Stage: stage, Head: pr.Head, Open: len(gates) == 0, Message: gateText(gates)})
	if len(gates) > 0 {
		if pr.AutoMerge {
			s.do(SetAutoMerge{Stage: stage, Number: pr.Number, Head: pr.Head})
		}
		return nil
	}
	switch {
	case spec.AutoMerge == sluicev1.AutoMergeNever:
		return []sluicev1.Gate{s.reviewGate("a person has to merge #%d", pr.Number)}
	case pr.Checks == Ready && !pr.Draft:
		s.do(Merge{Stage: stage, Number: pr.Number, Head: pr.Head, Queue: pr.MustQueue})
		return []sluicev1.Gate{s.reviewGate("#%d is being merged", pr.Number)}
	case spec.AutoMerge == sluicev1.AutoMergePlatform && !pr.AutoMerge && pr.Checks == Unready && !s.hasWindows():
		s.do(SetAutoMerge{Stage: stage, Number: pr.Number, Head: pr.Head, On: true})
	}
	return []sluicev1.Gate{s.reviewGate("#%d: %s", pr.Number, cmp.Or(pr.Why, "its checks are not complete"))}
}

// hasWindows reports whether the stage has windows, outside of which a forge that merges
// by itself might merge.
func (s *stageRound) hasWindows() bool { return len(s.spec.Windows) > 0 }
