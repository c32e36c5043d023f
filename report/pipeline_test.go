// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/test/make"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// quarantined puts bundles of these tags into quarantine.
func quarantined(tags ...string) func(*sluicev1.Pipeline) {
	return func(p *sluicev1.Pipeline) {
		for _, tag := range tags {
			p.Status.Quarantined = append(p.Status.Quarantined,
				sluicev1.Quarantine{Bundle: make.Bundle(tag), Stage: "production", Reason: "it crashed"})
		}
	}
}

func waits(stage int, gate sluicev1.GateType) func(*sluicev1.Pipeline) {
	return func(p *sluicev1.Pipeline) { p.Status.Stages[stage].Waiting = []sluicev1.Gate{{Type: gate}} }
}

func TestWhatToDoAboutWhatAStageWaitsFor(t *testing.T) {
	tests := map[string]struct {
		change func(*sluicev1.Pipeline)
		want   []report.Remedy
	}{
		"an approval": {waits(1, sluicev1.GateApproval), []report.Remedy{{
			Gate: sluicev1.GateApproval, Text: "approve it", Command: "pipeline approve shop production -n apps"}}},
		"a hold": {waits(1, sluicev1.GateHold), []report.Remedy{{
			Gate: sluicev1.GateHold, Text: "end the hold", Command: "pipeline resume shop production -n apps"}}},
		"a hold of a stage that wants nothing": {
			func(p *sluicev1.Pipeline) {
				p.Status.Stages[1].Waiting, p.Status.Stages[1].Hold = nil, &sluicev1.Consent{By: "alice"}
			},
			[]report.Remedy{{Text: "end the hold", Command: "pipeline resume shop production -n apps"}},
		},
		"a window": {waits(1, sluicev1.GateWindow), []report.Remedy{{
			Gate: sluicev1.GateWindow, Text: "do not wait for it", Command: "pipeline promote shop production -n apps --override --reason=WHY"}}},
		"a state that was lost": {waits(1, sluicev1.GateState), []report.Remedy{{
			Gate: sluicev1.GateState, Text: "confirm that promotions may go on", Command: "pipeline lift shop production -n apps"}}},
		"a review": {
			func(p *sluicev1.Pipeline) {
				waits(1, sluicev1.GateReview)(p)
				p.Status.Stages[1].PullRequest = &sluicev1.PullRequestStatus{Number: 7, URL: "https://forge/7"}
			},
			[]report.Remedy{{Gate: sluicev1.GateReview, Text: "review the pull request, see its checks, or merge it", URL: "https://forge/7"}},
		},
		"the newest bundle, which is in quarantine": {
			func(p *sluicev1.Pipeline) { waits(1, sluicev1.GateContent)(p); quarantined("2")(p) },
			[]report.Remedy{
				{
					Gate: sluicev1.GateContent, Text: "if it failed wrongly, end the quarantine",
					Command: "pipeline lift shop production -n apps --bundle=" + make.Bundle("2").ID,
				},
				{Gate: sluicev1.GateContent, Text: "then give it the bundle", Command: "pipeline promote shop production -n apps --bundle=" +
					make.Bundle("2").ID},
			},
		},
		"nothing, since what failed there was taken back": {
			func(p *sluicev1.Pipeline) {
				quarantined("2")(p)
				p.Status.Stages[0].Has, p.Status.Stages[1].Waiting, p.Status.Stages[1].Wants = nil, nil, nil
				p.Status.Stages[1].Landings = []sluicev1.Landing{
					{Bundle: make.Bundle("1"), Kind: sluicev1.LandingRollback}, {Bundle: make.Bundle("2"), Kind: sluicev1.LandingPromotion},
				}
			},
			[]report.Remedy{
				{Text: "if it failed wrongly, end the quarantine", Command: "pipeline lift shop production -n apps --bundle=" + make.Bundle("2").ID},
				{Text: "then give it the bundle", Command: "pipeline promote shop production -n apps --bundle=" + make.Bundle("2").ID},
			},
		},
		"what it has is in quarantine": {
			func(p *sluicev1.Pipeline) {
				quarantined("1")(p)
				waits(1, sluicev1.GateContent)(p)
			},
			[]report.Remedy{{
				Gate: sluicev1.GateContent, Text: "end the quarantine of what it has",
				Command: "pipeline lift shop production -n apps --bundle=" + make.Bundle("1").ID,
			}},
		},
		"files that cannot be read": {waits(1, sluicev1.GateContent), []report.Remedy{}},
		"time":                      {waits(1, sluicev1.GateSoak), []report.Remedy{}},
		"nothing, but what it has failed": {
			func(p *sluicev1.Pipeline) {
				p.Status.Stages[1].Waiting, p.Status.Stages[1].Phase = nil, sluicev1.StageFailed
			},
			[]report.Remedy{{Text: "give it an earlier bundle", Command: "pipeline rollback shop production -n apps --to=BUNDLE --reason=WHY"}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := report.OfPipeline(make.Pipeline(noon, tc.change)).Stages[1].Remedies
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatAStagePassesOver(t *testing.T) {
	tests := map[string]struct {
		change func(*sluicev1.Pipeline)
		want   string // its tag; empty is nothing
	}{
		"nothing, without a quarantine":           {func(*sluicev1.Pipeline) {}, ""},
		"what the stage before it has":            {quarantined("2"), "2"},
		"not what it has, which nobody took back": {quarantined("1"), ""},
		"not what a person put back": {
			func(p *sluicev1.Pipeline) { quarantined("2")(p); p.Status.Quarantined[0].Overridden = true }, "",
		},
		"not what failed before it was replaced": {quarantined("0"), ""},
		"the newest of all, if nothing is before it": {
			func(p *sluicev1.Pipeline) {
				quarantined("2")(p)
				p.Spec.Stages[1].After, p.Status.Stages[0].Has = nil, nil
			}, "2",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := ""
			if q := report.OfPipeline(make.Pipeline(noon, tc.change)).Stages[1].PassedOver; q != nil {
				got = q.Bundle.Versions[0].Tag
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestHowAStageWithARepositoryOfItsOwnIsWritten(t *testing.T) {
	p := make.Pipeline(noon, func(p *sluicev1.Pipeline) {
		p.Spec.Stages[1].Write.SourceRef = &imagev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "production"}
	})
	if got, want := report.HowItIsWritten(p, "production"), "a commit below production in GitRepository production"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestABundleByWhatPeopleCallIt(t *testing.T) {
	one, two := make.Bundle("1"), make.Bundle("2")
	mixed := sluicev1.Bundle{ID: "aaaabbbbcccc", Versions: []sluicev1.Version{{Artifact: "api", Tag: "2"}, {Artifact: "web", Tag: "1"}}}
	p := make.Pipeline(noon, func(p *sluicev1.Pipeline) {
		p.Status.Stages[0].Landings = append(p.Status.Stages[0].Landings,
			sluicev1.Landing{Bundle: mixed, At: metav1.NewTime(noon.Add(-48 * time.Hour))})
	})
	tests := map[string]struct {
		means, want string
		err         error
		says        string
	}{
		"its id":                         {one.ID, one.ID, nil, ""},
		"the first characters of its id": {"aaaa", mixed.ID, nil, ""},
		"too few of them":                {"aaa", "", report.ErrUnknownBundle, "(aaaabbbbcccc)"},
		"tags of artifacts":              {"api=2, web=1", mixed.ID, nil, ""},
		"a tag of one artifact":          {"web=2", two.ID, nil, ""},
		"a tag of several bundles":       {"1", "", report.ErrAmbiguousBundle, "api 1, web 1 (" + one.ID + "), api 2, web 1 (aaaabbbbcccc)"},
		"a tag that nobody knows":        {"3", "", report.ErrUnknownBundle, "known: api 2, web 2 (" + two.ID + "), api 1, web 1"},
		"nothing":                        {"", "", report.ErrUnknownBundle, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := report.FindBundle(p, tc.means)
			if got.ID != tc.want || !errors.Is(err, tc.err) || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s, %v", got.ID, err)
			}
		})
	}
}

func TestWhatBecameOfEachBundleInEachStage(t *testing.T) {
	p := make.Pipeline(noon, quarantined("0"), func(p *sluicev1.Pipeline) {
		p.Status.Stages[1].PullRequest = &sluicev1.PullRequestStatus{State: "open", Bundle: make.Bundle("2").ID}
	})
	var got []string
	for _, row := range report.Matrix(p) {
		line := row.Bundle.Versions[0].Tag
		for _, c := range row.Stages {
			line += " " + c.Stage + "=" + c.Relation + "," + c.Verdict + "," + c.Commit
		}
		if row.Newest {
			line += " newest"
		}
		if row.Quarantined {
			line += " quarantined"
		}
		got = append(got, line)
	}
	const commit = "c0ffee0123456789"
	want := []string{
		"2 staging=Has,Verified," + commit + " production=Proposes,, newest",
		"1 staging=Had,Verified," + commit + " production=Has,Verified," + commit, "0 staging=,, production=,, quarantined",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatAStageWouldBePromotedAndRolledBackTo(t *testing.T) {
	name := func(b *sluicev1.Bundle) string {
		if b == nil {
			return ""
		}
		return b.Versions[0].Tag
	}
	tests := map[string]struct {
		stage             string
		change            func(*sluicev1.Pipeline)
		promote, rollback string
	}{
		"a stage that waits":                   {"production", func(*sluicev1.Pipeline) {}, "2", ""},
		"one that wants nothing":               {"production", func(p *sluicev1.Pipeline) { p.Status.Stages[1].Wants = nil }, "2", ""},
		"one that has the newest":              {"staging", func(*sluicev1.Pipeline) {}, "", "1"},
		"one whose last bundle is quarantined": {"staging", quarantined("1"), "", ""},
		"one whose last bundle was not verified": {
			"staging", func(p *sluicev1.Pipeline) { p.Status.Stages[0].Landings[1].Verdict = "Replaced" }, "", "",
		},
		"one that lags behind": {
			"staging",
			func(p *sluicev1.Pipeline) { three := make.Bundle("3"); p.Status.Candidate = &three },
			"3",
			"1",
		},
	}
	for title, tc := range tests {
		t.Run(title, func(t *testing.T) {
			p := make.Pipeline(noon, tc.change)
			if got := name(report.Promotable(p, tc.stage)); got != tc.promote {
				t.Errorf("promoted to %q, want %q", got, tc.promote)
			}
			if got := name(report.RollbackTarget(p, tc.stage)); got != tc.rollback {
				t.Errorf("rolled back to %q, want %q", got, tc.rollback)
			}
		})
	}
}

func TestObjectionsToCommandsToAStage(t *testing.T) {
	one, two := make.Bundle("1").ID, make.Bundle("2").ID
	given := func(verb sluicev1.CommandVerb, bundle string) report.GivenCommand {
		return report.GivenCommand{Verb: verb, Command: sluicev1.Command{By: "alice", Bundle: bundle}}
	}
	nothing := func(*sluicev1.Pipeline) {}
	approved := func(until time.Time) func(*sluicev1.Pipeline) {
		return func(p *sluicev1.Pipeline) {
			p.Status.Stages[1].Approvals = []sluicev1.Consent{{Bundle: two, By: "alice", At: metav1.NewTime(noon), Until: &metav1.Time{Time: until}}}
		}
	}
	tests := map[string]struct {
		stage  string
		change func(*sluicev1.Pipeline)
		given  report.GivenCommand
		want   string // empty is no objection
	}{
		"a stage that there is not": {
			"prod", nothing, given(sluicev1.CommandHold, ""), "the stages of Pipeline apps/shop are staging, production",
		},
		"a suspended pipeline": {
			"production", func(p *sluicev1.Pipeline) { p.Spec.Suspend = true }, given(sluicev1.CommandHold, ""),
			"is suspended",
		},
		"an approval":                      {"production", nothing, given(sluicev1.CommandApprove, two), ""},
		"an approval where none is needed": {"staging", nothing, given(sluicev1.CommandApprove, two), "staging needs no approval"},
		"an approval of nothing": {
			"production", func(p *sluicev1.Pipeline) { p.Status.Stages[1].Wants = nil }, given(sluicev1.CommandApprove, ""),
			"wants no other bundle",
		},
		"a second approval": {
			"production", approved(noon.Add(time.Hour)), given(sluicev1.CommandApprove, two),
			"you approved it for production at 2026-01-02T12:00:00Z",
		},
		"an approval after one that expired": {"production", approved(noon), given(sluicev1.CommandApprove, two), ""},
		"a hold":                             {"production", nothing, given(sluicev1.CommandHold, ""), ""},
		"the end of no hold": {
			"production", nothing, report.GivenCommand{Verb: sluicev1.CommandHold, Command: sluicev1.Command{End: true}},
			"production is not held",
		},
		"a promotion":                  {"production", nothing, given(sluicev1.CommandPromote, two), ""},
		"a promotion of what is there": {"staging", nothing, given(sluicev1.CommandPromote, two), "staging has api 2, web 2"},
		"a promotion of nothing":       {"staging", nothing, given(sluicev1.CommandPromote, ""), "name another one with --bundle"},
		"a promotion of what is in quarantine": {
			"production", quarantined("2"), given(sluicev1.CommandPromote, two),
			"it crashed; end that first with sluice pipeline lift shop production -n apps --bundle=" + two,
		},
		"a rollback":                          {"staging", nothing, given(sluicev1.CommandRollback, one), ""},
		"a rollback to nothing":               {"production", nothing, given(sluicev1.CommandRollback, ""), "name one with --to"},
		"a rollback to what is in quarantine": {"staging", quarantined("1"), given(sluicev1.CommandRollback, one), "is in quarantine"},
		"a lift of nothing":                   {"production", nothing, given(sluicev1.CommandLift, ""), "nothing is in quarantine"},
		"a lift of what is not in quarantine": {"production", quarantined("1"), given(sluicev1.CommandLift, two), "in quarantine: api 1, web 1"},
		"a lift of one of several": {
			"production", quarantined("1", "2"), given(sluicev1.CommandLift, ""), "2 bundles are in quarantine",
		},
		"a lift of the only one": {"production", quarantined("1"), given(sluicev1.CommandLift, ""), ""},
		"a confirmation":         {"production", waits(0, sluicev1.GateState), given(sluicev1.CommandLift, ""), ""},
		"an override of nothing": {"staging", nothing, given(sluicev1.CommandOverride, ""), "wants no other bundle"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := report.ObjectionToStage(make.Pipeline(noon, tc.change), tc.stage, tc.given, noon)
			if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestAPendingCommandIsOneThatNobodyTookUp(t *testing.T) {
	value := sluicev1.Command{By: "alice", At: metav1.NewTime(noon)}.String()
	for name, tc := range map[string]struct {
		done *metav1.Time
		want int
	}{
		"a new one":             {nil, 1},
		"one after another":     {&metav1.Time{Time: noon.Add(-time.Second)}, 1},
		"one that was taken up": {&metav1.Time{Time: noon}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := make.Pipeline(noon, func(p *sluicev1.Pipeline) {
				p.Annotations = map[string]string{"hold.sluice.dev/production": value, "approve.sluice.dev/production": "not a command"}
				if tc.done != nil {
					p.Status.Stages[1].Commands = []sluicev1.CommandStatus{{Verb: sluicev1.CommandHold, At: *tc.done}}
				}
			})
			if got := report.OfPipeline(p).Stages[1].Pending; len(got) != tc.want {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestTheStageThatACommandIsMeantFor(t *testing.T) {
	tests := map[string]struct {
		change func(*sluicev1.Pipeline)
		verb   sluicev1.CommandVerb
		end    bool
		want   string // empty is an error
	}{
		"the one that waits for approval": {func(*sluicev1.Pipeline) {}, sluicev1.CommandApprove, false, "production"},
		"the one that is held": {
			func(p *sluicev1.Pipeline) { p.Status.Stages[0].Hold = &sluicev1.Consent{} }, sluicev1.CommandHold, true,
			"staging",
		},
		"none of two to hold": {func(*sluicev1.Pipeline) {}, sluicev1.CommandHold, false, ""},
		"the only one": {
			func(p *sluicev1.Pipeline) { p.Spec.Stages = p.Spec.Stages[:1] }, sluicev1.CommandHold, false, "staging",
		},
		"any one to lift what is nowhere":      {func(*sluicev1.Pipeline) {}, sluicev1.CommandLift, false, "staging"},
		"the one whose window keeps it closed": {waits(1, sluicev1.GateWindow), sluicev1.CommandOverride, false, "production"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := report.StageOf(make.Pipeline(noon, tc.change), tc.verb, sluicev1.Command{End: tc.end})
			if got != tc.want || (err == nil) != (tc.want != "") {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}
