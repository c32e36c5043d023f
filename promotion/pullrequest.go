// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion/pullrequest"
)

// proposer keeps the pull request of a stage what it should be.
type proposer struct{ stage *stage }

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
func (r proposer) propose(w *desiredBundle, gates []sluicev1.Gate, status *sluicev1.StageStatus) []sluicev1.Gate {
	pr := r.stage.seen.PullRequest
	open := pr != nil && pr.Open
	if w != nil && r.mergedAndGone(w.bundle.ID) {
		r.show(status, pr)
		return append(gates, r.reviewGate(
			"#%d is merged, and the branch does not show %s yet; if somebody took it out, `sluice pipeline promote` proposes it again",
			pr.Number, Describe(w.bundle)))
	}
	switch {
	case open && r.isElsewhere(pr):
		r.show(status, pr)
		return append(gates, r.leaveElsewhere(pr))
	case w == nil && open && r.isOurs(pr):
		r.close(pr)
		return gates
	case w == nil:
		return gates
	case !open:
		return r.open(*w, gates)
	}
	r.show(status, pr)
	return append(gates, r.update(*w, pr, gates)...)
}

// mergedAndGone reports whether the pull request of a bundle was merged, and the content
// does not have the bundle: it will in a moment, or somebody took it out again.
func (r proposer) mergedAndGone(bundle string) bool {
	pr, p := r.stage.seen.PullRequest, r.stage.state.Proposal
	return pr != nil && !pr.Open && pr.Merged && p != nil && p.Bundle == bundle && p.isOf(pr)
}

// keptOpen is what an open pull request proposes that is not to be changed any more; nil if
// there is none.
func (r proposer) keptOpen() *desiredBundle {
	pr, p := r.stage.seen.PullRequest, r.stage.state.Proposal
	if pr == nil || !pr.Open || p == nil || r.isElsewhere(pr) || pr.Frozen() == "" || r.stage.quarantined(p.Bundle) != nil {
		return nil
	}
	w := Writing{Bundle: p.Bundle, Kind: p.Kind}
	if pin := r.stage.state.Pin; pin != nil && pin.Bundle == p.Bundle {
		w = *pin // who asked for it does not approve it
	}
	return wants(r.stage.from(), w)
}

// abandon forgets the pull request of a stage that takes none any more, and says that it is there.
func (r proposer) abandon() {
	p := r.stage.state.Proposal
	if r.stage.spec.Write.PullRequest != nil || p == nil {
		return
	}
	r.stage.state.Proposal = nil
	if p.Number > 0 {
		r.stage.warn(pullRequestAbandoned, "pull request #%d of %s is left open: close it, for the stage takes none any more",
			p.Number, r.stage.spec.Name)
	}
}

// recordPullRequest notes what became of the stage's pull request.
func (r proposer) recordPullRequest() {
	switch pr := r.stage.seen.PullRequest; {
	case pr == nil:
	case pr.Open:
		r.recordReopened(pr)
		r.recordPushed(pr)
		r.recordQueued(pr)
	case r.stage.state.Proposal != nil:
		r.recordEnd(pr)
	}
}

// recordPushed notes the head that was pushed for a bundle, and its pull request: no other
// head is merged, whoever says that it has the bundle.
func (r proposer) recordPushed(pr *pullrequest.PullRequest) {
	p, pushed := r.stage.state.Proposal, r.stage.seen.Pushed
	if p == nil || pr.Head != pushed.Head || p.Bundle != pushed.Bundle || p.Head == pr.Head && p.Number == pr.Number {
		return
	}
	next := *p
	next.Number, next.Head = pr.Number, pr.Head
	r.stage.state.Proposal = &next
}

// isOurs reports whether what a pull request proposes was pushed by us.
func (r proposer) isOurs(pr *pullrequest.PullRequest) bool {
	return pr.HeadOurs || r.stage.state.Proposal != nil && pr.Head == r.stage.state.Proposal.Head
}

// recordEnd notes that a pull request was merged or closed.
func (r proposer) recordEnd(pr *pullrequest.PullRequest) {
	p := r.stage.state.Proposal
	if !p.isOf(pr) {
		return // it is an earlier one
	}
	if p.Number == 0 {
		next := *p // it ended before it was seen open
		next.Number, next.Head = pr.Number, pr.Head
		p, r.stage.state.Proposal = &next, &next
	}
	switch {
	case pr.Merged && r.landed(p):
		r.stage.state.Proposal = nil
	case pr.Merged:
		r.recordTakenOut(p)
	case pr.ClosedByUs:
		r.stage.state.Proposal = nil
	default:
		r.stage.state.Ignored = append(r.stage.state.Ignored, Ignored{
			Bundle: p.Bundle, By: pr.ClosedBy, Number: pr.Number, At: r.stage.now, Kind: p.Kind, Targets: p.Targets,
		})
		r.stage.state.Proposal = nil
		r.stage.addEvent("Ignored",
			"%s closed pull request #%d: %s is not proposed to %s again; reopening it, or `sluice pipeline promote`, ends that",
			orSomebody(pr.ClosedBy), pr.Number, r.stage.name(p.Bundle), r.stage.spec.Name)
	}
}

// showsAfter is how long it may take until the content has what was merged.
const showsAfter = 5 * time.Minute

// recordTakenOut ends what was asked for if its pull request was merged and the content does not
// have it: somebody took it out before anybody looked. They win, and what comes next goes on.
func (r proposer) recordTakenOut(p *Proposal) {
	s := r.stage
	if p.Merged == nil {
		next := *p
		next.Merged = &s.now
		s.state.Proposal, p = &next, &next
	}
	if shows := p.Merged.Add(showsAfter); s.now.Before(shows) {
		s.requeueAt(shows)
		return
	}
	if pin := s.state.Pin; pin != nil && pin.Bundle == p.Bundle {
		s.state.Pin = nil
		s.addEvent("TakenOut", "pull request #%d was merged, and somebody took %s out of %s again", p.Number, s.name(p.Bundle), s.spec.Name)
	}
	if w := s.state.Writing; w != nil && w.Bundle == p.Bundle {
		s.state.Writing = nil
		s.addEvent("TakenOut", "pull request #%d was merged, and somebody took %s out of %s again", p.Number, s.name(p.Bundle), s.spec.Name)
	}
}

// landed reports whether the targets that a pull request was about have its bundle: the
// waves after them have one each.
func (r proposer) landed(p *Proposal) bool {
	return !r.stage.seen.isUnseen() && !slices.ContainsFunc(r.stage.seen.lacking(r.stage.bundle(p.Bundle)), func(t TargetObservation) bool {
		return len(p.Targets) == 0 || slices.Contains(p.Targets, t.Name)
	})
}

// recordReopened takes back that a bundle is ignored.
func (r proposer) recordReopened(pr *pullrequest.PullRequest) {
	i := slices.IndexFunc(r.stage.state.Ignored, func(i Ignored) bool { return i.Number == pr.Number })
	if i < 0 {
		return
	}
	was := r.stage.state.Ignored[i]
	r.stage.state.Ignored = slices.Delete(r.stage.state.Ignored, i, i+1)
	if r.stage.state.Proposal == nil {
		r.stage.state.Proposal = &Proposal{
			Bundle: was.Bundle, At: r.stage.now, Number: pr.Number, Targets: was.Targets,
			Kind: cmp.Or(was.Kind, sluicev1.LandingPromotion),
		}
	}
	r.stage.addEvent("Reopened", "pull request #%d is open again: it proposes %s", pr.Number, r.stage.name(was.Bundle))
}

// show puts the pull request into the status.
func (r proposer) show(status *sluicev1.StageStatus, pr *pullrequest.PullRequest) {
	shown := &sluicev1.PullRequestStatus{Number: pr.Number, URL: pr.URL, State: "closed"}
	switch {
	case pr.Open:
		shown.State, shown.Frozen = "open", pr.Frozen()
	case pr.Merged:
		shown.State = "merged"
	}
	if r.stage.state.Proposal != nil {
		shown.Bundle = r.stage.state.Proposal.Bundle
	}
	status.PullRequest = shown
}

func (r proposer) reviewGate(format string, args ...any) sluicev1.Gate {
	since := time.Time{}
	if r.stage.state.Proposal != nil {
		since = r.stage.state.Proposal.At
	}
	return gate(sluicev1.GateReview, since, time.Time{}, format, args...)
}

// close ends a pull request that proposes what nobody wants any more.
func (r proposer) close(pr *pullrequest.PullRequest) {
	why := "it is not wanted any more"
	if p := r.stage.state.Proposal; p != nil {
		switch q := r.stage.quarantined(p.Bundle); {
		case r.stage.from().hasEverywhere(p.Bundle):
			why = fmt.Sprintf("%s has %s already", r.stage.spec.Name, r.stage.name(p.Bundle))
		case q != nil:
			why = fmt.Sprintf("%s is in quarantine: %s", r.stage.name(p.Bundle), q.Reason)
		}
	}
	r.closeWith(pr, why)
}

func (r proposer) closeWith(pr *pullrequest.PullRequest, why string) {
	r.stage.state.Proposal = nil
	r.stage.transition.addActions(ClosePullRequest{Stage: r.stage.spec.Name, Number: pr.Number, Comment: "Closed by Sluice: " + why + "."})
}

// open opens a pull request. Gates keep it from being merged, not from being opened,
// unless a person holds the stage, or nothing may be promoted at all.
func (r proposer) open(w desiredBundle, gates []sluicev1.Gate) []sluicev1.Gate {
	if slices.ContainsFunc(gates, stopsProposals) {
		return gates
	}
	r.push(w, 0, gates)
	return append(gates, r.reviewGate("a pull request is being opened"))
}

// push makes the head of the pull request anew.
func (r proposer) push(w desiredBundle, number int64, gates []sluicev1.Gate) {
	p, to := r.stage.state.Proposal, targets(r.stage, w)
	if p == nil || p.Bundle != w.bundle.ID || p.Number != number {
		next := &Proposal{Bundle: w.bundle.ID, At: r.stage.now, Number: number, Kind: w.kind, Base: r.stage.seen.Base}
		if len(r.stage.spec.Targets) > 0 {
			next.Targets = to
		}
		next.AutoMerge = p != nil && number > 0 && p.Number == number && p.AutoMerge
		if last := r.stage.seen.PullRequest; number == 0 && last != nil {
			next.After = last.Number
		}
		r.stage.state.Proposal = next
	}
	r.stage.transition.addActions(Propose{
		Stage: r.stage.spec.Name, Targets: to, Bundle: w.bundle, Kind: w.kind, From: r.stage.state.currentBundle(), By: w.by, Reason: w.reason,
		Number: number, Draft: r.draft(w, number, gates),
	})
}

// draft reports whether the pull request is to be a draft when its head is made anew. Where the spec has no
// drafts, one that a person made a draft stays that, but for a rollback.
func (r proposer) draft(w desiredBundle, number int64, gates []sluicev1.Gate) bool {
	if r.stage.spec.Write.PullRequest.Draft {
		return len(gates) > 0
	}
	return number > 0 && r.stage.seen.PullRequest.Draft && w.kind != sluicev1.LandingRollback
}

// update makes an open pull request what it should be, and merges it if it may.
func (r proposer) update(w desiredBundle, pr *pullrequest.PullRequest, gates []sluicev1.Gate) []sluicev1.Gate {
	p := r.stage.state.Proposal
	switch {
	case pr.Queued:
		return []sluicev1.Gate{r.reviewGate("#%d is in the merge queue", pr.Number)}
	case !r.isOurs(pr) && !pr.Retry:
		return []sluicev1.Gate{r.leaveAlone(pr, gates)}
	case p == nil || p.Bundle != w.bundle.ID || p.Number != pr.Number || p.Head != pr.Head && r.isOurs(pr) || pr.Retry && !r.isOurs(pr),
		pr.Conflicted, pr.IsStale() && len(gates) == 0:
		if slices.ContainsFunc(gates, stopsProposals) {
			return nil
		}
		r.push(w, pr.Number, gates)
		return []sluicev1.Gate{r.reviewGate("#%d is being updated", pr.Number)}
	}
	return merger(r).merge(pr, gates)
}

// leaveAlone is what is done about a pull request that somebody else committed to: one
// comment. Where it goes is up to them, and the content tells whether it landed.
func (r proposer) leaveAlone(pr *pullrequest.PullRequest, gates []sluicev1.Gate) sluicev1.Gate {
	if p := r.stage.state.Proposal; p == nil || p.HandsOff != pr.Head {
		if p == nil {
			r.stage.state.Proposal = &Proposal{At: r.stage.now, Number: pr.Number, Kind: sluicev1.LandingPromotion}
		} else {
			next := *p
			r.stage.state.Proposal = &next
		}
		r.stage.state.Proposal.HandsOff = pr.Head
		r.stage.transition.addActions(Comment{
			Stage: r.stage.spec.Name, Number: pr.Number,
			Text: "Somebody else committed to this branch, so Sluice leaves it alone. " +
				"The label `sluice/retry` discards those commits and hands it back.",
		})
	}
	r.stage.transition.addActions(SetStatus{Stage: r.stage.spec.Name, Head: pr.Head, Open: len(gates) == 0, Message: gateText(gates)})
	return r.reviewGate("somebody else committed to #%d: it is theirs to merge; the label sluice/retry hands it back", pr.Number)
}
