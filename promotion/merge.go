// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"fmt"
	"slices"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// merge merges a pull request once all gates are open and the forge has what it asks for.
// What a forge merges by itself it merges whenever it likes, so it is asked to only while
// all gates are open.
func (r proposer) merge(pr *PullRequest, gates []sluicev1.Gate) []sluicev1.Gate {
	stage, spec := r.stage.spec.Name, r.stage.spec.Write.PullRequest
	if draft := len(gates) > 0; spec.Draft && draft != pr.Draft {
		r.stage.transition.addActions(SetDraft{Stage: stage, Number: pr.Number, Draft: draft})
	}
	r.stage.transition.addActions(SetStatus{Stage: stage, Head: pr.Head, Open: len(gates) == 0, Message: gateText(gates)})
	if pr.AutoMerge && (len(gates) > 0 || r.mayClose() || r.askedBefore()) {
		r.askToMerge(SetAutoMerge{Stage: stage, Number: pr.Number, Head: pr.Head})
	}
	if len(gates) > 0 {
		return nil
	}
	return []sluicev1.Gate{r.mergeOrWait(pr)}
}

// mergeOrWait merges what all gates are open for, or says what it lacks.
func (r proposer) mergeOrWait(pr *PullRequest) sluicev1.Gate {
	stage, spec := r.stage.spec.Name, r.stage.spec.Write.PullRequest
	switch {
	case pr.Draft && !spec.Draft:
		return r.reviewGate("#%d is a draft: a person has to mark it as ready", pr.Number)
	case spec.AutoMerge == sluicev1.AutoMergeNever:
		return r.reviewGate("a person has to merge #%d", pr.Number)
	case pr.MustQueue && r.stage.state.Proposal.leftQueue(pr):
		return r.reviewGate("#%d left the merge queue without being merged: a person has to put it back there", pr.Number)
	case pr.Checks == ReadinessReady && !pr.Draft:
		r.stage.transition.addActions(Merge{Stage: stage, Number: pr.Number, Head: pr.Head, Queue: pr.MustQueue})
		return r.reviewGate("#%d is being merged", pr.Number)
	case spec.AutoMerge == sluicev1.AutoMergePlatform && !pr.AutoMerge && pr.Checks == ReadinessProgressing && !r.mayClose():
		r.askToMerge(SetAutoMerge{Stage: stage, Number: pr.Number, Head: pr.Head, On: true})
	}
	return r.reviewGate("#%d: %s", pr.Number, cmp.Or(pr.Why, "its checks are not complete"))
}

// askToMerge asks the forge to merge by itself, or not to. What it was asked is kept, for
// some forges do not tell.
func (r proposer) askToMerge(a SetAutoMerge) {
	if p := r.stage.state.Proposal; p != nil && p.AutoMerge != a.On {
		next := *p
		next.AutoMerge = a.On
		r.stage.state.Proposal = &next
	}
	r.stage.transition.addActions(a)
}

// askedBefore reports whether we asked the forge to merge by itself, which the spec does not want any
// more. What a person asked the forge for is theirs.
func (r proposer) askedBefore() bool {
	p := r.stage.state.Proposal
	return p != nil && p.AutoMerge && r.stage.spec.Write.PullRequest.AutoMerge != sluicev1.AutoMergePlatform
}

// mayClose reports whether the stage has windows, or a freeze, outside of which a forge
// that merges by itself might merge.
func (r proposer) mayClose() bool {
	return len(r.stage.spec.Windows) > 0 ||
		slices.ContainsFunc(r.stage.transition.seen.Freezes, func(f Freeze) bool { return f.isAbout(r.stage.spec.Name) })
}

// recordQueued notes the head that is in the merge queue: who takes it out does not want it there, and checks
// that failed there would fail again.
func (r proposer) recordQueued(pr *PullRequest) {
	p := r.stage.state.Proposal
	if p == nil || !pr.Queued || p.Queued == pr.Head {
		return
	}
	next := *p
	next.Queued = pr.Head
	r.stage.state.Proposal = &next
}

// leftQueue reports whether the head of a pull request was in the merge queue, and is not any more.
func (p *Proposal) leftQueue(pr *PullRequest) bool {
	return p != nil && p.Queued == pr.Head && !pr.Queued
}

// isElsewhere reports whether a pull request is into another branch than the one that the stage is
// written to: somebody changed its base, or the spec says another branch now.
func (r proposer) isElsewhere(pr *PullRequest) bool { return pr.Base != r.stage.seen.Base }

// leaveElsewhere is what is done about a pull request into another branch: nothing is pushed to it or merged. One
// that is still into the branch that we opened it into is closed: the spec says another one now.
func (r proposer) leaveElsewhere(pr *PullRequest) sluicev1.Gate {
	if p := r.stage.state.Proposal; p != nil && p.Base == pr.Base && !pr.Queued {
		r.closeWith(pr, fmt.Sprintf("%s is written to branch %s now", r.stage.spec.Name, r.stage.seen.Base))
		return r.reviewGate("#%d is into branch %s, and is being closed", pr.Number, pr.Base)
	}
	return r.reviewGate("#%d is into branch %s now, so that it is left alone: make it one into %s again, or close it",
		pr.Number, pr.Base, r.stage.seen.Base)
}
