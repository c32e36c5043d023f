// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// quietSimulation has v1 as its primary, and releases step by step: 20, 40, 50.
func quietSimulation(t *testing.T, what uint64) *simulation {
	w := newSimulation(t, planFor(t, strategies["progressive"], what), 1)
	w.runUntilCalm()
	w.quiet = true
	return w
}

// until lets time pass until something is true.
func (w *simulation) until(what string, reached func() bool) {
	w.t.Helper()
	for range 300 {
		if reached() {
			return
		}
		decision := w.reconcile()
		w.elapse(max(decision.After, time.Second))
	}
	w.fatalf("never %s", what)
}

func (w *simulation) weight(weight int) func() bool {
	return func() bool { return w.state.Weight == weight }
}

func (w *simulation) phase(phase flaggerv1.CanaryPhase) func() bool {
	return func() bool { return w.state.Phase == phase }
}

// wantEnds holds the verdicts of the last releases, the newest first, to what
// they should be, and the primary to the revision that it should have.
func (w *simulation) wantEnds(primary int, verdicts ...string) {
	w.t.Helper()
	var got []string
	for _, release := range w.state.History {
		got = append(got, release.Verdict)
	}
	if diff := cmp.Diff(verdicts, got); diff != "" {
		w.fatalf("verdicts %s", diff)
	}
	if want := revision(primary); w.primary.revision != want {
		w.fatalf("the primary has %s, not %s", w.primary.revision, want)
	}
}

func TestARevertDuringTheAnalysisEndsItAndTheRevertedRevisionCanComeBack(t *testing.T) {
	w := quietSimulation(t, 2)
	w.push(behaviour{})
	w.until("at 40", w.weight(40))
	w.deploy(revision(1))
	w.runUntilCalm()
	w.wantEnds(1, flaggerv1.VerdictReverted)
	w.deploy(revision(2))
	w.runUntilCalm()
	w.wantEnds(2, flaggerv1.VerdictPromoted, flaggerv1.VerdictReverted)
}

func TestAFixAfterAFailureIsReleased(t *testing.T) {
	w := quietSimulation(t, 2)
	w.release(behaviour{failsChecks: true}, flaggerv1.CanaryPhaseFailed)
	w.release(behaviour{}, flaggerv1.CanaryPhaseSucceeded)
	w.wantEnds(3, flaggerv1.VerdictPromoted, flaggerv1.VerdictFailed)
}

func TestARevertAfterAFailureStaysFailedAndTheSameRevisionCanBeTriedAgain(t *testing.T) {
	w := quietSimulation(t, 2)
	w.release(behaviour{failsChecks: true}, flaggerv1.CanaryPhaseFailed)
	w.deploy(revision(1))
	w.runUntilCalm()
	if w.state.Phase != flaggerv1.CanaryPhaseFailed {
		t.Errorf("phase %s", w.state.Phase)
	}
	w.behaviour[revision(2)] = behaviour{}
	w.deploy(revision(2))
	w.runUntilCalm()
	w.wantEnds(2, flaggerv1.VerdictPromoted, flaggerv1.VerdictFailed)
}

func TestAFixAfterAFailedPromotionIsReleasedAndNobodyNotices(t *testing.T) {
	w := quietSimulation(t, 2)
	w.push(behaviour{neverStartsAsPrimary: true})
	w.until("failed", w.phase(flaggerv1.CanaryPhaseFailed))
	if w.weights.Canary != 100 {
		t.Fatalf("users are at %v while the primary does not start", w.weights)
	}
	w.push(behaviour{})
	w.runUntilCalm()
	w.wantEnds(3, flaggerv1.VerdictPromoted, flaggerv1.VerdictFailed)
}

func TestAFailedPromotionIsTakenBack(t *testing.T) {
	w := quietSimulation(t, 2)
	w.push(behaviour{neverStartsAsPrimary: true})
	w.runUntilCalm()
	if w.until("back", w.weight(0)); w.state.Phase != flaggerv1.CanaryPhaseFailed || w.weights != provider.ToPrimary {
		t.Errorf("%s with %v", w.state.Phase, w.weights)
	}
	w.wantEnds(1, flaggerv1.VerdictFailed)
}

// Configuration of a revision that was rejected since stayed with a primary that was
// promoted no further than that: pods got it with their next restart.
func TestAPromotionThatIsCutOffLeavesNoConfigurationBehind(t *testing.T) {
	for name, tc := range map[string]struct {
		then     func(*simulation)
		primary  int
		verdicts []string
	}{
		"when checks fail after it": {
			func(w *simulation) { w.behaviour[revision(2)] = behaviour{failsChecks: true} },
			2, []string{flaggerv1.VerdictPromoted},
		},
		"when Git goes back": {
			func(w *simulation) { w.deploy(revision(1)) },
			1, []string{flaggerv1.VerdictReverted},
		},
		"when another revision comes": {
			func(w *simulation) { w.push(behaviour{failsChecks: true}) },
			2, []string{flaggerv1.VerdictFailed, flaggerv1.VerdictPromoted},
		},
		"when Git goes back, and that is cut off when another revision comes": {
			func(w *simulation) {
				w.until("promoting", func() bool { return w.primary.revision == revision(2) })
				w.deploy(revision(1))
				w.cutOff = true
				w.reconcile()
				w.push(behaviour{failsChecks: true})
			},
			2, []string{flaggerv1.VerdictFailed, flaggerv1.VerdictPromoted},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := quietSimulation(t, 2)
			w.push(behaviour{})
			w.cutOff = true
			w.until("cut off", func() bool { return w.primary.config == revision(2) })
			tc.then(w)
			w.runUntilCalm()
			w.wantEnds(tc.primary, tc.verdicts...)
		})
	}
}

func TestTheFirstPrimaryKeepsItsConfigurationIfItsReplacementIsCutOff(t *testing.T) {
	w := newSimulation(t, planFor(t, strategies["progressive"], 2), 1)
	w.quiet = true
	w.reconcile()
	w.push(behaviour{})
	w.cutOff = true
	w.reconcile()
	w.primary.available, w.primary.rolled = w.primary.replicas, true
	w.until("initialized", w.phase(flaggerv1.CanaryPhaseInitialized))
	w.runUntilCalm()
	w.wantEnds(2, flaggerv1.VerdictPromoted)
}

func TestARevisionThatNobodyAnalysedIsNeverPromoted(t *testing.T) {
	for name, when := range map[string]func(*simulation){
		"pushed with the last check":       func(w *simulation) { w.until("at 50", w.weight(50)) },
		"pushed during the promotion":      func(w *simulation) { w.until("promoting", w.phase(flaggerv1.CanaryPhasePromoting)) },
		"pushed while users go back":       func(w *simulation) { w.until("finalising", w.phase(flaggerv1.CanaryPhaseFinalising)) },
		"pushed while its pods are coming": func(w *simulation) { w.until("progressing", w.phase(flaggerv1.CanaryPhaseProgressing)) },
	} {
		t.Run(name, func(t *testing.T) {
			w := quietSimulation(t, 2)
			w.push(behaviour{})
			when(w)
			w.push(behaviour{failsChecks: true})
			w.runUntilCalm()
			if w.primary.revision == revision(3) || w.state.Phase != flaggerv1.CanaryPhaseFailed {
				t.Errorf("%s with %s", w.state.Phase, w.primary.revision)
			}
		})
	}
}

func TestAnEditInMidAnalysisMovesNobodyAndHoldsFromTheNextStep(t *testing.T) {
	w := quietSimulation(t, 2)
	w.push(behaviour{})
	w.until("at 40", w.weight(40))
	w.plan = planFor(t, strategies["listed"], 2)
	w.reconcile()
	if w.weights.Canary != 40 {
		t.Errorf("the edit moved users to %v", w.weights)
	}
	w.until("at 100", w.weight(100))
	w.runUntilCalm()
	w.wantEnds(2, flaggerv1.VerdictPromoted)
}

// TestFailedChecksAddUp: three of them, however many good ones are in between, as
// in Flagger.
func TestFailedChecksAddUp(t *testing.T) {
	w := quietSimulation(t, 2)
	w.push(behaviour{})
	w.until("at 20", w.weight(20))
	for i, weight := range []int{20, 40} {
		w.behaviour[revision(2)] = behaviour{failsChecks: true}
		w.until("a failed check", func() bool { return w.state.FailedChecks == i+1 })
		if w.state.Weight != weight {
			t.Fatalf("a failed check moved users to %v", w.weights)
		}
		w.behaviour[revision(2)] = behaviour{}
		w.until("the next stage", func() bool { return w.state.Weight > weight })
	}
	w.behaviour[revision(2)] = behaviour{failsChecks: true}
	w.until("failed", w.phase(flaggerv1.CanaryPhaseFailed))
	if steps := w.state.History[0].Steps; steps[len(steps)-1].FailedChecks == 0 || w.state.FailedChecks != 0 ||
		w.weights != provider.ToPrimary {
		t.Errorf("%+v, %d failed checks, %v", steps, w.state.FailedChecks, w.weights)
	}
}

// TestAnIdleCanaryNeedsNothing: no timer, no question, and nothing to be written
// but what maintenance looks at.
func TestAnIdleCanaryNeedsNothing(t *testing.T) {
	for name, strategy := range strategies {
		t.Run(name, func(t *testing.T) {
			w := newSimulation(t, planFor(t, strategy, 0x1ffc), 1)
			w.runUntilCalm()
			w.release(behaviour{}, flaggerv1.CanaryPhaseSucceeded)
			w.quiet = true
			seen := w.observe()
			decision, err := Decide(seen.State, seen.Observation, w.now.Add(time.Hour))
			if err != nil || decision.After != 0 || len(actionNames(decision.Actions)) > 0 || !decision.due.None() || len(decision.Events) > 0 {
				t.Errorf("after %s: %v, %q, %v", decision.After, actionNames(decision.Actions), messages(decision.Events), err)
			}
			if diff := cmp.Diff(seen.State, decision.State); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestAnEditedStrategyGivesNobodyTheCanary: an A/B release of chosen users is
// edited, and without its match the weight of 100 would be for everybody.
func TestAnEditedStrategyGivesNobodyTheCanary(t *testing.T) {
	blueGreen := []Step{{Iteration: 1}, {Iteration: 2}, {Iteration: 3}, {Iteration: 4, Weight: 100}}
	for name, tc := range map[string]struct {
		stages []Step
		edit   func(*situation)
	}{
		"into steps":                               {[]Step{{Weight: 20}, {Weight: 50}}, func(*situation) {}},
		"into steps up to everybody":               {[]Step{{Weight: 50}, {Weight: 100}}, func(*situation) {}},
		"into blue/green":                          {blueGreen, func(*situation) {}},
		"into steps, while the primary is unready": {[]Step{{Weight: 20}, {Weight: 50}}, func(s *situation) { s.Primary = rolling(v1) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := at(flaggerv1.CanaryPhaseProgressing, 100)
			s.Plan.Steps, s.State.Iterations, s.Weights = tc.stages, 2, provider.ToPrimary
			s.State.History = []flaggerv1.CanaryRelease{{Revision: v2, Steps: []flaggerv1.CanaryStep{{Weight: 100, Iteration: 2}}}}
			tc.edit(&s)
			decision, err := s.decide()
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range decision.Actions {
				if w, ok := a.(SetWeights); ok && w.Canary > 0 {
					t.Errorf("users are sent to the canary: %v", w)
				}
			}
			if decision.State.Weight != 0 || decision.State.Iterations != 0 {
				t.Errorf("the analysis does not start over: %+v", decision.State)
			}
		})
	}
}

// TestAnEndLeavesNoCountersForTheNextRelease, and starts the interval anew.
func TestAnEndLeavesNoCountersForTheNextRelease(t *testing.T) {
	for name, tc := range map[string]struct {
		given        situation
		failedChecks int
		wantPhase    flaggerv1.CanaryPhase
	}{
		"initialization": {
			edited(at(flaggerv1.CanaryPhaseInitializing, 0), func(s *situation) { s.Target = running(v1) }),
			1,
			flaggerv1.CanaryPhaseInitialized,
		},
		"success": {
			edited(at(flaggerv1.CanaryPhaseFinalising, 0), func(s *situation) { s.Primary = running(v2) }),
			0,
			flaggerv1.CanaryPhaseSucceeded,
		},
		"rollback": {
			edited(at(flaggerv1.CanaryPhaseProgressing, 20), func(s *situation) { s.Target = stuck(v2) }),
			1,
			flaggerv1.CanaryPhaseFailed,
		},
		"revert": {
			edited(at(flaggerv1.CanaryPhaseProgressing, 20), func(s *situation) { s.Target = running(v1) }),
			1,
			flaggerv1.CanaryPhaseInitialized,
		},
		"restart": {
			edited(at(flaggerv1.CanaryPhaseProgressing, 20), func(s *situation) { s.Target = running(v3) }),
			1,
			flaggerv1.CanaryPhaseProgressing,
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc.given.State.Iterations, tc.given.State.FailedChecks = 2, tc.failedChecks
			d, err := tc.given.decide()
			if err != nil || d.State.Phase != tc.wantPhase {
				t.Fatalf("%s, %v", d.State.Phase, err)
			}
			if d.State.Iterations != 0 || d.State.FailedChecks != 0 || !d.State.At.Equal(noon) {
				t.Errorf("%d iterations, %d failed checks at %s", d.State.Iterations, d.State.FailedChecks, d.State.At)
			}
		})
	}
}

func TestUsersWhoCameBackToThePrimaryAreRecordedWithTheTime(t *testing.T) {
	d, err := edited(at(flaggerv1.CanaryPhaseFailed, 100), func(s *situation) { s.State.At = noon.Add(-time.Hour) }).decide()
	if err != nil || d.State.Weight != 0 || !d.State.At.Equal(noon) {
		t.Errorf("weight %d at %s, %v", d.State.Weight, d.State.At, err)
	}
}

func TestAnAutoscalerIsThereFromTheStart(t *testing.T) {
	for name, tc := range map[string]struct {
		autoscaled, edited, want bool
	}{
		"a spec with an autoscaler":          {autoscaled: true, want: true},
		"an edited spec, which had one once": {edited: true, want: true},
		"a spec that never had one":          {},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := edited(at(flaggerv1.CanaryPhaseInitializing, 0), func(s *situation) {
				s.Target, s.Plan.Autoscaled, s.Edited = running(v1), tc.autoscaled, tc.edited
			}).decide()
			if got := slices.Contains(d.Actions, Action(EnsureScaler{})); err != nil || got != tc.want {
				t.Errorf("%v, %v", d.Actions, err)
			}
		})
	}
}
