// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"slices"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion/pullrequest"
)

// Proposal is the pull request of a stage as it was left.
type Proposal struct {
	Bundle string    `json:"bundle"`
	At     time.Time `json:"at"`
	// Head is the commit that was pushed last.
	Head string `json:"head,omitempty"`
	// Number of the pull request; 0 until it is seen open. After is that of the one before it.
	Number int64 `json:"number,omitempty"`
	After  int64 `json:"after,omitempty"`
	// Base is the branch that it was opened into. Empty if an earlier version noted the proposal: see [Proposal.IsInto].
	Base string `json:"base,omitempty"`
	// HandsOff is a head that somebody else pushed, which was commented on.
	HandsOff string `json:"handsOff,omitempty"`
	// Merged is since when it is seen merged, and the content does not have the bundle.
	Merged *time.Time `json:"merged,omitempty"`
	// Kind is Promotion or Rollback.
	Kind sluicev1.LandingKind `json:"kind"`
	// Targets that it is about, if the stage has any: those of a wave.
	Targets []string `json:"targets,omitempty"`
	// Queued is the head that was seen in the merge queue last.
	Queued string `json:"queued,omitempty"`
	// AutoMerge means that the forge was asked to merge it by itself.
	AutoMerge bool `json:"autoMerge,omitempty"`
}

// IsInto reports whether the proposal is into a branch. One that does not say its branch was noted by an
// earlier version, for which there was none but that of the stage.
func (p *Proposal) IsInto(branch string) bool { return p.Base == "" || p.Base == branch }

// isOf reports whether a pull request is the one of the proposal. What was opened by a process that
// crashed before it saw that came after the one before.
func (p *Proposal) isOf(pr *pullrequest.PullRequest) bool {
	return p.Number == pr.Number || p.Number == 0 && pr.Number > p.After
}

// Ignored is a bundle whose pull request a person closed.
type Ignored struct {
	Bundle string    `json:"bundle"`
	By     string    `json:"by,omitempty"`
	Number int64     `json:"number,omitempty"`
	At     time.Time `json:"at"`
	// Kind and Targets are those of the proposal, for it may be opened again.
	Kind    sluicev1.LandingKind `json:"kind,omitempty"`
	Targets []string             `json:"targets,omitempty"`
}

// abandonPullRequest forgets the pull request of a stage that takes none any more, and says that it is there.
func abandonPullRequest(s stageTransition) stageDecision {
	d, p := s.unchanged(), s.prev.Proposal
	if s.spec.Write.PullRequest != nil || p == nil {
		return d
	}
	d.state.Proposal = nil
	if p.Number > 0 {
		d.warn(pullRequestAbandoned, "pull request #%d of %s is left open: close it, for the stage takes none any more", p.Number, s.spec.Name)
	}
	return d
}

// endProposalElsewhere forgets a proposal into another branch than the one that the spec says now, once its pull
// request is not open any more. What became of it says nothing about the branch that the spec says.
func endProposalElsewhere(s stageTransition) stageDecision {
	d, p, pr := s.unchanged(), s.prev.Proposal, s.seen.PullRequest
	if p == nil || s.spec.Write.PullRequest == nil || s.seen.Problem != "" || p.IsInto(s.seen.Base) || pr != nil && pr.Open && p.isOf(pr) {
		return d
	}
	d.state.Proposal = nil
	return d
}

// recordPullRequest notes what became of the stage's pull request.
func recordPullRequest(s stageTransition) stageDecision {
	switch pr := s.seen.PullRequest; {
	case pr == nil:
	case pr.Open:
		d := recordReopened(s, *pr)
		d.state.Proposal = d.state.Proposal.seenOpen(*pr, s.seen.Pushed)
		return d
	case s.prev.Proposal != nil && s.prev.Proposal.isOf(pr): // or it is an earlier one
		return recordEnd(s, *pr)
	}
	return s.unchanged()
}

// recordReopened takes back that a bundle is ignored.
func recordReopened(s stageTransition, pr pullrequest.PullRequest) stageDecision {
	d := s.unchanged()
	i := slices.IndexFunc(s.prev.Ignored, func(i Ignored) bool { return i.Number == pr.Number })
	if i < 0 {
		return d
	}
	was := s.prev.Ignored[i]
	d.state.Ignored = slices.Delete(slices.Clone(s.prev.Ignored), i, i+1)
	if s.prev.Proposal == nil {
		d.state.Proposal = &Proposal{
			Bundle: was.Bundle, At: s.now, Number: pr.Number, Base: pr.Base, Targets: was.Targets,
			Kind: cmp.Or(was.Kind, sluicev1.LandingPromotion),
		}
	}
	d.addEvent("Reopened", "pull request #%d is open again: it proposes %s", pr.Number, s.name(was.Bundle))
	return d
}

// seenOpen returns the proposal with its open pull request: with the head that was pushed for its bundle, since no other
// head is merged; and with the head that is in the merge queue, since a head that a person or a failed check took out of
// the queue is not put into it again.
func (p *Proposal) seenOpen(pr pullrequest.PullRequest, pushed Pushed) *Proposal {
	if p == nil {
		return nil
	}
	next := *p
	if pr.Head == pushed.Head && p.Bundle == pushed.Bundle {
		next.Number, next.Head = pr.Number, pr.Head
	}
	if pr.Queued {
		next.Queued = pr.Head
	}
	return &next
}

// recordEnd notes that the pull request of the proposal was merged or closed.
func recordEnd(s stageTransition, pr pullrequest.PullRequest) stageDecision {
	d, p := s.unchanged(), *s.prev.Proposal
	if p.Number == 0 { // it ended before it was seen open
		p.Number, p.Head = pr.Number, pr.Head
	}
	switch {
	case pr.Merged && !hasTargets(s, p):
		return recordTakenOut(s, p)
	case !pr.Merged && !pr.ClosedByUs:
		d.state.Ignored = append(slices.Clip(s.prev.Ignored), Ignored{
			Bundle: p.Bundle, By: pr.ClosedBy, Number: pr.Number, At: s.now, Kind: p.Kind, Targets: p.Targets,
		})
		d.addEvent("Ignored",
			"%s closed pull request #%d: %s is not proposed to %s again; reopening it, or `sluice pipeline promote`, ends that",
			orSomebody(pr.ClosedBy), pr.Number, s.name(p.Bundle), s.spec.Name)
	}
	d.state.Proposal = nil
	return d
}

// showsAfter is how long it may take until the content has what was merged.
const showsAfter = 5 * time.Minute

// recordTakenOut ends what was asked for if its pull request was merged and the content does not
// have it: somebody took it out before anybody looked. They win, and what comes next goes on.
func recordTakenOut(s stageTransition, p Proposal) stageDecision {
	d := s.unchanged()
	if p.Merged == nil {
		p.Merged = &s.now
	}
	d.state.Proposal = &p
	if shows := p.Merged.Add(showsAfter); s.now.Before(shows) {
		d.waits = waiting{nextCheck: shows}
		return d
	}
	takenOut := func() {
		d.addEvent("TakenOut", "pull request #%d was merged, and somebody took %s out of %s again", p.Number, s.name(p.Bundle), s.spec.Name)
	}
	if pin := s.prev.Pin; pin != nil && pin.Bundle == p.Bundle {
		d.state.Pin = nil
		takenOut()
	}
	if w := s.prev.Writing; w != nil && w.Bundle == p.Bundle {
		d.state.Writing = nil
		takenOut()
	}
	return d
}

// hasTargets reports whether the targets that a pull request was about have its bundle: the
// waves after them have one each.
func hasTargets(s stageTransition, p Proposal) bool {
	return !slices.ContainsFunc(s.seen.lacking(s.bundle(p.Bundle)), func(t TargetObservation) bool {
		return len(p.Targets) == 0 || slices.Contains(p.Targets, t.Name)
	})
}
