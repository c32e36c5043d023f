// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/promotion/pullrequest"
)

// The heads of these cases: ours was pushed for the content "two", and theirs is somebody's.
const (
	ourHead   = "0000000000000000000000000000000000000001"
	theirHead = "0000000000000000000000000000000000000009"
)

// proposing is what is seen while the content "two" is to be proposed and nothing is there.
func proposing(changes ...func(*proposalObservation)) proposalObservation {
	seen := proposalObservation{base: "main", branch: "updates", digest: "two", text: "text", now: metav1.NewTime(time.Unix(1, 0))}
	for _, change := range changes {
		change(&seen)
	}
	return seen
}

// pull is pull request 3, of ours, for the content "two".
func pull(state forge.PullRequestState, changes ...func(*pullrequest.PullRequest)) func(*proposalObservation) {
	return func(seen *proposalObservation) {
		seen.pr = &pullrequest.PullRequest{
			Number: 3, Open: state == forge.Open, Merged: state == forge.Merged, Head: ourHead, Base: "main",
		}
		seen.author = "robot"
		seen.tip, seen.byUs, seen.ours = ourHead, true, true
		seen.status = &imagev1.PullRequestStatus{
			Number: 3, State: imagev1.PullRequestOpen, Base: "main", Branch: "updates", Head: ourHead, Digest: "two", TextDigest: "text",
		}
		for _, change := range changes {
			change(seen.pr)
		}
	}
}

func wants(digest string) func(*proposalObservation) {
	return func(s *proposalObservation) { s.digest = digest }
}

// known is the state of the pull request in the status.
func known(state imagev1.PullRequestState) func(*proposalObservation) {
	return func(s *proposalObservation) { s.status.State = state }
}

func merging(who imagev1.AutoMerge, checks pullrequest.Checks, lacks string) func(*proposalObservation) {
	return func(s *proposalObservation) { s.spec.AutoMerge, s.pr.Checks, s.pr.Lacks = who, checks, lacks }
}

// mergedBy says who merges what is found.
func mergedBy(who imagev1.AutoMerge) func(*proposalObservation) {
	return func(s *proposalObservation) { s.spec.AutoMerge = who }
}

// committedTo has a commit of somebody else at the head.
func committedTo(s *proposalObservation) {
	s.tip, s.pr.Head, s.ours, s.same = theirHead, theirHead, false, false
}

func closedBy(login string) func(*pullrequest.PullRequest) {
	return func(pr *pullrequest.PullRequest) { pr.ClosedBy = login }
}

func approved(pr *pullrequest.PullRequest) { pr.Approved = true }

func kept(pr *pullrequest.PullRequest) { pr.Keep = true }

func handedBack(pr *pullrequest.PullRequest) { pr.Retry = true }

func conflicted(pr *pullrequest.PullRequest) { pr.Conflicted = true }

func behind(pr *pullrequest.PullRequest) { pr.Behind = true }

func declinedBefore(s *proposalObservation) {
	s.declined = []imagev1.DeclinedProposal{{Digest: "two", Number: 3, By: "alice"}}
}

func TestWhatBecomesOfAPullRequest(t *testing.T) {
	for name, tc := range map[string]struct {
		seen     proposalObservation
		want     pullrequest.MergeAction
		waitsFor string // a part of it
		frozen   string
		notOurs  string // a part of it
		declined []string
		state    imagev1.PullRequestState
	}{
		"nothing to propose is no pull request": {seen: proposing(wants(""))},
		"something to propose opens one":        {seen: proposing(), want: openProposal},
		"a branch that is what would be pushed is proposed": {
			seen: proposing(func(s *proposalObservation) { s.tip, s.ours, s.same = ourHead, true, true }), want: openProposal},
		"a branch of somebody else is not": {
			seen: proposing(func(s *proposalObservation) { s.tip = theirHead }), notOurs: "branch 'updates' has commits of somebody else"},

		"an open one that proposes it waits for a person": {
			seen: proposing(pull(forge.Open)), waitsFor: "a person to merge it", state: imagev1.PullRequestOpen},
		"other content updates it in place": {
			seen: proposing(pull(forge.Open), wants("three")), want: updateProposal, state: imagev1.PullRequestOpen,
		},
		"a text that is to be another one is written": {
			seen: proposing(pull(forge.Open), func(s *proposalObservation) { s.text = "new" }),
			want: rewriteProposal, state: imagev1.PullRequestOpen},
		"one in conflict is made anew": {
			seen: proposing(pull(forge.Open, conflicted)), want: updateProposal,
			state: imagev1.PullRequestOpen,
		},
		"one behind its base is made anew where that is demanded": {
			seen: proposing(pull(forge.Open, behind), func(s *proposalObservation) { s.pr.MustBeUpToDate = true }),
			want: updateProposal, state: imagev1.PullRequestOpen},
		"one behind its base is as good as any elsewhere": {
			seen: proposing(pull(forge.Open, behind)), waitsFor: "a person", state: imagev1.PullRequestOpen},
		"one whose branch was deleted is pushed again": {
			seen: proposing(pull(forge.Open), func(s *proposalObservation) { s.tip, s.ours = "", false }),
			want: updateProposal, state: imagev1.PullRequestOpen},
		"one whose head the forge does not see yet is looked at again": {
			seen:     proposing(pull(forge.Open), func(s *proposalObservation) { s.tip, s.same = theirHead, true }),
			waitsFor: "the forge to see the head", state: imagev1.PullRequestOpen},

		"an approved one keeps what it proposes": {
			seen:   proposing(pull(forge.Open, approved), wants("three")),
			frozen: "it is approved", waitsFor: "a person", state: imagev1.PullRequestOpen},
		"a kept one keeps what it proposes": {
			seen:   proposing(pull(forge.Open, kept), wants("three")),
			frozen: "it has the label sluice/keep", waitsFor: "a person", state: imagev1.PullRequestOpen},
		"a queued one is not touched": {
			seen:     proposing(pull(forge.Open, func(pr *pullrequest.PullRequest) { pr.Queued = true }), wants("three")),
			waitsFor: "the merge queue", state: imagev1.PullRequestOpen},
		"an approved one whose head only says that it is ours is made anew": {
			seen: proposing(pull(forge.Open, approved), committedTo, func(s *proposalObservation) { s.ours = true }),
			want: updateProposal, state: imagev1.PullRequestOpen},

		"somebody's commit is commented on": {
			seen: proposing(pull(forge.Open), committedTo, wants("three")),
			want: leaveProposal, waitsFor: "somebody else", state: imagev1.PullRequestOpen},
		"somebody's commit is commented on once": {
			seen:     proposing(pull(forge.Open), committedTo, func(s *proposalObservation) { s.status.LeftAlone = theirHead }),
			waitsFor: "somebody else", state: imagev1.PullRequestOpen},
		"a label hands it back": {
			seen: proposing(pull(forge.Open, handedBack), committedTo), want: updateProposal, state: imagev1.PullRequestOpen},
		"somebody's commit is not closed with it": {
			seen: proposing(pull(forge.Open), committedTo, wants("")),
			want: leaveProposal, waitsFor: "somebody else", state: imagev1.PullRequestOpen},
		"one that was handed back is closed when nothing is left to propose": {
			seen: proposing(pull(forge.Open, handedBack), committedTo, wants("")),
			want: closeProposal, state: imagev1.PullRequestOpen},
		"one of a lost status is closed when nothing is left to propose": {
			seen: proposing(pull(forge.Open), wants(""), func(s *proposalObservation) { s.status = nil }),
			want: closeProposal, state: imagev1.PullRequestOpen},
		"somebody's commit is not merged": {
			seen: proposing(pull(forge.Open), committedTo, merging(imagev1.AutoMergeSelf, pullrequest.ChecksPassed, "")), want: leaveProposal,
			waitsFor: "somebody else", state: imagev1.PullRequestOpen},

		"nothing left to propose closes it": {seen: proposing(pull(forge.Open), wants("")), want: closeProposal, state: imagev1.PullRequestOpen},
		"policies that are not ready close nothing": {
			seen:     proposing(pull(forge.Open), wants(""), func(s *proposalObservation) { s.unsettled = true }),
			waitsFor: "policies that are not ready", state: imagev1.PullRequestOpen},

		"one that a person closed is not opened again": {
			seen:     proposing(pull(forge.Closed, closedBy("alice"))),
			waitsFor: "alice closed #3", declined: []string{"two"}, state: imagev1.PullRequestClosed},
		"one that somebody unknown closed is not either": {
			seen: proposing(pull(forge.Closed)), waitsFor: "somebody closed #3", declined: []string{"two"}, state: imagev1.PullRequestClosed},
		"what was declined stays declined": {
			seen:     proposing(pull(forge.Closed, closedBy("alice")), known(imagev1.PullRequestClosed), declinedBefore),
			waitsFor: "alice closed #3", declined: []string{"two"}, state: imagev1.PullRequestClosed},
		"the next content is proposed": {
			seen: proposing(pull(forge.Closed, closedBy("alice")), wants("three")),
			want: openProposal, declined: []string{"two"}, state: imagev1.PullRequestClosed},
		"one that we closed was declined by nobody": {
			seen: proposing(pull(forge.Closed, closedBy("robot")), func(s *proposalObservation) { s.pr.ClosedByUs = true }),
			want: openProposal, state: imagev1.PullRequestClosed},
		"reopening it ends that": {
			seen:     proposing(pull(forge.Open), known(imagev1.PullRequestClosed), declinedBefore),
			waitsFor: "a person to merge it", state: imagev1.PullRequestOpen},
		"a lost status does not bring back what was declined": {
			seen:     proposing(pull(forge.Closed, closedBy("alice")), func(s *proposalObservation) { s.status, s.same = nil, true }),
			waitsFor: "alice closed #3", declined: []string{"two"}, state: imagev1.PullRequestClosed},

		"a person has what was declined proposed again": {
			seen: proposing(pull(forge.Closed, closedBy("alice")), func(s *proposalObservation) { s.status, s.same, s.released = nil, true, true }),
			want: openProposal, state: imagev1.PullRequestClosed},

		"what was merged is not proposed again while the branch does not show it": {
			seen: proposing(pull(forge.Merged)), waitsFor: "branch 'main' to have what was merged with #3", state: imagev1.PullRequestMerged},
		"what comes after a merge is proposed": {
			seen: proposing(pull(forge.Merged), wants("three")), want: openProposal, state: imagev1.PullRequestMerged},
		"the branch of one that was merged may be made anew, whoever committed to it": {
			seen: proposing(pull(forge.Merged), wants("three"), committedTo), want: openProposal, state: imagev1.PullRequestMerged},

		"an open one of somebody else is theirs": {
			seen:    proposing(pull(forge.Open), func(s *proposalObservation) { s.byUs, s.author, s.status = false, "mallory", nil }),
			notOurs: "pull request #3 of branch 'updates' was opened by mallory"},
		"a closed one of somebody else says nothing": {
			seen: proposing(pull(forge.Closed, closedBy("alice")), func(s *proposalObservation) { s.byUs, s.status = false, nil }),
			want: openProposal},
		"one of ours is found again after a loss of the status": {
			seen: proposing(pull(forge.Open), func(s *proposalObservation) { s.status, s.same = nil, true }),
			want: updateProposal, state: imagev1.PullRequestOpen},

		"one that is complete is merged by us": {
			seen: proposing(pull(forge.Open), merging(imagev1.AutoMergeSelf, pullrequest.ChecksPassed, "")),
			want: pullrequest.Merge, state: imagev1.PullRequestOpen},
		"one that is approved is merged although there is something newer": {
			seen: proposing(pull(forge.Open, approved), wants("three"), merging(imagev1.AutoMergeSelf, pullrequest.ChecksPassed, "")),
			want: pullrequest.Merge, frozen: "it is approved", state: imagev1.PullRequestOpen},
		"one that is complete is queued where there is a queue": {
			seen: proposing(pull(forge.Open), merging(imagev1.AutoMergeSelf, pullrequest.ChecksPassed, ""),
				func(s *proposalObservation) { s.pr.MustQueue = true }),
			want: pullrequest.Enqueue, state: imagev1.PullRequestOpen},
		// It was merged into that branch.
		"one that somebody made one into another branch is left alone": {
			seen: proposing(pull(forge.Open, func(pr *pullrequest.PullRequest) { pr.Base = "hotfix" }), wants("three"),
				merging(imagev1.AutoMergeSelf, pullrequest.ChecksPassed, "")),
			notOurs: "pull request #3 is into branch 'hotfix' now", state: imagev1.PullRequestOpen},
		// It was put back at once, for ever.
		"one that left the queue waits for a person": {
			seen: proposing(pull(forge.Open), merging(imagev1.AutoMergeSelf, pullrequest.ChecksPassed, ""),
				func(s *proposalObservation) { s.pr.MustQueue, s.status.Queued = true, ourHead }),
			waitsFor: "a person to put it back into the merge queue", state: imagev1.PullRequestOpen},
		"one that left the queue with another head is queued": {
			seen: proposing(pull(forge.Open), merging(imagev1.AutoMergeSelf, pullrequest.ChecksPassed, ""),
				func(s *proposalObservation) { s.pr.MustQueue, s.status.Queued = true, theirHead }),
			want: pullrequest.Enqueue, state: imagev1.PullRequestOpen},
		"one whose checks run waits for them": {
			seen:     proposing(pull(forge.Open), merging(imagev1.AutoMergeSelf, pullrequest.ChecksPending, "check build is running")),
			waitsFor: "check build is running", state: imagev1.PullRequestOpen},
		"a draft waits for a person": {
			seen: proposing(pull(forge.Open, func(pr *pullrequest.PullRequest) { pr.Draft = true }),
				merging(imagev1.AutoMergeSelf, pullrequest.ChecksPassed, "")),
			waitsFor: "a person to mark it as ready", state: imagev1.PullRequestOpen},
		"the forge is asked to merge by itself": {
			seen: proposing(pull(forge.Open), merging(imagev1.AutoMergePlatform, pullrequest.ChecksPending, "check build is running")),
			want: pullrequest.AutoMerge, waitsFor: "check build is running", state: imagev1.PullRequestOpen},
		"the forge is not asked twice": {
			seen: proposing(pull(forge.Open, func(pr *pullrequest.PullRequest) { pr.AutoMerge = true }),
				merging(imagev1.AutoMergePlatform, pullrequest.ChecksPending, "check build is running")),
			waitsFor: "check build is running", state: imagev1.PullRequestOpen},
		"the forge is asked not to when the spec says so": {
			seen: proposing(pull(forge.Open), func(s *proposalObservation) { s.status.AutoMerge, s.pr.AutoMerge = true, true }),
			want: pullrequest.ManualMerge, state: imagev1.PullRequestOpen},
		"what could be merged at once is merged": {
			seen: proposing(pull(forge.Open), merging(imagev1.AutoMergePlatform, pullrequest.ChecksPassed, "")),
			want: pullrequest.Merge, state: imagev1.PullRequestOpen},
	} {
		t.Run(name, func(t *testing.T) {
			before := tc.seen.status.DeepCopy()
			step := decideProposal(tc.seen)
			if step.do != tc.want {
				t.Errorf("it does %q, want %q", step.do, tc.want)
			}
			if !strings.Contains(step.notOurs, tc.notOurs) || (tc.notOurs == "") != (step.notOurs == "") {
				t.Errorf("it says %q, want %q", step.notOurs, tc.notOurs)
			}
			var declined []string
			for _, d := range step.declined {
				declined = append(declined, d.Digest)
			}
			if diff := cmp.Diff(tc.declined, declined); diff != "" {
				t.Errorf("declined (-want +got):\n%s", diff)
			}
			status := imagev1.PullRequestStatus{}
			if step.status != nil {
				status = *step.status
			}
			if status.State != tc.state || status.Frozen != tc.frozen || !strings.Contains(status.WaitsFor, tc.waitsFor) ||
				(tc.waitsFor == "") != (status.WaitsFor == "") {
				t.Errorf("the status is %+v, want state %q, frozen %q, waiting for %q", status, tc.state, tc.frozen, tc.waitsFor)
			}
			if diff := cmp.Diff(before, tc.seen.status); diff != "" {
				t.Errorf("the decision changes what was seen (-before +after):\n%s", diff)
			}
		})
	}
}

func TestOnlyTheLastDeclinedAreRemembered(t *testing.T) {
	seen := proposing(pull(forge.Closed, closedBy("alice")))
	for range maxDeclined {
		seen.declined = append(seen.declined, imagev1.DeclinedProposal{Digest: "old", Number: 1})
	}
	if got := decideProposal(seen).declined; len(got) != maxDeclined || got[maxDeclined-1].Digest != "two" {
		t.Errorf("it remembers %+v", got)
	}
}
