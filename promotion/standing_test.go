// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// lines are a status as a person would read it: the phase with its message, what the stage
// has and wants, the gates, the pull request and the targets.
func lines(st sluicev1.StageStatus) []string {
	clock := func(t *metav1.Time) string {
		if t == nil {
			return "-"
		}
		return t.UTC().Format("15:04")
	}
	all := []string{string(st.Phase) + ": " + st.Message}
	if st.Has != nil {
		all = append(all,
			fmt.Sprintf("has %s since %s in %s by %s, verified %s", Describe(*st.Has), clock(st.Since), st.Commit, st.By, clock(st.Verified)))
	}
	if st.Wants != nil {
		all = append(all, "wants "+Describe(*st.Wants))
	}
	for _, g := range st.Waiting {
		all = append(all, fmt.Sprintf("%s %s-%s: %s", g.Type, clock(g.Since), clock(g.Until), g.Message))
	}
	if pr := st.PullRequest; pr != nil {
		all = append(all, strings.TrimSpace(fmt.Sprintf("#%d %s %s %s", pr.Number, pr.State, pr.Bundle[:4], pr.Frozen)))
	}
	for _, t := range st.Targets {
		if t.Message != "" || t.Ready != metav1.ConditionTrue {
			all = append(all, fmt.Sprintf("target %q: %s %s", t.Name, t.Ready, t.Message))
		}
	}
	return all
}

func TestWhereAStageStands(t *testing.T) {
	const has1 = "has app 1 since 12:00 in 2 by setup, verified 12:00"
	const notFive = `"soon" has 1 fields, and not the 5 of minute, hour, day of the month, month and day of the week: ` +
		`write one such as 0 9 * * MON-FRI`
	const mergedUnseen = "#1 is merged, and the branch does not show app 2 yet; " +
		"if somebody took it out, `sluice pipeline promote` proposes it again"
	tests := map[string]struct {
		stage func(*sluicev1.Stage) // production
		given func(*simulation)     // after version 2 was released
		want  []string
	}{
		"it has what it wants": {
			want: []string{"Verified: app 2 is verified", "has app 2 since 12:01 in 4 by sluice, verified 12:01"},
		},
		"its objects are not Ready yet": {
			given: func(s *simulation) {
				s.ready["production/@2"], s.places["production/"].why = ReadinessProgressing, "Kustomization apps/shop is not Ready"
			},
			want: []string{
				"Verifying: app 2: Kustomization apps/shop is not Ready", "has app 2 since 12:01 in 4 by sluice, verified -",
				`target "": Unknown Kustomization apps/shop is not Ready`,
			},
		},
		"it is being verified": {
			given: func(s *simulation) {
				s.verification["production/@2"], s.places["production/"].evidence = VerificationPending, "Canary apps/app is at weight 30"
			},
			want: []string{
				"Verifying: app 2: Canary apps/app is at weight 30", "has app 2 since 12:01 in 4 by sluice, verified -",
				`target "": True Canary apps/app is at weight 30`,
			},
		},
		"nobody says what is missing": {
			given: func(s *simulation) { s.ready["production/@2"] = ReadinessProgressing },
			want: []string{
				"Verifying: app 2: its objects are not Ready with it yet", "has app 2 since 12:01 in 4 by sluice, verified -", `target "": Unknown `,
			},
		},
		"what it has failed, and nothing was there before": {
			stage: func(p *sluicev1.Stage) { off := false; p.OnFailure.Rollback = &off },
			given: func(s *simulation) {
				s.ready["production/@2"], s.places["production/"].why = ReadinessFailed, "Deployment apps/app is not Ready"
			},
			want: []string{
				"Failed: app 2 failed: Deployment apps/app is not Ready", "has app 2 since 12:01 in 4 by sluice, verified -",
				`target "": False Deployment apps/app is not Ready`,
			},
		},
		"its content cannot be read": {
			given: func(s *simulation) {
				s.state, s.places["production/"].problem = State{}, "no field has a marker"
			},
			want: []string{
				"Waiting: app 2: no field has a marker", "wants app 2", "Content ---: no field has a marker", `target "": True no field has a marker`,
			},
		},
		"it has nothing, and there is nothing to give": {
			given: func(s *simulation) {
				s.state, s.newest, s.places["production/"].versions = State{}, nil, nil
				s.places["staging/"].versions = nil
			},
			want: []string{"Empty: it has no bundle"},
		},
		"the stage before is not done": {
			given: func(s *simulation) { s.verification["staging/@2"] = VerificationPending },
			want: []string{
				"Verified: app 1 is verified: app 2 is not verified in staging yet", has1,
				"Upstream 12:01--: app 2 is not verified in staging yet",
			},
		},
		"it soaks": {
			stage: func(p *sluicev1.Stage) { p.After.Soak = minutes(10) },
			want: []string{
				"Verified: app 1 is verified: app 2 soaks in staging until 2026-03-02T12:11:00Z", has1,
				"Soak 12:01-12:11: app 2 soaks in staging until 2026-03-02T12:11:00Z",
			},
		},
		"it does not soak while its objects fail": {
			stage: func(p *sluicev1.Stage) { p.After.Soak = minutes(10) },
			given: func(s *simulation) {
				s.settle()
				s.now = s.now.Add(4 * time.Minute)
				s.ready["staging/@2"] = ReadinessFailed
			},
			want: []string{
				"Verified: app 1 is verified: app 2 soaks in staging for another 6m once it is Ready there again", has1,
				"Soak 12:01--: app 2 soaks in staging for another 6m once it is Ready there again",
			},
		},
		"it is held for an hour": {
			given: func(s *simulation) {
				s.command(sluicev1.CommandHold, "production", func(c *Command) {
					c.Reason, c.Until = "an incident", &metav1.Time{Time: s.now.Add(time.Hour)}
				})
			},
			want: []string{
				"Held: held by alice: an incident", has1, "wants app 2",
				"Hold 12:01-13:01: held by alice: an incident; `sluice pipeline resume` lets it go on",
			},
		},
		"a window is closed": {
			stage: func(p *sluicev1.Stage) {
				p.Windows = []sluicev1.Window{{Name: "evening", Kind: sluicev1.WindowAllow, Cron: "0 18 * * *", Duration: minutes(60)}}
			},
			want: []string{
				"Waiting: app 2: window evening opens at 2026-03-02T18:00:00Z; `sluice pipeline promote --override` does not wait for it",
				has1, "wants app 2",
				"Window --18:00: window evening opens at 2026-03-02T18:00:00Z; `sluice pipeline promote --override` does not wait for it",
			},
		},
		"a freeze does not end": {
			given: func(s *simulation) {
				s.freezes = []Freeze{{Name: "winter", Reason: "stocktaking", Windows: []sluicev1.Window{{
					Name: "over", Kind: sluicev1.WindowAllow,
					From: &metav1.Time{Time: epoch.Add(-2 * time.Hour)}, To: &metav1.Time{Time: epoch.Add(-time.Hour)},
				}}, Stages: []string{"production"}}}
			},
			want: []string{
				"Waiting: app 2: freeze winter: stocktaking (over) does not open again; `sluice pipeline promote --override` does not wait for it",
				has1, "wants app 2",
				"Freeze ---: freeze winter: stocktaking (over) does not open again; `sluice pipeline promote --override` does not wait for it",
			},
		},
		"a window that cannot be understood": {
			stage: func(p *sluicev1.Stage) {
				p.Windows = []sluicev1.Window{{Name: "w", Cron: "soon", Duration: minutes(1)}}
			},
			want: []string{
				`Waiting: app 2: invalid window "w": cron: ` + notFive, has1, "wants app 2", `Window ---: invalid window "w": cron: ` + notFive,
			},
		},
		"approvals are missing": {
			stage: func(p *sluicev1.Stage) { p.Approval = &sluicev1.Approval{MinApprovals: 2} },
			given: func(s *simulation) {
				s.settle()
				s.command(sluicev1.CommandApprove, "production")
			},
			want: []string{
				"Waiting: app 2: 1 of 2 approvals of app 2; `sluice pipeline approve` gives one", has1, "wants app 2",
				"Approval ---: 1 of 2 approvals of app 2; `sluice pipeline approve` gives one",
			},
		},
		"the branch is protected": {
			given: func(s *simulation) { s.unwritable["production"] = "branch main is protected" },
			want: []string{
				"Waiting: app 2: branch main is protected", has1, "wants app 2", "Content ---: branch main is protected",
			},
		},
		"the bundle is in quarantine": {
			given: func(s *simulation) {
				s.state = s.state.withBundle(NewBundle([]sluicev1.Version{{Artifact: "app", Image: "registry/app", Tag: "2"}}), s.now)
				s.state.Quarantine = []Quarantine{{Bundle: s.bundle("2"), Reason: "it failed before", At: s.now}}
			},
			want: []string{"Verified: app 1 is verified", has1},
		},
		"somebody took it out": {
			given: func(s *simulation) {
				s.settle()
				s.now = s.now.Add(time.Minute)
				s.commit("production", "", "1", "bob")
			},
			want: []string{
				"Verified: app 1 is verified: app 2 was here, and commit 5 of bob took it out; `sluice pipeline promote` brings it back",
				"has app 1 since 12:02 in 5 by bob, verified 12:02",
				"Content ---: app 2 was here, and commit 5 of bob took it out; `sluice pipeline promote` brings it back",
			},
		},
		"a pull request waits for a person": {
			stage: func(p *sluicev1.Stage) { pullRequests(p); p.Write.PullRequest.AutoMerge = sluicev1.AutoMergeNever },
			want: []string{
				"Proposed: pull request #1 proposes app 2: a person has to merge #1", has1, "wants app 2",
				"Review 12:01--: a person has to merge #1", "#1 open 9b0a",
			},
		},
		"a pull request waits for its checks": {
			stage: pullRequests,
			given: func(s *simulation) { s.settle(); s.prs["production"].Lacks = "build has not passed" },
			want: []string{
				"Proposed: pull request #1 proposes app 2: #1: build has not passed", has1, "wants app 2",
				"Review 12:01--: #1: build has not passed", "#1 open 9b0a",
			},
		},
		"a pull request is in the merge queue": {
			stage: pullRequests,
			given: func(s *simulation) { s.settle(); s.prs["production"].Queued = true },
			want: []string{
				"Proposed: pull request #1 proposes app 2: #1 is in the merge queue", has1, "wants app 2",
				"Review 12:01--: #1 is in the merge queue", "#1 open 9b0a it is in the merge queue",
			},
		},
		"a pull request has commits of others": {
			stage: pullRequests,
			given: func(s *simulation) {
				s.settle()
				s.prs["production"].Head, s.prs["production"].HeadOurs = "theirs", false
			},
			want: []string{
				"Proposed: pull request #1 proposes app 2: somebody else committed to #1: it is theirs to merge; the label sluice/retry hands it back",
				has1, "wants app 2",
				"Review 12:01--: somebody else committed to #1: it is theirs to merge; the label sluice/retry hands it back", "#1 open 9b0a",
			},
		},
		"a pull request was merged, and the branch is as it was": {
			stage: pullRequests,
			given: func(s *simulation) { s.settle(); s.prs["production"].Open, s.prs["production"].Merged = false, true },
			want: []string{
				"Waiting: app 2: " + mergedUnseen, has1, "wants app 2",
				"Review 12:01--: " + mergedUnseen, "#1 merged 9b0a",
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			change := tc.stage
			if change == nil {
				change = func(*sluicev1.Stage) {}
			}
			s := newSimulation(t, staging(), with(production(), change))
			s.settle()
			s.now = s.now.Add(time.Minute)
			s.release("2")
			if tc.given != nil {
				tc.given(s)
			}
			s.settle()
			if diff := cmp.Diff(tc.want, lines(s.status("production"))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatHappensIsTold(t *testing.T) {
	s := newSimulation(t, staging(), production())
	s.settle()
	s.told = nil
	s.release("2")
	s.settle()
	s.command(sluicev1.CommandHold, "production", func(c *Command) { c.Reason = "an incident" })
	s.settle()
	s.now = s.now.Add(time.Second)
	s.command(sluicev1.CommandHold, "production", func(c *Command) { c.End = true })
	s.settle()
	s.verification["production/@3"], s.places["production/"].evidence = VerificationFailed, "Canary apps/app failed"
	s.release("3")
	s.settle()
	delete(s.verification, "production/@3")
	s.commit("production", "", "3", "bob")
	s.settle()
	s.verification["staging/@4"], s.places["staging/"].evidence = VerificationFailed, "Job app-test failed"
	s.state.Quarantine = nil
	for i := range s.state.Stages["staging"].Landings {
		s.state.Stages["staging"].Landings[i].Verdict = VerdictReplaced
	}
	s.release("4")
	s.settle()
	want := []string{
		"staging has app 2", "app 2 is verified in staging", "production has app 2", "app 2 is verified in production",
		"alice held the stage: an incident", "alice ended the hold",
		"staging has app 3", "app 3 is verified in staging", "production has app 3",
		"! app 3 failed in production: Canary apps/app failed", "production has app 2 again", "app 2 is verified in production",
		"production has app 3, by commit 8 of bob",
		"! commit 8 of bob put app 3 back into production, which is in quarantine since 2026-03-02T12:00:01Z: Canary apps/app failed",
		"app 3 is verified in production",
		"staging has app 4", "! app 4 failed in staging: Job app-test failed",
		"! there is no bundle that was verified in staging before: app 4 stays",
	}
	if diff := cmp.Diff(want, s.told); diff != "" {
		t.Error(diff)
	}
}

func TestTheFirstObjectThatIsMissingIsTold(t *testing.T) {
	s := newSimulation(t, staging(), production())
	s.settle()
	s.ready["staging/@1"], s.ready["production/@1"] = ReadinessMissing, ReadinessMissing
	s.places["staging/"].why, s.places["production/"].why = "Kustomization a is missing", "Kustomization b is missing"
	s.settle()
	if !strings.Contains(s.last.Missing, "Kustomization a is missing") {
		t.Errorf("missing: %q", s.last.Missing)
	}
	for stage, want := range map[string]string{"staging": "a is missing", "production": "b is missing"} {
		if got := s.status(stage).Message; !strings.Contains(got, want) || !strings.Contains(got, "spec.stages["+stage+"].ready") {
			t.Errorf("%s says %q", stage, got)
		}
	}
}

func TestAVerificationThatIsMissingNamesItsField(t *testing.T) {
	s := newSimulation(t, staging())
	s.verification["staging/@1"] = VerificationMissing
	s.settle()
	s.places["staging/"].evidence = "MetricTemplate a is missing"
	s.settle()
	if want := "MetricTemplate a is missing: create it, or correct its name in spec.stages[staging].verify"; s.last.Missing != want {
		t.Errorf("missing: %q, want %q", s.last.Missing, want)
	}
}

func TestWhatIsBeingWrittenIsSaid(t *testing.T) {
	s := newSimulation(t, staging())
	s.settle()
	s.release("2")
	s.decide()
	if got := s.status("staging"); got.Phase != sluicev1.StageWriting || got.Message != "writing app 2" {
		t.Errorf("staging is %s: %q", got.Phase, got.Message)
	}
}
