// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/google/go-cmp/cmp"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/promotion/pullrequest"
	"github.com/sluice-cd/sluice/writeback"
)

// answers is a forge that answers each request as a case says, and notes the writes.
type answers struct {
	forge.Forge
	opened, merged, found *forge.PullRequest
	fails                 map[string]error
	written               []string
}

func (a *answers) write(request string, args ...any) error {
	a.written = append(a.written, strings.TrimSpace(request+" "+strings.TrimSuffix(fmt.Sprintln(args...), "\n")))
	return a.fails[request]
}

func (a *answers) Open(_ context.Context, p forge.NewPullRequest) (*forge.PullRequest, error) {
	return a.opened, a.write("open", p.Branch, p.Base, p.Draft, p.Labels)
}

func (a *answers) Update(_ context.Context, number int64, text forge.Text) (*forge.PullRequest, error) {
	return nil, a.write("update", number, text.Title, text.Draft)
}

func (a *answers) Comment(_ context.Context, number int64, _ string) error {
	return a.write("comment", number)
}

func (a *answers) Close(_ context.Context, number int64) error { return a.write("close", number) }

func (a *answers) Merge(_ context.Context, number int64, m forge.Merge) (*forge.PullRequest, error) {
	return a.merged, a.write("merge", number, m.HeadSHA)
}

func (a *answers) EnableAutoMerge(_ context.Context, number int64, m forge.Merge) error {
	return a.write("automerge", number, m.HeadSHA)
}

func (a *answers) DisableAutoMerge(_ context.Context, number int64) error {
	return a.write("manual", number)
}

func (a *answers) Enqueue(_ context.Context, number int64, head string) error {
	return a.write("enqueue", number, head)
}

func (a *answers) Get(context.Context, int64) (*forge.PullRequest, error) {
	return a.found, a.fails["get"]
}

func (a *answers) Find(context.Context, string, string) (*forge.PullRequest, error) {
	return a.found, a.write("find")
}

func (a *answers) CurrentUser(context.Context) (forge.User, error) {
	return forge.User{Login: "robot"}, a.write("identity")
}

func (a *answers) Rules(context.Context, string) (forge.Rules, error) {
	return forge.Rules{}, a.write("rules")
}

func (a *answers) Checks(context.Context, string) (forge.Checks, error) {
	return forge.Checks{}, a.write("checks")
}

// at is a run of an automation at the forge, whose branch is what would be pushed.
func (a *answers) at() *pullRequestRun {
	return &pullRequestRun{
		controller: &Reconciler{}, a: automation(proposes()), forge: a, text: forge.Text{Title: "Update images", Draft: true},
		review: writeback.Review{Same: true, Tip: plumbing.NewHash(ourHead)},
	}
}

// reasons are those of events, in order.
func reasons(events []reconciler.Event) []string {
	var all []string
	for _, e := range events {
		all = append(all, e.Reason)
	}
	return all
}

func TestWhatIsDoneAboutAPullRequest(t *testing.T) {
	out := errors.New("the forge is out")
	status := func(changes ...func(*imagev1.PullRequestStatus)) *imagev1.PullRequestStatus {
		s := proposing(pull(forge.Open)).status
		for _, change := range changes {
			change(s)
		}
		return s
	}
	waits := func(text string) func(*imagev1.PullRequestStatus) {
		return func(s *imagev1.PullRequestStatus) { s.WaitsFor = text }
	}
	auto := func(s *imagev1.PullRequestStatus) { s.AutoMerge = true }
	merged := func(s *imagev1.PullRequestStatus) { s.State = imagev1.PullRequestMerged }
	const looks = "the forge to look at it"
	for name, tc := range map[string]struct {
		do          pullrequest.MergeAction
		forge       answers
		before      []func(*proposalObservation)
		want        []string
		status      *imagev1.PullRequestStatus
		events      []string
		acted, soon bool
		err         error
	}{
		"opened": {
			do: openProposal, forge: answers{opened: &forge.PullRequest{Number: 3, Warnings: []string{"no label"}}},
			want: []string{"open updates main false []"}, status: status(waits(looks)), acted: true,
			events: []string{imagev1.PullRequestOpenedReason, imagev1.ForgeFailedReason},
		},
		"opened by somebody else meanwhile": {
			do: openProposal, forge: answers{fails: map[string]error{"open": forge.ErrExists}},
			want: []string{"open updates main false []"}, status: status(), err: forge.ErrExists,
		},
		"not opened": {
			do: openProposal, forge: answers{fails: map[string]error{"open": out}},
			want: []string{"open updates main false []"}, status: status(), err: out,
		},
		"another content": {
			do: updateProposal, before: []func(*proposalObservation){wants("three")}, want: []string{"update 3 Update images false"},
			status: status(waits(looks), func(s *imagev1.PullRequestStatus) { s.Digest = "three" }), acted: true,
			events: []string{imagev1.PullRequestUpdatedReason},
		},
		"another text of a draft": {
			do:     rewriteProposal,
			before: []func(*proposalObservation){func(s *proposalObservation) { s.pr.Draft, s.text = true, "other" }},
			want:   []string{"update 3 Update images true"}, acted: true,
			status: status(waits(looks), func(s *imagev1.PullRequestStatus) { s.TextDigest = "other" }),
		},
		"a text that the forge does not take": {
			do: rewriteProposal, forge: answers{fails: map[string]error{"update": out}},
			want: []string{"update 3 Update images false"}, status: status(), err: out,
		},
		"closed": {
			do: closeProposal, want: []string{"close 3", "comment 3"}, events: []string{imagev1.PullRequestClosedReason},
			status: status(func(s *imagev1.PullRequestStatus) { s.State = imagev1.PullRequestClosed }),
		},
		"not closed": {
			do: closeProposal, forge: answers{fails: map[string]error{"close": out}}, want: []string{"close 3"}, status: status(), err: out,
		},
		"left alone": {do: leaveProposal, want: []string{"comment 3"}, status: status()},
		"left alone without a word": {
			do: leaveProposal, forge: answers{fails: map[string]error{"comment": out}}, want: []string{"comment 3"}, status: status(), err: out,
		},
		"merged": {
			do: pullrequest.Merge, forge: answers{merged: &forge.PullRequest{State: forge.Merged}}, want: []string{"merge 3 " + ourHead},
			status: status(merged), events: []string{imagev1.PullRequestMergedReason}, acted: true,
		},
		"merged in the background": {
			do: pullrequest.Merge, forge: answers{merged: &forge.PullRequest{State: forge.Open}}, want: []string{"merge 3 " + ourHead},
			status: status(waits("the forge, which is merging it")), acted: true,
		},
		"a head that moved": {
			do: pullrequest.Merge, forge: answers{fails: map[string]error{"merge": forge.ErrHeadMoved}}, want: []string{"merge 3 " + ourHead},
			status: status(), soon: true,
		},
		"not merged yet": {
			do: pullrequest.Merge, want: []string{"merge 3 " + ourHead}, soon: true,
			status: status(waits("the forge, which does not merge it: busy")),
			forge:  answers{fails: map[string]error{"merge": &forge.NotMergeable{Reason: "busy", Transient: true}}},
		},
		"not merged without a person": {
			do: pullrequest.Merge, want: []string{"merge 3 " + ourHead}, status: status(waits("the forge, which does not merge it: rules")),
			forge: answers{fails: map[string]error{"merge": &forge.NotMergeable{Reason: "rules"}}},
		},
		"a merge at a forge that is out": {
			do: pullrequest.Merge, forge: answers{fails: map[string]error{"merge": out}}, want: []string{"merge 3 " + ourHead}, status: status(),
			err: out,
		},
		"one that the forge merges by itself, at a forge that is out": {
			do: pullrequest.ManualMerge, forge: answers{fails: map[string]error{"manual": out}}, want: []string{"manual 3"}, err: out,
			before: []func(*proposalObservation){func(s *proposalObservation) { s.status.AutoMerge = true }}, status: status(auto),
		},
		"left to the forge": {do: pullrequest.AutoMerge, want: []string{"automerge 3 " + ourHead}, status: status(auto)},
		"left to the forge, which would merge at once": {
			do: pullrequest.AutoMerge, want: []string{"automerge 3 " + ourHead, "merge 3 " + ourHead}, status: status(merged),
			forge:  answers{fails: map[string]error{"automerge": forge.ErrMergeableNow}, merged: &forge.PullRequest{State: forge.Merged}},
			events: []string{imagev1.PullRequestMergedReason},
		},
		"queued": {do: pullrequest.Enqueue, want: []string{"enqueue 3 " + ourHead}, status: status(), acted: true},
		"queued, after the forge was asked to merge by itself": {
			do: pullrequest.Enqueue, want: []string{"enqueue 3 " + ourHead}, acted: true,
			before: []func(*proposalObservation){func(s *proposalObservation) { s.status.AutoMerge = true }}, status: status(auto),
		},
		"taken from the forge": {do: pullrequest.ManualMerge, want: []string{"manual 3"}, status: status(), acted: true},
		"nothing":              {status: status()},
	} {
		t.Run(name, func(t *testing.T) {
			seen := proposing(append([]func(*proposalObservation){pull(forge.Open)}, tc.before...)...)
			step := &proposalDecision{do: tc.do, status: seen.status.DeepCopy()}
			p := tc.forge.at()
			err := p.perform(t.Context(), seen, step)
			if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Errorf("got %v, want %v", err, tc.err)
			}
			if diff := cmp.Diff(tc.want, tc.forge.written); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.status, step.status); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.events, reasons(p.events)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if p.acted != tc.acted || step.soon != tc.soon {
				t.Errorf("acted %v and soon %v, want %v and %v", p.acted, step.soon, tc.acted, tc.soon)
			}
		})
	}
}

// What was not said is said by the next run.
func TestACommentThatFailedIsNotRecorded(t *testing.T) {
	a := answers{fails: map[string]error{"comment": errors.New("out")}}
	seen := proposing(pull(forge.Open))
	step := &proposalDecision{do: leaveProposal, status: seen.status}
	step.status.LeftAlone = theirHead
	if err := a.at().perform(t.Context(), seen, step); err == nil || step.status.LeftAlone != "" {
		t.Errorf("got %v, left alone at %q", err, step.status.LeftAlone)
	}
}

func TestWhatPeopleDidIsTold(t *testing.T) {
	was := func(state imagev1.PullRequestState) func(*proposalObservation) { return known(state) }
	for name, tc := range map[string]struct {
		before []func(*proposalObservation)
		now    imagev1.PullRequestState
		step   proposalDecision
		want   []string
	}{
		"nothing":      {now: imagev1.PullRequestOpen},
		"a merge":      {now: imagev1.PullRequestMerged, want: []string{imagev1.PullRequestMergedReason}},
		"an old merge": {before: []func(*proposalObservation){was(imagev1.PullRequestMerged)}, now: imagev1.PullRequestMerged},
		"a closing":    {now: imagev1.PullRequestClosed, want: []string{imagev1.PullRequestDeclinedReason}},
		"our closing": {
			before: []func(*proposalObservation){func(s *proposalObservation) { s.pr.ClosedByUs = true }}, now: imagev1.PullRequestClosed,
		},
		"an old closing": {before: []func(*proposalObservation){was(imagev1.PullRequestClosed)}, now: imagev1.PullRequestClosed},
		"another content that was declined": {
			before: []func(*proposalObservation){was(imagev1.PullRequestClosed)}, now: imagev1.PullRequestClosed,
			step: proposalDecision{declined: []imagev1.DeclinedProposal{{Digest: "two"}}}, want: []string{imagev1.PullRequestDeclinedReason},
		},
		"a reopening": {
			before: []func(*proposalObservation){was(imagev1.PullRequestClosed)}, now: imagev1.PullRequestOpen,
			want: []string{imagev1.PullRequestReopenedReason},
		},
		"somebody's commit": {
			now: imagev1.PullRequestOpen, step: proposalDecision{do: leaveProposal}, want: []string{imagev1.PullRequestLeftAloneReason},
		},
		"of another pull request": {
			before: []func(*proposalObservation){func(s *proposalObservation) { s.status.Number = 2 }}, now: imagev1.PullRequestMerged,
		},
		"of none": {before: []func(*proposalObservation){func(s *proposalObservation) { s.pr = nil }}, now: imagev1.PullRequestClosed},
	} {
		t.Run(name, func(t *testing.T) {
			seen := proposing(append([]func(*proposalObservation){pull(forge.Open)}, tc.before...)...)
			tc.step.status = &imagev1.PullRequestStatus{Number: 3, State: tc.now, Head: ourHead}
			p := (&answers{}).at()
			p.recordPeoplesActions(seen, tc.step)
			if diff := cmp.Diff(tc.want, reasons(p.events)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Each request costs a share of the account's limit: only what decides is asked.
func TestOnlyWhatDecidesIsAsked(t *testing.T) {
	open := &forge.PullRequest{Number: 3, State: forge.Open, Author: "robot", Mergeable: forge.Yes}
	declined := &forge.PullRequest{Number: 3, State: forge.Closed, Author: "robot", ClosedBy: "ann"}
	for name, tc := range map[string]struct {
		found *forge.PullRequest
		fails map[string]error
		seen  []func(*proposalObservation)
		want  []string
		byUs  bool
		none  bool
	}{
		"one that is known and waits for people": {found: open, seen: []func(*proposalObservation){pull(forge.Open)}, byUs: true},
		"one that is merged by us": {
			found: open, seen: []func(*proposalObservation){pull(forge.Open), mergedBy(imagev1.AutoMergeSelf)},
			want: []string{"rules", "checks"}, byUs: true,
		},
		"one that is behind its base": {
			found: &forge.PullRequest{Number: 3, State: forge.Open, Blocked: []forge.Blocker{forge.ByBehind}},
			seen:  []func(*proposalObservation){pull(forge.Open)}, want: []string{"rules"}, byUs: true,
		},
		"one that somebody closed": {
			found: declined, seen: []func(*proposalObservation){pull(forge.Open)}, want: []string{"identity"}, byUs: true,
		},
		"one that is gone, and no other": {
			fails: map[string]error{"get": forge.ErrNotFound, "find": forge.ErrNotFound}, want: []string{"find"}, none: true,
			seen: []func(*proposalObservation){pull(forge.Open)},
		},
		"one that was merged, and nothing more": {
			found: open, seen: []func(*proposalObservation){pull(forge.Merged), known(imagev1.PullRequestMerged), wants("")}, none: true,
		},
		"another after one that was merged": {
			found: open, seen: []func(*proposalObservation){pull(forge.Merged), known(imagev1.PullRequestMerged), func(s *proposalObservation) {
				s.status.Number = 2
			}},
			want: []string{"find", "identity"}, byUs: true,
		},
		"the first": {found: open, want: []string{"find", "identity"}, byUs: true},
		"nothing to propose, and none before": {
			fails: map[string]error{"find": forge.ErrNotFound}, seen: []func(*proposalObservation){wants("")},
			want: []string{"find"}, none: true,
		},
		"somebody else's": {
			found: &forge.PullRequest{Number: 9, State: forge.Open, Author: "ann"}, want: []string{"find", "identity"},
			seen: []func(*proposalObservation){mergedBy(imagev1.AutoMergeSelf)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := &answers{found: tc.found, fails: tc.fails}
			seen := proposing(tc.seen...)
			seen.pr, seen.byUs = nil, false
			p := a.at()
			if err := p.read(t.Context(), &seen); err != nil {
				t.Fatal(err)
			}
			if (seen.pr == nil) != tc.none || seen.byUs != tc.byUs {
				t.Errorf("found %+v, ours: %v", seen.pr, seen.byUs)
			}
			if diff := cmp.Diff(tc.want, slices.Clone(a.written)); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}
