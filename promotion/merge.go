// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"cmp"
	"fmt"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion/pullrequest"
)

// mergePolicy is what the stage says about merging its pull request.
func mergePolicy(s stageTransition, gates []sluicev1.Gate) pullrequest.MergePolicy {
	spec := s.spec.Write.PullRequest
	r := pullrequest.MergePolicy{
		AutoMerge: cmp.Or(string(spec.AutoMerge), pullrequest.Self), Drafts: spec.Draft, Gates: len(gates) > 0,
		// outside of windows a forge that merges by itself might merge
		MayClose: len(s.spec.Windows) > 0 || len(s.freezes) > 0,
	}
	if p := s.prev.Proposal; p != nil {
		r.Asked, r.Queued = p.AutoMerge, p.Queued
	}
	return r
}

// mergePullRequest has an open pull request merged, by us or by the forge, once all gates are open and
// the forge has what it asks for.
func mergePullRequest(s stageTransition, pr pullrequest.PullRequest, gates []sluicev1.Gate) stageDecision {
	d, stage, policy := s.unchanged(), s.spec.Name, mergePolicy(s, gates)
	if policy.Drafts && policy.Gates != pr.Draft {
		d.actions = append(d.actions, SetDraft{Stage: stage, Number: pr.Number, Draft: policy.Gates})
	}
	d.actions = append(d.actions, SetStatus{Stage: stage, Head: pr.Head, Open: !policy.Gates, Message: gateText(gates)})
	if policy.TakesBack(&pr) {
		d = d.then(askToMerge(s.from(d), SetAutoMerge{Stage: stage, Number: pr.Number, Head: pr.Head}))
	}
	if policy.Gates {
		return d
	}
	return s.then(d, func(s stageTransition) stageDecision { return mergeOrWait(s, pr, policy) })
}

// mergeOrWait merges what all gates are open for, or says what it lacks.
func mergeOrWait(s stageTransition, pr pullrequest.PullRequest, policy pullrequest.MergePolicy) stageDecision {
	d := s.unchanged()
	do, wait := policy.Merge(&pr)
	switch do {
	case pullrequest.Merge, pullrequest.Enqueue:
		d.actions = []Action{Merge{Stage: s.spec.Name, Number: pr.Number, Head: pr.Head, Queue: do == pullrequest.Enqueue}}
	case pullrequest.AutoMerge:
		d = askToMerge(s, SetAutoMerge{Stage: s.spec.Name, Number: pr.Number, Head: pr.Head, On: true})
	}
	waits := reviewGate(s.prev.Proposal, gateOfWait[wait], pr.Number)
	if wait == pullrequest.ForChecks {
		waits.Message = fmt.Sprintf("#%d: %s", pr.Number, cmp.Or(pr.Lacks, "its checks are not complete"))
	}
	d.waits = waitFor(waits)
	return d
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
func askToMerge(s stageTransition, a SetAutoMerge) stageDecision {
	d := s.unchanged()
	if p := s.prev.Proposal; p != nil {
		next := *p
		next.AutoMerge = a.On
		d.state.Proposal = &next
	}
	d.actions = []Action{a}
	return d
}
