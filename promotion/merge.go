// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"fmt"
	"slices"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion/pullrequest"
)

// merger has an open pull request merged, by us or by the forge.
type merger struct{ stage *stage }

// rules are what the stage says about merging its pull request.
func (m merger) rules(gates []sluicev1.Gate) pullrequest.MergePolicy {
	spec := m.stage.spec.Write.PullRequest
	r := pullrequest.MergePolicy{
		AutoMerge: cmp.Or(string(spec.AutoMerge), pullrequest.Self), Drafts: spec.Draft, Gates: len(gates) > 0, MayClose: m.mayClose(),
	}
	if p := m.stage.state.Proposal; p != nil {
		r.Asked, r.Queued = p.AutoMerge, p.Queued
	}
	return r
}

// merge merges a pull request once all gates are open and the forge has what it asks for.
func (m merger) merge(pr *pullrequest.PullRequest, gates []sluicev1.Gate) []sluicev1.Gate {
	stage, rules := m.stage.spec.Name, m.rules(gates)
	if rules.Drafts && rules.Gates != pr.Draft {
		m.stage.transition.addActions(SetDraft{Stage: stage, Number: pr.Number, Draft: rules.Gates})
	}
	m.stage.transition.addActions(SetStatus{Stage: stage, Head: pr.Head, Open: !rules.Gates, Message: gateText(gates)})
	if rules.TakesBack(pr) {
		m.askToMerge(SetAutoMerge{Stage: stage, Number: pr.Number, Head: pr.Head})
	}
	if rules.Gates {
		return nil
	}
	return []sluicev1.Gate{m.mergeOrWait(pr, rules)}
}

// mergeOrWait merges what all gates are open for, or says what it lacks.
func (m merger) mergeOrWait(pr *pullrequest.PullRequest, rules pullrequest.MergePolicy) sluicev1.Gate {
	stage := m.stage.spec.Name
	do, wait := rules.Merge(pr)
	switch do {
	case pullrequest.Merge, pullrequest.Enqueue:
		m.stage.transition.addActions(Merge{Stage: stage, Number: pr.Number, Head: pr.Head, Queue: do == pullrequest.Enqueue})
	case pullrequest.AutoMerge:
		m.askToMerge(SetAutoMerge{Stage: stage, Number: pr.Number, Head: pr.Head, On: true})
	}
	if wait == pullrequest.ForChecks {
		return proposer(m).reviewGate("#%d: %s", pr.Number, cmp.Or(pr.Lacks, "its checks are not complete"))
	}
	return proposer(m).reviewGate(gateOfWait[wait], pr.Number)
}

// gateOfWait is what a stage waits for, of a pull request with that number.
var gateOfWait = map[pullrequest.Wait]string{
	pullrequest.ForMerge:  "#%d is being merged",
	pullrequest.ForPerson: "a person has to merge #%d",
	pullrequest.ForReady:  "#%d is a draft: a person has to mark it as ready",
	pullrequest.ForQueue:  "#%d left the merge queue without being merged: a person has to put it back there",
}

// askToMerge asks the forge to merge by itself, or not to. What it was asked is kept, for
// some forges do not tell.
func (m merger) askToMerge(a SetAutoMerge) {
	if p := m.stage.state.Proposal; p != nil && p.AutoMerge != a.On {
		next := *p
		next.AutoMerge = a.On
		m.stage.state.Proposal = &next
	}
	m.stage.transition.addActions(a)
}

// mayClose reports whether the stage has windows, or a freeze, outside of which a forge
// that merges by itself might merge.
func (m merger) mayClose() bool {
	return len(m.stage.spec.Windows) > 0 ||
		slices.ContainsFunc(m.stage.transition.seen.Freezes, func(f Freeze) bool { return f.isAbout(m.stage.spec.Name) })
}

// recordQueued notes the head that is in the merge queue: who takes it out does not want it there, and checks
// that failed there would fail again.
func (r proposer) recordQueued(pr *pullrequest.PullRequest) {
	p := r.stage.state.Proposal
	if p == nil || !pr.Queued || p.Queued == pr.Head {
		return
	}
	next := *p
	next.Queued = pr.Head
	r.stage.state.Proposal = &next
}

// isElsewhere reports whether a pull request is into another branch than the one that the stage is
// written to: somebody changed its base, or the spec says another branch now.
func (r proposer) isElsewhere(pr *pullrequest.PullRequest) bool { return pr.Base != r.stage.seen.Base }

// leaveElsewhere is what is done about a pull request into another branch: nothing is pushed to it or merged. One
// that is still into the branch that we opened it into is closed: the spec says another one now.
func (r proposer) leaveElsewhere(pr *pullrequest.PullRequest) sluicev1.Gate {
	if p := r.stage.state.Proposal; p != nil && p.Base == pr.Base && !pr.Queued {
		r.closeWith(pr, fmt.Sprintf("%s is written to branch %s now", r.stage.spec.Name, r.stage.seen.Base))
		return r.reviewGate("#%d is into branch %s, and is being closed", pr.Number, pr.Base)
	}
	return r.reviewGate("#%d is into branch %s now, so that it is left alone: make it one into %s again, or close it",
		pr.Number, pr.Base, r.stage.seen.Base)
}
