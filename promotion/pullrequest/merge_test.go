// SPDX-License-Identifier: Apache-2.0

package pullrequest

import "testing"

func TestWhoMergesAnOpenPullRequest(t *testing.T) {
	green := PullRequest{Head: "1f0c", Checks: ChecksPassed}
	with := func(changes ...func(*PullRequest)) PullRequest {
		pr := green
		for _, change := range changes {
			change(&pr)
		}
		return pr
	}
	draft := func(pr *PullRequest) { pr.Draft = true }
	queue := func(pr *PullRequest) { pr.MustQueue = true }
	running := func(pr *PullRequest) { pr.Checks = ChecksPending }
	failed := func(pr *PullRequest) { pr.Checks = ChecksFailed }
	asked := func(pr *PullRequest) { pr.AutoMerge = true }
	for name, tc := range map[string]struct {
		rules MergePolicy
		pr    PullRequest
		do    MergeAction
		wait  Wait
	}{
		"one that is green is merged":                  {MergePolicy{AutoMerge: Self}, green, Merge, ForMerge},
		"one of a base with a queue is put into it":    {MergePolicy{AutoMerge: Self}, with(queue), Enqueue, ForMerge},
		"one that left the queue waits for a person":   {MergePolicy{AutoMerge: Self, Queued: "1f0c"}, with(queue), "", ForQueue},
		"one that left it with another head goes back": {MergePolicy{AutoMerge: Self, Queued: "9a2b"}, with(queue), Enqueue, ForMerge},
		"without a word a person merges":               {MergePolicy{}, green, "", ForPerson},
		"never means a person":                         {MergePolicy{AutoMerge: Never}, green, "", ForPerson},
		"a draft waits for a person":                   {MergePolicy{AutoMerge: Self}, with(draft), "", ForReady},
		"a draft of its owner waits until it is ready": {MergePolicy{AutoMerge: Self, Drafts: true}, with(draft), "", ForChecks},
		"checks that run are waited for":               {MergePolicy{AutoMerge: Self}, with(running), "", ForChecks},
		"checks that failed are somebody's to mend":    {MergePolicy{AutoMerge: Platform}, with(failed), "", ForChecks},
		"the forge is asked while checks run":          {MergePolicy{AutoMerge: Platform}, with(running), AutoMerge, ForChecks},
		"the forge is asked once":                      {MergePolicy{AutoMerge: Platform}, with(running, asked), "", ForChecks},
		"the forge knows no windows":                   {MergePolicy{AutoMerge: Platform, MayClose: true}, with(running), "", ForChecks},
		"what is green needs no forge":                 {MergePolicy{AutoMerge: Platform}, green, Merge, ForMerge},
	} {
		t.Run(name, func(t *testing.T) {
			if do, wait := tc.rules.Merge(&tc.pr); do != tc.do || wait != tc.wait {
				t.Errorf("it does %q and waits for %q, want %q and %q", do, wait, tc.do, tc.wait)
			}
		})
	}
}

func TestWhatTheForgeWasAskedForIsTakenBack(t *testing.T) {
	for name, tc := range map[string]struct {
		rules MergePolicy
		asked bool
		want  bool
	}{
		"not while all gates are open":              {MergePolicy{AutoMerge: Platform, Asked: true}, true, false},
		"when a gate closes":                        {MergePolicy{AutoMerge: Platform, Asked: true, Gates: true}, true, true},
		"when a window may close":                   {MergePolicy{AutoMerge: Platform, Asked: true, MayClose: true}, true, true},
		"when the spec wants it no more":            {MergePolicy{AutoMerge: Self, Asked: true}, true, true},
		"not what a person asked for":               {MergePolicy{AutoMerge: Self}, true, false},
		"a person's, when a gate closes":            {MergePolicy{AutoMerge: Never, Gates: true}, true, true},
		"not what the forge does not do any longer": {MergePolicy{AutoMerge: Self, Asked: true, Gates: true}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.rules.TakesBack(&PullRequest{AutoMerge: tc.asked}); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestWhatKeepsAPullRequestAsItIs(t *testing.T) {
	for want, pr := range map[string]PullRequest{
		"":                             {Draft: true, Behind: true},
		"it is in the merge queue":     {Queued: true, Approved: true},
		"it is approved":               {Approved: true, Keep: true},
		"it has the label sluice/keep": {Keep: true},
	} {
		if got := pr.Frozen(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for name, tc := range map[string]struct {
		pr   PullRequest
		want bool
	}{
		"a conflict": {PullRequest{Conflicted: true}, true},
		"behind":     {PullRequest{Behind: true}, false},
		"behind a base that takes only what is up to date": {PullRequest{Behind: true, MustBeUpToDate: true}, true},
		"on the head of that base":                         {PullRequest{MustBeUpToDate: true}, false},
	} {
		if got := tc.pr.IsStale(); got != tc.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
