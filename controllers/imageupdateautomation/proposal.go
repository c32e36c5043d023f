// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/promotion/pullrequest"
)

// proposalObservation is what was seen of the pull request of an automation, from which
// the next step is decided.
type proposalObservation struct {
	spec         imagev1.PullRequestSpec
	base, branch string
	now          metav1.Time
	// digest stands for what is to be proposed; empty is nothing. unsettled says that
	// policies are not ready, so that nothing may be a moment's.
	digest    string
	unsettled bool
	// text stands for the title and the body that it is to have.
	text string
	// tip is the head of the push branch, empty if there is none, and lastPush what was
	// pushed last. ours and same are as in [writeback.Review].
	tip, lastPush string
	ours, same    bool
	// pr is the open pull request of the branch, or else the last one; nil if there is none,
	// or none was looked for. author is who opened it, and byUs says that it was us.
	pr     *pullrequest.PullRequest
	author string
	byUs   bool
	// method is how it is merged.
	method forge.Method
	// released says that a person asks for a new start: what was declined or merged is
	// proposed again. status and declined are what the last run left.
	released bool
	status   *imagev1.PullRequestStatus
	declined []imagev1.DeclinedProposal
}

// What is done about a pull request besides what [pullrequest.MergeAction] has, which is about its merge. Each is done
// at most once in a run, and the next run looks what came of it.
const (
	// openProposal pushes, unless the branch is what would be pushed, and opens.
	openProposal pullrequest.MergeAction = "open"
	// updateProposal pushes likewise, and brings the text up to date.
	updateProposal pullrequest.MergeAction = "update"
	// rewriteProposal brings the text up to date.
	rewriteProposal pullrequest.MergeAction = "rewrite"
	// closeProposal closes, and says why. The branch stays, and is that of the next one.
	closeProposal pullrequest.MergeAction = "close"
	// leaveProposal says in a comment that it is somebody else's now.
	leaveProposal pullrequest.MergeAction = "leave alone"
)

// proposalDecision is what to do about the pull request, and what to record.
type proposalDecision struct {
	// do is empty if nothing is to be done.
	do pullrequest.MergeAction
	// status and declined are what is recorded, before what the action changes.
	status   *imagev1.PullRequestStatus
	declined []imagev1.DeclinedProposal
	// notOurs says why nothing can be done before a person acts.
	notOurs string
	// soon means that the forge computes something, or that checks run.
	soon bool
}

// maxDeclined bounds how much of what people declined is remembered.
const maxDeclined = 10

// decideProposal makes the pull request what it should be:
//
//	none     --something to propose---------> opened
//	open     --something else to propose----> updated, unless it is approved, queued or kept
//	         --conflict, behind and must not-> made anew
//	         --somebody else's commit-------> left alone, with one comment; a label hands it back
//	         --all that the base demands----> merged, if that is ours to do
//	         --nothing left to propose------> closed
//	closed   --by a person------------------> exactly that is not proposed again
//	         --by us------------------------> forgotten
//	merged   ------------------------------> what the base has decides
//
// The pull request of somebody else is left to them, and so is a branch that has their
// commits and never had a pull request of ours.
func decideProposal(seen proposalObservation) proposalDecision {
	d := proposalDecider{seen: seen, step: proposalDecision{declined: slices.Clone(seen.declined)}}
	if seen.status != nil {
		next := *seen.status
		next.WaitsFor, next.Frozen = "", ""
		d.step.status = &next
	}
	if seen.pr != nil && !seen.byUs {
		if seen.pr.Open {
			d.step.notOurs = fmt.Sprintf("pull request #%d of branch '%s' was opened by %s: it is theirs; close it, "+
				"or set another spec.git.push.branch",
				seen.pr.Number, seen.branch, orSomebody(seen.author))
			return d.step
		}
		d.seen.pr = nil
	}
	if d.isOpen() && seen.pr.Base != seen.base {
		d.step.notOurs = fmt.Sprintf("pull request #%d is into branch '%s' now: it is left alone; make it one into '%s' again, or close it",
			seen.pr.Number, seen.pr.Base, seen.base)
		return d.step
	}
	d.recordEnd()
	if d.isOpen() {
		d.open()
	} else {
		d.closed()
	}
	return d.step
}

// proposalDecider is one decision.
type proposalDecider struct {
	seen proposalObservation
	step proposalDecision
}

func (d *proposalDecider) isOpen() bool { return d.seen.pr != nil && d.seen.pr.Open }

// wait says what has to happen next.
func (d *proposalDecider) wait(format string, args ...any) {
	d.step.status.WaitsFor = fmt.Sprintf(format, args...)
}

// recordEnd notes what became of the pull request.
func (d *proposalDecider) recordEnd() {
	pr, status := d.seen.pr, d.step.status
	if pr == nil {
		return
	}
	known := status != nil && status.Number == pr.Number
	switch {
	case pr.Open:
		d.step.declined = slices.DeleteFunc(d.step.declined, func(c imagev1.DeclinedProposal) bool { return c.Number == pr.Number })
	case pr.Merged && !known:
		return
	case !pr.Merged && !pr.ClosedByUs:
		d.decline(known)
	}
	if !known {
		d.step.status = &imagev1.PullRequestStatus{Number: pr.Number, Base: d.seen.base, Branch: d.seen.branch}
	}
	d.step.status.URL, d.step.status.State = pr.URL, stateOf(pr)
	if !pr.Open {
		d.step.status.AutoMerge, d.step.status.LeftAlone = false, ""
	}
}

// decline notes what a person does not want: what the status says that was proposed or, if
// the status was lost, what the branch still is.
func (d *proposalDecider) decline(known bool) {
	if d.seen.released {
		return
	}
	digest := d.seen.digest
	if known {
		digest = d.seen.status.Digest
		if d.seen.status.State != imagev1.PullRequestOpen {
			return // it was noted when it was closed
		}
	} else if !d.seen.same {
		return
	}
	pr := d.seen.pr
	d.step.declined = append(d.step.declined, imagev1.DeclinedProposal{Digest: digest, Number: pr.Number, By: pr.ClosedBy, At: d.seen.now})
	d.step.declined = d.step.declined[max(0, len(d.step.declined)-maxDeclined):]
}

// closed decides while there is no open pull request.
func (d *proposalDecider) closed() {
	seen, status := d.seen, d.step.status
	if seen.digest == "" {
		return
	}
	if i := slices.IndexFunc(d.step.declined, func(c imagev1.DeclinedProposal) bool { return c.Digest == seen.digest }); i >= 0 {
		if status != nil {
			d.wait("other content: %s closed #%d, so that what it proposed is not proposed again; reopening it ends that",
				orSomebody(d.step.declined[i].By), d.step.declined[i].Number)
		}
		return
	}
	if status != nil && status.State == imagev1.PullRequestMerged && status.Digest == seen.digest {
		d.wait("branch '%s' to have what was merged with #%d", seen.base, status.Number)
		d.step.soon = true
		return
	}
	ended := seen.pr != nil && seen.pr.Head == seen.tip || status != nil && status.Head == seen.tip
	if seen.tip != "" && !seen.ours && !ended {
		d.step.notOurs = fmt.Sprintf(
			"branch '%s' has commits of somebody else, and no pull request of ours: delete it, or set another spec.git.push.branch",
			seen.branch,
		)
		return
	}
	d.step.do, d.step.soon = openProposal, true
}

// proposalHead is what the head of an open pull request of ours is.
type proposalHead string

// The heads.
const (
	headPushed proposalHead = "pushed by us"
	// headReplaceable only says that it is ours, or was handed back: it is replaced, and
	// not merged.
	headReplaceable proposalHead = "replaceable"
	headForeign     proposalHead = "somebody else's"
	// headUnseen is one that the forge does not show yet.
	headUnseen proposalHead = "unseen"
)

func (d *proposalDecider) head() proposalHead {
	tip, status := d.seen.tip, d.step.status
	lost := d.seen.digest == "" && status.Head == ""
	switch {
	case tip != "" && d.seen.pr.Head != tip:
		return headUnseen
	case d.seen.same || slices.Contains([]string{"", status.Head, d.seen.lastPush}, tip):
		return headPushed
	case lost || d.seen.ours || d.seen.pr.Retry:
		return headReplaceable
	}
	return headForeign
}

// open decides about an open pull request of ours.
func (d *proposalDecider) open() {
	head := d.head()
	switch {
	case d.seen.pr.Queued:
		d.step.status.Queued = d.seen.pr.Head
		d.wait("the merge queue")
	case head == headUnseen:
		d.wait("the forge to see the head of branch '%s'", d.seen.branch)
		d.step.soon = true
	case head == headForeign:
		d.leaveAlone()
	case d.seen.digest == "" && d.seen.unsettled:
		d.wait("policies that are not ready")
	case d.seen.digest == "":
		d.step.do = closeProposal
	case head == headReplaceable || d.seen.tip == "" || d.mustBeMadeAnew():
		d.step.do, d.step.soon = updateProposal, true
	default:
		d.keepOpen()
	}
}

// mustBeMadeAnew reports whether a head of ours is not what it should be.
func (d *proposalDecider) mustBeMadeAnew() bool {
	return d.seen.pr.Frozen() == "" && (d.seen.digest != d.step.status.Digest || d.seen.pr.IsStale())
}

// leaveAlone is what is done about a head that somebody else committed to.
func (d *proposalDecider) leaveAlone() {
	if d.step.status.LeftAlone != d.seen.pr.Head {
		d.step.do = leaveProposal
		d.step.status.LeftAlone = d.seen.pr.Head
	}
	d.wait("somebody else, who committed to it: it is theirs to merge; the label %s hands it back", forge.RetryLabel)
}

// keepOpen decides about a pull request that is to stay as it is.
func (d *proposalDecider) keepOpen() {
	status := d.step.status
	status.Head, status.LeftAlone = d.seen.tip, ""
	if d.seen.digest != status.Digest {
		status.Frozen = d.seen.pr.Frozen()
	}
	switch {
	case d.rules().TakesBack(d.seen.pr):
		d.step.do, d.step.soon = pullrequest.ManualMerge, true
		status.AutoMerge = false
	case d.seen.text != status.TextDigest && d.seen.pr.Frozen() == "":
		d.step.do, d.step.soon = rewriteProposal, true
	default:
		d.merge()
	}
}

// rules are what the automation says about merging.
func (d *proposalDecider) rules() pullrequest.MergePolicy {
	status := d.step.status
	return pullrequest.MergePolicy{AutoMerge: string(d.seen.spec.AutoMerge), Asked: status.AutoMerge, Queued: status.Queued}
}

// merge decides whether it is merged now, and by whom.
func (d *proposalDecider) merge() {
	do, wait := d.rules().Merge(d.seen.pr)
	d.step.do = do
	d.step.status.AutoMerge = d.step.status.AutoMerge && d.seen.pr.AutoMerge
	switch wait {
	case pullrequest.ForMerge:
		d.step.soon = true
	case pullrequest.ForChecks:
		d.wait("%s", d.seen.pr.Lacks)
		d.step.soon = d.seen.pr.Checks == pullrequest.ChecksPending
	case pullrequest.ForReady:
		d.wait("a person to mark it as ready: it is a draft")
	case pullrequest.ForQueue:
		d.wait("a person to put it back into the merge queue, which it left without being merged")
	default:
		d.wait("a person to merge it")
	}
}

// stateOf is the state of a pull request in a status.
func stateOf(pr *pullrequest.PullRequest) imagev1.PullRequestState {
	switch {
	case pr.Open:
		return imagev1.PullRequestOpen
	case pr.Merged:
		return imagev1.PullRequestMerged
	}
	return imagev1.PullRequestClosed
}

// orSomebody is a login, or a word for one that the forge does not tell.
func orSomebody(login string) string {
	if login == "" {
		return "somebody"
	}
	return login
}
