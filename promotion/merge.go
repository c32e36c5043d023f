// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"fmt"
	"slices"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// merger has an open pull request merged, by us or by the forge.
type merger struct{ stage *stage }

// merge merges a pull request once all gates are open and the forge has what it asks for.
// What a forge merges by itself it merges whenever it likes, so it is asked to only while
// all gates are open.
func (m merger) merge(pr *PullRequest, gates []sluicev1.Gate) []sluicev1.Gate {
	stage, spec := m.stage.spec.Name, m.stage.spec.Write.PullRequest
	if draft := len(gates) > 0; spec.Draft && draft != pr.Draft {
		m.stage.transition.addActions(SetDraft{Stage: stage, Number: pr.Number, Draft: draft})
	}
	m.stage.transition.addActions(SetStatus{Stage: stage, Head: pr.Head, Open: len(gates) == 0, Message: gateText(gates)})
	if pr.AutoMerge && (len(gates) > 0 || m.mayClose() || m.askedBefore()) {
		m.askToMerge(SetAutoMerge{Stage: stage, Number: pr.Number, Head: pr.Head})
	}
	if len(gates) > 0 {
		return nil
	}
	return []sluicev1.Gate{m.mergeOrWait(pr)}
}

// mergeOrWait merges what all gates are open for, or says what it lacks.
func (m merger) mergeOrWait(pr *PullRequest) sluicev1.Gate {
	stage, spec := m.stage.spec.Name, m.stage.spec.Write.PullRequest
	switch {
	case pr.Draft && !spec.Draft:
		return proposer(m).reviewGate("#%d is a draft: a person has to mark it as ready", pr.Number)
	case spec.AutoMerge == sluicev1.AutoMergeNever:
		return proposer(m).reviewGate("a person has to merge #%d", pr.Number)
	case pr.MustQueue && m.leftQueue(pr):
		return proposer(m).reviewGate("#%d left the merge queue without being merged: a person has to put it back there", pr.Number)
	case pr.Checks == ReadinessReady && !pr.Draft:
		m.stage.transition.addActions(Merge{Stage: stage, Number: pr.Number, Head: pr.Head, Queue: pr.MustQueue})
		return proposer(m).reviewGate("#%d is being merged", pr.Number)
	case spec.AutoMerge == sluicev1.AutoMergePlatform && !pr.AutoMerge && pr.Checks == ReadinessProgressing && !m.mayClose():
		m.askToMerge(SetAutoMerge{Stage: stage, Number: pr.Number, Head: pr.Head, On: true})
	}
	return proposer(m).reviewGate("#%d: %s", pr.Number, cmp.Or(pr.Why, "its checks are not complete"))
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

// askedBefore reports whether we asked the forge to merge by itself, which the spec does not want any
// more. What a person asked the forge for is theirs.
func (m merger) askedBefore() bool {
	p := m.stage.state.Proposal
	return p != nil && p.AutoMerge && m.stage.spec.Write.PullRequest.AutoMerge != sluicev1.AutoMergePlatform
}

// mayClose reports whether the stage has windows, or a freeze, outside of which a forge
// that merges by itself might merge.
func (m merger) mayClose() bool {
	return len(m.stage.spec.Windows) > 0 ||
		slices.ContainsFunc(m.stage.transition.seen.Freezes, func(f Freeze) bool { return f.isAbout(m.stage.spec.Name) })
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
func (m merger) leftQueue(pr *PullRequest) bool {
	p := m.stage.state.Proposal
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
