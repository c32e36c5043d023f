// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"fmt"
	"slices"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion/pullrequest"
)

func stopsProposals(g sluicev1.Gate) bool {
	switch g.Type {
	case sluicev1.GateHold, sluicev1.GateState, sluicev1.GateContent, sluicev1.GateVerdict:
		return true
	}
	return false
}

func gateText(gates []sluicev1.Gate) string {
	if len(gates) == 0 {
		return "all gates are open"
	}
	return gates[0].Message
}

// propose makes the stage's pull request what it should be, and says what it waits for besides
// the gates that are closed.
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
func propose(s stageTransition, w *desiredBundle, gates []sluicev1.Gate) stageDecision {
	pr := s.seen.PullRequest
	open := pr != nil && pr.Open
	switch {
	case w != nil && mergedAndGone(pr, s.prev.Proposal, w.bundle.ID):
		return s.waitForReview(s.prev.Proposal,
			"#%d is merged, and the branch does not show %s yet; if somebody took it out, `sluice pipeline promote` proposes it again",
			pr.Number, Describe(w.bundle))
	case open && s.seen.isElsewhere(*pr):
		return leaveElsewhere(s, *pr)
	case w == nil && open && isOurs(*pr, s.prev.Proposal):
		return closeUnwanted(s, *pr)
	case w == nil:
		return s.unchanged()
	case !open:
		return openPullRequest(s, *w, gates)
	}
	return updatePullRequest(s, *w, *pr, gates)
}

// shownPullRequest is the pull request that the status of the stage has: one that is open, if anything is
// wanted or it is left alone, or one whose merge does not show yet; nil is none.
func shownPullRequest(s stageTransition, w *desiredBundle) *sluicev1.PullRequestStatus {
	pr := s.seen.PullRequest
	open := pr != nil && pr.Open
	merged := w != nil && mergedAndGone(pr, s.prev.Proposal, w.bundle.ID)
	if !merged && (!open || w == nil && !s.seen.isElsewhere(*pr)) {
		return nil
	}
	shown := &sluicev1.PullRequestStatus{Number: pr.Number, URL: pr.URL, State: "merged"}
	if open {
		shown.State, shown.Frozen = "open", pr.Frozen()
	}
	if s.prev.Proposal != nil {
		shown.Bundle = s.prev.Proposal.Bundle
	}
	return shown
}

// waitForReview is the decision to wait for what becomes of the pull request of a proposal; nil is none.
func (s stageTransition) waitForReview(p *Proposal, format string, args ...any) stageDecision {
	d := s.unchanged()
	d.waits = waitFor(reviewGate(p, format, args...))
	return d
}

func reviewGate(p *Proposal, format string, args ...any) sluicev1.Gate {
	since := time.Time{}
	if p != nil {
		since = p.At
	}
	return gate(sluicev1.GateReview, since, time.Time{}, format, args...)
}

// mergedAndGone reports whether the pull request of a bundle was merged, and the content
// does not have the bundle: it will in a moment, or somebody took it out again.
func mergedAndGone(pr *pullrequest.PullRequest, p *Proposal, bundle string) bool {
	return pr != nil && !pr.Open && pr.Merged && p != nil && p.Bundle == bundle && p.isOf(pr)
}

// keptOpen is what an open pull request proposes that is not to be changed any more; nil if
// there is none.
func keptOpen(s stageTransition) *desiredBundle {
	pr, p := s.seen.PullRequest, s.prev.Proposal
	if pr == nil || !pr.Open || p == nil || s.seen.isElsewhere(*pr) || pr.Frozen() == "" || s.pipeline.quarantined(p.Bundle) != nil {
		return nil
	}
	if pin := s.prev.Pin; pin != nil && pin.Bundle == p.Bundle {
		return wants(s, *pin) // who asked for it does not approve it
	}
	return wants(s, Writing{Bundle: p.Bundle, Kind: p.Kind})
}

// isOurs reports whether what a pull request proposes was pushed by us.
func isOurs(pr pullrequest.PullRequest, p *Proposal) bool {
	return pr.HeadOurs || p != nil && pr.Head == p.Head
}

// isElsewhere reports whether a pull request is into another branch than the one that the stage is
// written to: somebody changed its base, or the spec says another branch now.
func (o StageObservation) isElsewhere(pr pullrequest.PullRequest) bool { return pr.Base != o.Base }

// leaveElsewhere is what is done about a pull request into another branch: nothing is pushed to it or merged. One
// that is still into the branch that we opened it into is closed: the spec says another one now. Its proposal stays
// until it is seen closed, for it is found by that alone: see [endProposalElsewhere].
func leaveElsewhere(s stageTransition, pr pullrequest.PullRequest) stageDecision {
	if p := s.prev.Proposal; p != nil && p.Base == pr.Base && !pr.Queued {
		d := closePullRequest(s, pr, fmt.Sprintf("%s is written to branch %s now", s.spec.Name, s.seen.Base))
		d.state.Proposal = p
		d.waits = waitFor(reviewGate(nil, "#%d is into branch %s, and is being closed", pr.Number, pr.Base))
		return d
	}
	return s.waitForReview(s.prev.Proposal, "#%d is into branch %s now, so that it is left alone: make it one into %s again, or close it",
		pr.Number, pr.Base, s.seen.Base)
}

// closeUnwanted ends a pull request that proposes what nobody wants any more.
func closeUnwanted(s stageTransition, pr pullrequest.PullRequest) stageDecision {
	why := "it is not wanted any more"
	if p := s.prev.Proposal; p != nil {
		switch q := s.pipeline.quarantined(p.Bundle); {
		case s.hasEverywhere(p.Bundle):
			why = fmt.Sprintf("%s has %s already", s.spec.Name, s.name(p.Bundle))
		case q != nil:
			why = fmt.Sprintf("%s is in quarantine: %s", s.name(p.Bundle), q.Reason)
		}
	}
	return closePullRequest(s, pr, why)
}

func closePullRequest(s stageTransition, pr pullrequest.PullRequest, why string) stageDecision {
	d := s.unchanged()
	d.state.Proposal = nil
	d.actions = []Action{ClosePullRequest{Stage: s.spec.Name, Number: pr.Number, Comment: "Closed by Sluice: " + why + "."}}
	return d
}

// openPullRequest opens a pull request. Gates keep it from being merged, not from being opened,
// unless a person holds the stage, or nothing may be promoted at all.
func openPullRequest(s stageTransition, w desiredBundle, gates []sluicev1.Gate) stageDecision {
	if slices.ContainsFunc(gates, stopsProposals) {
		return s.unchanged()
	}
	draft := s.spec.Write.PullRequest.Draft && len(gates) > 0
	d := push(s, w, Propose{Draft: draft})
	d.waits = waitFor(reviewGate(d.state.Proposal, "a pull request is being opened"))
	return d
}

// push makes the head of a pull request anew: of the one that is said, or of one that is opened.
func push(s stageTransition, w desiredBundle, a Propose) stageDecision {
	d := s.unchanged()
	a.Stage, a.Targets, a.Bundle, a.Kind, a.By, a.Reason = s.spec.Name, targetNames(s, w), w.bundle, w.kind, w.by, w.reason
	a.From = s.prev.currentBundle()
	if p := s.prev.Proposal; p == nil || p.Bundle != w.bundle.ID || p.Number != a.Number {
		d.state.Proposal = newProposal(s, a)
	}
	d.actions = []Action{a}
	return d
}

// newProposal is the proposal of another bundle, or in another pull request, than the last one.
func newProposal(s stageTransition, a Propose) *Proposal {
	p := &Proposal{Bundle: a.Bundle.ID, At: s.now, Number: a.Number, Kind: a.Kind, Base: s.seen.Base}
	if len(s.spec.Targets) > 0 {
		p.Targets = a.Targets
	}
	if was := s.prev.Proposal; was != nil && a.Number > 0 && was.Number == a.Number {
		p.AutoMerge = was.AutoMerge
	}
	if last := s.seen.PullRequest; a.Number == 0 && last != nil {
		p.After = last.Number
	}
	return p
}

// staysDraft reports whether an open pull request is to be a draft when its head is made anew. Where the spec has no
// drafts, one that a person made a draft stays that, but for a rollback.
func staysDraft(spec *sluicev1.PullRequest, pr pullrequest.PullRequest, kind sluicev1.LandingKind, gates []sluicev1.Gate) bool {
	if spec.Draft {
		return len(gates) > 0
	}
	return pr.Draft && kind != sluicev1.LandingRollback
}

// updatePullRequest makes an open pull request what it should be, and merges it if it may.
func updatePullRequest(s stageTransition, w desiredBundle, pr pullrequest.PullRequest, gates []sluicev1.Gate) stageDecision {
	p, ours := s.prev.Proposal, isOurs(pr, s.prev.Proposal)
	switch {
	case pr.Queued:
		return s.waitForReview(p, "#%d is in the merge queue", pr.Number)
	case !ours && !pr.Retry:
		return leaveAlone(s, pr, gates)
	case p == nil || p.Bundle != w.bundle.ID || p.Number != pr.Number || p.Head != pr.Head && ours || pr.Retry && !ours,
		pr.Conflicted, pr.IsStale() && len(gates) == 0:
		if slices.ContainsFunc(gates, stopsProposals) {
			return s.unchanged()
		}
		d := push(s, w, Propose{Number: pr.Number, Draft: staysDraft(s.spec.Write.PullRequest, pr, w.kind, gates)})
		d.waits = waitFor(reviewGate(d.state.Proposal, "#%d is being updated", pr.Number))
		return d
	}
	return mergePullRequest(s, pr, gates)
}

// leaveAlone is what is done about a pull request that somebody else committed to: one
// comment. Where it goes is up to them, and the content tells whether it landed.
func leaveAlone(s stageTransition, pr pullrequest.PullRequest, gates []sluicev1.Gate) stageDecision {
	d := s.unchanged()
	if p := s.prev.Proposal; p == nil || p.HandsOff != pr.Head {
		next := Proposal{At: s.now, Number: pr.Number, Base: pr.Base, Kind: sluicev1.LandingPromotion}
		if p != nil {
			next = *p
		}
		next.HandsOff = pr.Head
		d.state.Proposal = &next
		d.actions = append(d.actions, Comment{
			Stage: s.spec.Name, Number: pr.Number,
			Text: "Somebody else committed to this branch, so Sluice leaves it alone. " +
				"The label `sluice/retry` discards those commits and hands it back.",
		})
	}
	d.actions = append(d.actions, SetStatus{Stage: s.spec.Name, Head: pr.Head, Open: len(gates) == 0, Message: gateText(gates)})
	d.waits = waitFor(reviewGate(d.state.Proposal,
		"somebody else committed to #%d: it is theirs to merge; the label sluice/retry hands it back", pr.Number))
	return d
}
