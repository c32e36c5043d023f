// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// releaseLines has a line for each release.
func releaseLines(releases []flaggerv1.CanaryRelease) []string {
	var out []string
	for _, r := range releases {
		line := fmt.Sprintf("%s %q %q", r.Revision[len(DigestPrefix):], r.Verdict, r.Reason)
		if r.By != "" {
			line += " by " + r.By
		}
		out = append(out, line)
	}
	return out
}

// withHistory has v1 promoted, and v2 under way since an hour.
func withHistory(s situation) situation {
	hour := metav1.NewTime(noon.Add(-time.Hour))
	s.State.History = []flaggerv1.CanaryRelease{
		{Revision: v2, StartedAt: hour, Steps: []flaggerv1.CanaryStep{{Weight: 20, At: hour}}},
		{Revision: v1, StartedAt: hour, EndedAt: hour, Verdict: flaggerv1.VerdictPromoted},
	}
	return s
}

func TestHistory(t *testing.T) {
	progressing := flaggerv1.CanaryPhaseProgressing
	v1Promoted := `v1 "promoted" ""`
	for name, tc := range map[string]struct {
		given situation
		want  []string
	}{
		"a release begins":                      {arriving(flaggerv1.CanaryPhaseSucceeded), []string{`v2 "" ""`}},
		"one that waits is in the history, too": {withAnswer(arriving(flaggerv1.CanaryPhaseSucceeded), confirmRollout, no), []string{`v2 "" ""`}},
		"a stage changes nothing":               {withHistory(at(progressing, 20)), []string{`v2 "" ""`, v1Promoted}},
		"another revision supersedes it": {withHistory(edited(at(progressing, 20), func(s *situation) { s.Target = running(v3) })),
			[]string{`v3 "" ""`, `v2 "superseded" "another revision came"`, v1Promoted}},
		"a revision that took the place of one that waited supersedes it": {
			edited(withHistory(waitingAt(withHooks(arriving(waiting), confirmRollout), confirmRollout)), func(s *situation) {
				s.Target = stopped(v3)
				s.State.Hold.Approved = true
			}),
			[]string{`v2 "" ""`, v1Promoted}, // not before its own gate was asked
		},
		"Git went back": {withHistory(edited(at(progressing, 20), func(s *situation) { s.Target = running(v1) })),
			[]string{`v2 "reverted" "Git went back to what users have"`, v1Promoted}},
		"a revision that waited is gone": {
			withHistory(edited(waitingAt(withHooks(arriving(waiting), confirmRollout), confirmRollout), func(s *situation) {
				s.Target = stopped(v1)
			})),
			[]string{`v2 "reverted" "Git went back to what users have"`, v1Promoted},
		},
		"the check that was one too many says why": {
			withHistory(edited(at(progressing, 20), func(s *situation) { s.Measured[0].Value, s.Plan.Threshold = 50, 1 })),
			[]string{`v2 "failed" "Halt podinfo.test advancement success rate 50.00% < 99%"`, v1Promoted}},
		"decisive samples say why": {withHistory(edited(at(progressing, 20), func(s *situation) { s.Alarm = "lag 7.00 in 3 samples in a row" })),
			[]string{`v2 "failed" "lag 7.00 in 3 samples in a row"`, v1Promoted}},
		"a deadline says why": {withHistory(edited(at(progressing, 20), func(s *situation) { s.Target = stuck(v2) })),
			[]string{`v2 "failed" "progress deadline exceeded: canary deployment podinfo.test not ready: rolling"`, v1Promoted}},
		"whoever aborts is named": {
			withHistory(withCommand(at(progressing, 20), flaggerv1.CommandAbort)),
			[]string{`v2 "failed" "aborted by ann" by ann`, v1Promoted},
		},
		"a webhook that wants a rollback is named": {withHistory(withAnswer(at(progressing, 20), rollbackHook, Answer{
			OK:      true,
			Webhook: "page",
		})),
			[]string{`v2 "failed" "rollback webhook page"`, v1Promoted}},
		"a promotion that fails says why": {withHistory(edited(at(flaggerv1.CanaryPhasePromoting, 50), func(s *situation) {
			s.Primary = stuck(v2)
		})),
			[]string{`v2 "failed" "promotion failed, primary not ready: rolling"`, v1Promoted}},
		"a good release": {withHistory(edited(at(flaggerv1.CanaryPhaseFinalising, 0), func(s *situation) { s.Primary = running(v2) })),
			[]string{`v2 "promoted" "all checks passed"`, v1Promoted}},
		"a release without analysis": {withHistory(edited(at(flaggerv1.CanaryPhaseFinalising, 0), func(s *situation) {
			s.Primary, s.Plan.Skip = running(v2), true
		})),
			[]string{`v2 "skipped" "the analysis was skipped"`, v1Promoted}},
		"whoever commands a promotion is named": {edited(withHistory(edited(at(flaggerv1.CanaryPhaseFinalising, 0), func(s *situation) {
			s.Primary = running(v2)
		})), func(s *situation) {
			s.State.History[0].By, s.State.History[0].Reason = "ann", promotionCommanded
		}), []string{`v2 "promoted" "promotion was commanded" by ann`, v1Promoted}},
		"a commanded promotion that does not come about says why": {edited(withHistory(edited(at(progressing, 0), func(s *situation) {
			s.Target = stuck(v2)
		})), func(s *situation) {
			s.State.History[0].By, s.State.History[0].Reason = "ann", promotionCommanded
		}), []string{`v2 "failed" "progress deadline exceeded: canary deployment podinfo.test not ready: rolling"`, v1Promoted}},
	} {
		t.Run(name, func(t *testing.T) {
			decision, err := tc.given.decide()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, releaseLines(decision.State.History)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStepsOfAReleaseAreKeptWithWhatWasMeasured(t *testing.T) {
	good, bad := 99.8, 50.0
	failure := "Halt podinfo.test advancement success rate 50.00% < 99%"
	minute := metav1.NewTime(noon.Add(time.Minute))
	s := withHistory(at(flaggerv1.CanaryPhaseProgressing, 20))
	s.Target.Images = []string{"app:2"}
	for i, value := range []float64{good, bad} {
		s.Measured = []Measurement{{Name: successRate, Value: value}}
		decision, err := Decide(s.State, s.Observation, noon.Add(time.Duration(i+1)*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		s.State = decision.State
		s.Weights = provider.Split(decision.State.Weight)
	}
	want := []flaggerv1.CanaryStep{
		{Weight: 20, At: s.State.History[0].StartedAt, Measured: []flaggerv1.CanaryMeasurement{{Name: successRate, Value: &good}}},
		{Weight: 40, At: minute, FailedChecks: 1, Measured: []flaggerv1.CanaryMeasurement{{Name: successRate, Value: &bad, Failure: failure}}},
	}
	if diff := cmp.Diff(want, s.State.History[0].Steps); diff != "" {
		t.Error(diff)
	}
}

func TestTheHistoryIsBounded(t *testing.T) {
	w := newSimulation(t, planFor(t, strategies["listed"], 2), 1)
	w.plan.Steps = nil
	for i := range flaggerv1.MaxSteps + 5 {
		w.plan.Steps = append(w.plan.Steps, Step{Weight: i + 1})
	}
	w.runUntilCalm()
	for range flaggerv1.MaxReleases + 2 {
		w.release(behaviour{}, flaggerv1.CanaryPhaseSucceeded)
	}
	newest := w.state.History[0]
	if len(w.state.History) != flaggerv1.MaxReleases || len(newest.Steps) != flaggerv1.MaxSteps ||
		newest.Steps[flaggerv1.MaxSteps-1].Weight != flaggerv1.MaxSteps+5 {
		t.Errorf("%d releases, the newest with %d steps", len(w.state.History), len(newest.Steps))
	}
	if diff := cmp.Diff([]string{"app:" + newest.Revision}, newest.Images); diff != "" {
		t.Error(diff)
	}
}

// TestAHistoryIsNeverChanged: each method returns another one, also for the steps of
// the newest release.
func TestAHistoryIsNeverChanged(t *testing.T) {
	now := noon.Add(time.Minute)
	step := flaggerv1.CanaryStep{Weight: 20, Measured: []flaggerv1.CanaryMeasurement{{Name: "lag"}}}
	history := func() History {
		// With room behind, which an append would write into.
		steps := append(make([]flaggerv1.CanaryStep, 0, 4), step)
		return append(make(History, 0, 4), flaggerv1.CanaryRelease{
			Revision: v2,
			Steps:    steps,
		}, flaggerv1.CanaryRelease{Revision: v1, EndedAt: metav1.NewTime(noon)})
	}
	for name, change := range map[string]func(History) History{
		"begin": func(h History) History { return h.withRelease(v3, nil, now) },
		"end":   func(h History) History { return h.withVerdict(flaggerv1.VerdictFailed, "lag", now) },
		"enter": func(h History) History { return h.enter(Step{Weight: 40}, now) },
		"measure": func(h History) History {
			return h.measure([]Measurement{{Name: "lag", Value: 7}}, []string{"too much"})
		},
		"failCheck": History.failCheck,
	} {
		t.Run(name, func(t *testing.T) {
			h := history()
			changed := change(h)
			if diff := cmp.Diff(history(), h); diff != "" {
				t.Error(diff)
			}
			if cmp.Equal(h, changed) {
				t.Error("nothing is recorded")
			}
			if behind := append(h[:2:4], flaggerv1.CanaryRelease{}); !cmp.Equal(history(), behind[:2]) || h[0].Steps[:2][1].Weight != 0 {
				t.Error("something was written behind the end of the history")
			}
		})
	}
}

func TestACommandedPromotionKeepsItsReasonOnlyIfItComesAbout(t *testing.T) {
	commanded := History{{Revision: v2, Reason: promotionCommanded, By: "ann"}}
	for verdict, want := range map[string]string{
		flaggerv1.VerdictPromoted: `v2 "promoted" "promotion was commanded" by ann`,
		flaggerv1.VerdictFailed:   `v2 "failed" "no pods"`,
	} {
		if diff := cmp.Diff([]string{want}, releaseLines(commanded.withVerdict(verdict, "no pods", noon))); diff != "" {
			t.Error(diff)
		}
	}
}

func TestTheReleaseUnderWayIsTheFirstWithoutAnEnd(t *testing.T) {
	ended := flaggerv1.CanaryRelease{Revision: v1, EndedAt: metav1.NewTime(noon), Verdict: flaggerv1.VerdictFailed, Reason: "lag"}
	for name, tc := range map[string]struct {
		history         History
		wantCurrent     string
		wantLastFailure string
	}{
		"nothing was released":    {nil, "", ""},
		"a release is under way":  {History{{Revision: v2}, ended}, v2, ""},
		"the last one has failed": {History{ended}, "", "lag"},
		"a success after a failed one": {
			History{{Revision: v2, EndedAt: metav1.NewTime(noon), Verdict: flaggerv1.VerdictPromoted, Reason: "good"}, ended},
			"",
			"",
		},
		"an older one without an end": {History{ended, {Revision: v2}}, "", "lag"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.history.current().Revision; got != tc.wantCurrent || tc.history.underWay() != (got != "") {
				t.Errorf("under way is %q", got)
			}
			if got := tc.history.lastFailure(); got != tc.wantLastFailure {
				t.Errorf("failed because of %q", got)
			}
		})
	}
}

// TestAReleaseHasTheImagesOfItsRevision, and none if the target has moved on.
func TestAReleaseHasTheImagesOfItsRevision(t *testing.T) {
	for target, want := range map[string][]string{v2: {"app:2"}, v3: nil} {
		tr := edited(at(flaggerv1.CanaryPhasePromoting, 50), func(s *situation) {
			s.Target = running(target)
			s.Target.Images = []string{"app:2"}
		}).transition()
		if got := withRelease(tr).History.current(); got.Revision != v2 || !slices.Equal(got.Images, want) {
			t.Errorf("target %s: %+v", target, got)
		}
	}
}
