// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

const (
	v1, v2, v3 = DigestPrefix + "v1", DigestPrefix + "v2", DigestPrefix + "v3"
	initial    = flaggerv1.CanaryPhase("")
)

var (
	noon  = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	names = Names{Namespace: "test", Canary: "podinfo", Target: "podinfo", Kind: "Deployment", Provider: "gatewayapi:v1"}
	floor = 99.0
)

func running(revision string) Workload {
	return Workload{Exists: true, Revision: revision, Replicas: 2, Available: 2, Ready: true}
}

func stopped(revision string) Workload {
	return Workload{Exists: true, Revision: revision, Why: "scaled to zero"}
}

func rolling(revision string) Workload {
	return Workload{Exists: true, Revision: revision, Replicas: 2, Available: 1, Why: "rolling"}
}

func stuck(revision string) Workload {
	w := rolling(revision)
	w.Stuck = true
	return w
}

// gone is a workload whose pods are not there.
func gone(revision string) Workload {
	return Workload{Exists: true, Revision: revision, Replicas: 2, Why: "gone"}
}

// situation is what a decision is made from: the previous state, and what is seen.
type situation struct {
	State State
	Observation
}

// decide makes the decision at noon.
func (s situation) decide() (Decision, error) { return Decide(s.State, s.Observation, noon) }

// transition is the same for a part of a decision.
func (s situation) transition() transition {
	return transition{prev: s.State, seen: s.Observation, now: noon}
}

// at is an analysis of v2 in which v1 is the primary, and its check is due.
func at(phase flaggerv1.CanaryPhase, weight int) situation {
	return situation{
		State: State{Phase: phase, Weight: weight, Applied: v2, Promoted: v1, At: noon.Add(-time.Minute)},
		Observation: Observation{
			Names: names,
			Plan: Plan{Routed: true, Interval: time.Minute, Threshold: 2,
				Steps: []Step{{Weight: 20}, {Weight: 40}, {Weight: 50}}, Metrics: []Metric{{Name: successRate, Min: &floor}}},
			Target: running(v2), Primary: running(v1),
			Weights: provider.Split(weight), Snapshots: map[string]bool{v1: true, v2: true},
			Measured: []Measurement{{Name: successRate, Value: 99.8}},
		},
	}
}

// edited is a situation of which something is different.
func edited(s situation, edit func(*situation)) situation {
	edit(&s)
	return s
}

// actionNames leaves out the maintenance that every decision on a running canary begins with.
func actionNames(actions []Action) []string {
	var out []string
	for _, a := range actions {
		switch a.(type) {
		case EnsureServices, EnsureApex, EnsureRoute:
			continue
		}
		text := fmt.Sprintf("%T%v", a, a)
		out = append(out, strings.ReplaceAll(strings.TrimPrefix(text, "canary."), DigestPrefix, ""))
	}
	return out
}

func messages(events []Event) string {
	var out []string
	for _, e := range events {
		out = append(out, e.Message)
	}
	return strings.Join(out, "\n")
}

func questionNames(q Questions) string {
	var out []string
	for _, m := range q.Metrics {
		out = append(out, m.Name)
	}
	for _, hook := range q.Hooks {
		out = append(out, string(hook))
	}
	return strings.Join(out, " ")
}

func holdText(h *flaggerv1.CanaryHold) string {
	switch {
	case h == nil:
		return ""
	case h.Approved:
		return fmt.Sprintf("%s %s approved", h.Kind, h.Gate)
	default:
		return strings.Join(strings.Fields(fmt.Sprintf("%s %s by %s", h.Kind, h.Gate, h.By)), " ")
	}
}

type decisionCase struct {
	given        situation
	wantPhase    flaggerv1.CanaryPhase
	wantWeight   int
	wantFailed   int
	wantApplied  string
	wantPromoted string
	wantActions  []string
	wantEvents   string
	wantProblem  string
	wantResult   ReleaseResult
	wantDue      string // what is asked, in its order
	wantHold     string
}

func (tc decisionCase) run(t *testing.T) {
	t.Helper()
	decision, err := tc.given.decide()
	if err != nil {
		t.Fatal(err)
	}
	wantMessage(t, decision)
	got := decisionCase{wantPhase: decision.State.Phase, wantWeight: decision.State.Weight, wantFailed: decision.State.FailedChecks,
		wantApplied: decision.State.Applied, wantPromoted: decision.State.Promoted,
		wantActions: actionNames(decision.Actions), wantEvents: messages(decision.Events),
		wantProblem: decision.Problem, wantResult: decision.Result,
		wantDue: questionNames(decision.due), wantHold: holdText(decision.State.Hold)}
	tc.given = situation{}
	if diff := cmp.Diff(tc, got, cmp.AllowUnexported(decisionCase{})); diff != "" {
		t.Error(diff)
	}
}

func TestInitializing(t *testing.T) {
	fresh := func(phase flaggerv1.CanaryPhase, primary Workload) situation {
		s := at(phase, 0)
		s.State.Applied, s.State.Promoted, s.Target, s.Primary = "", "", running(v1), primary
		return s
	}
	for name, tc := range map[string]decisionCase{
		"a new canary makes its primary out of the target": {
			given: fresh(initial, Workload{}), wantPhase: flaggerv1.CanaryPhaseInitializing,
			wantActions: []string{"Snapshot{v1}", "SetPrimary{v1}"},
		},
		"the target serves until the primary is ready": {
			given: fresh(flaggerv1.CanaryPhaseInitializing, rolling(v1)), wantPhase: flaggerv1.CanaryPhaseInitializing,
		},
		"a primary that does not start leaves the target alone": {
			given: fresh(flaggerv1.CanaryPhaseInitializing, stuck(v1)), wantPhase: flaggerv1.CanaryPhaseInitializing,
			wantProblem: "podinfo-primary.test not ready: rolling",
		},
		"users move over to a ready primary": {
			given: fresh(flaggerv1.CanaryPhaseInitializing, running(v1)), wantPhase: flaggerv1.CanaryPhaseInitialized,
			wantApplied: v1, wantPromoted: v1,
			wantActions: []string{"SetPrimary{v1}", "SetWeights{{100 0 false}}", "StopTarget{}"}, wantEvents: "Initialization done! podinfo.test",
		},
		"a target that moved on meanwhile is not taken for the primary": {
			given: edited(fresh(flaggerv1.CanaryPhaseInitializing, running(v1)), func(s *situation) {
				s.Target = running(v2)
			}), wantPhase: flaggerv1.CanaryPhaseInitialized,
			wantApplied: v1, wantPromoted: v1,
			wantActions: []string{"SetPrimary{v1}", "SetWeights{{100 0 false}}", "StopTarget{}"}, wantEvents: "Initialization done! podinfo.test",
		},
		"a missing target is a problem": {
			given:       edited(fresh(initial, Workload{}), func(s *situation) { s.Target = Workload{} }),
			wantPhase:   flaggerv1.CanaryPhaseInitializing,
			wantProblem: "spec.targetRef: Deployment test/podinfo does not exist; create it, or correct the reference",
		},
	} {
		t.Run(name, tc.run)
	}
}

func TestAnalysis(t *testing.T) {
	progressing := flaggerv1.CanaryPhaseProgressing
	bad := func(s *situation) { s.Measured[0].Value = 69.172 }
	for name, tc := range map[string]decisionCase{
		"a new revision is pinned and scaled up": {
			given:     edited(at(flaggerv1.CanaryPhaseSucceeded, 0), func(s *situation) { s.State.Applied, s.Target = v1, stopped(v2) }),
			wantPhase: progressing, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{100 0 false}}", "Snapshot{v2}", "StartTarget{}"},
			wantEvents:  "New revision detected! Scaling up podinfo.test",
		},
		"a canary that is not ready gets no users": {
			given:     edited(at(progressing, 0), func(s *situation) { s.Target = rolling(v2) }),
			wantPhase: progressing, wantApplied: v2, wantPromoted: v1,
		},
		"a ready canary gets the first step": {
			given: at(progressing, 0), wantPhase: progressing, wantWeight: 20, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{80 20 false}}"},
			wantEvents:  "Starting canary analysis for podinfo.test\nAdvance podinfo.test canary weight 20 (request-success-rate 99.80%)",
		},
		"a good check takes the next step": {
			given: at(progressing, 20), wantPhase: progressing, wantWeight: 40, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{60 40 false}}"},
			wantEvents:  "Advance podinfo.test canary weight 40 (request-success-rate 99.80%)",
		},
		"a stage lasts its interval": {
			given:     edited(at(progressing, 20), func(s *situation) { s.State.At = noon.Add(-time.Second) }),
			wantPhase: progressing, wantWeight: 20, wantApplied: v2, wantPromoted: v1,
		},
		"a good check after the last step promotes the pinned revision": {
			given: at(progressing, 50), wantPhase: flaggerv1.CanaryPhasePromoting, wantWeight: 50, wantApplied: v2, wantPromoted: v1,
			wantEvents: "Copying podinfo.test template spec to podinfo-primary.test (request-success-rate 99.80%)",
		},
		"a failed check holds": {
			given: edited(at(progressing, 20), bad), wantPhase: progressing, wantWeight: 20, wantFailed: 1, wantApplied: v2, wantPromoted: v1,
			wantEvents: "Halt podinfo.test advancement success rate 69.17% < 99%",
		},
		"a failed check at the limit rolls back in the same step": {
			given:     edited(at(progressing, 20), func(s *situation) { bad(s); s.State.FailedChecks = 1 }),
			wantPhase: flaggerv1.CanaryPhaseFailed, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}"}, wantResult: ResultFailed,
			wantEvents: "Halt podinfo.test advancement success rate 69.17% < 99%\n" +
				"Rolling back podinfo.test failed checks threshold reached 2\nCanary failed! Scaling down podinfo.test",
		},
		"a metric without values is a failed check": {
			given: edited(at(progressing, 20), func(s *situation) {
				s.Measured[0] = Measurement{Name: successRate, NoValues: true}
			}), wantPhase: progressing,
			wantWeight: 20, wantFailed: 1, wantApplied: v2, wantPromoted: v1,
			wantEvents: "Halt advancement no values found for gatewayapi:v1 metric request-success-rate probably " +
				"podinfo.test is not receiving traffic",
		},
		"a canary past its deadline rolls back": {
			given:     edited(at(progressing, 20), func(s *situation) { s.Target = stuck(v2) }),
			wantPhase: flaggerv1.CanaryPhaseFailed, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}"}, wantResult: ResultFailed,
			wantEvents: "Rolling back podinfo.test progress deadline exceeded canary deployment podinfo.test not ready: rolling\n" +
				"Canary failed! Scaling down podinfo.test",
		},
		"a canary without pods loses its users": {
			given:     edited(at(progressing, 20), func(s *situation) { s.Target.Available, s.Target.Ready = 0, false }),
			wantPhase: progressing, wantFailed: 1, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{100 0 false}}"}, wantEvents: "Halt podinfo.test advancement canary has no available pods",
		},
		"an unfit primary holds the steps": {
			given:     edited(at(progressing, 20), func(s *situation) { s.Primary = rolling(v1) }),
			wantPhase: progressing, wantWeight: 20, wantApplied: v2, wantPromoted: v1,
			wantEvents: "Halt podinfo.test advancement podinfo-primary.test not ready: rolling",
		},
		"skipping the analysis still waits for the primary": {
			given:     edited(at(progressing, 0), func(s *situation) { s.Plan.Skip = true }),
			wantPhase: flaggerv1.CanaryPhasePromoting, wantApplied: v2, wantPromoted: v1,
			wantEvents: "Copying podinfo.test template spec to podinfo-primary.test (request-success-rate 99.80%)",
		},
		"a promotion whose status was lost goes on": {
			given:     edited(at(progressing, 50), func(s *situation) { bad(s); s.Primary = rolling(v2) }),
			wantPhase: flaggerv1.CanaryPhasePromoting, wantWeight: 50, wantApplied: v2, wantPromoted: v1,
		},
	} {
		t.Run(name, tc.run)
	}
}

func TestPromotion(t *testing.T) {
	promoting := func(weight int, primary Workload) situation {
		return edited(at(flaggerv1.CanaryPhasePromoting, weight), func(s *situation) { s.Primary = primary })
	}
	for name, tc := range map[string]decisionCase{
		"users stay on the canary until the primary is ready": {
			given: promoting(50, rolling(v2)), wantPhase: flaggerv1.CanaryPhasePromoting, wantWeight: 50, wantApplied: v2, wantPromoted: v1,
		},
		"a ready primary gets all users": {
			given: promoting(50, running(v2)), wantPhase: flaggerv1.CanaryPhaseFinalising, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetPrimary{v2}", "SetWeights{{100 0 false}}"}, wantEvents: "Routing all traffic to primary",
		},
		"users leave a canary that lost its pods for what there is of the primary": {
			given: edited(promoting(50, rolling(v2)), func(s *situation) {
				s.Target.Available, s.Target.Ready = 0, false
			}), wantPhase: flaggerv1.CanaryPhasePromoting,
			wantApplied: v2, wantPromoted: v1, wantActions: []string{"SetWeights{{100 0 false}}"},
		},
		"users can come back step by step": {
			given:     edited(promoting(50, running(v2)), func(s *situation) { s.Plan.PromotionStep = 20 }),
			wantPhase: flaggerv1.CanaryPhasePromoting, wantWeight: 30, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetPrimary{v2}", "SetWeights{{70 30 false}}"}, wantEvents: "Advance podinfo.test primary weight 70",
		},
		"a primary that lost the revision gets it again": {
			given: promoting(50, running(v1)), wantPhase: flaggerv1.CanaryPhasePromoting, wantWeight: 50, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetPrimary{v2}"},
		},
		"a primary that does not start gets its old revision back, and users stay on the canary": {
			given: promoting(50, stuck(v2)), wantPhase: flaggerv1.CanaryPhaseFailed, wantWeight: 100, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{0 100 false}}", "SetPrimary{v1}"}, wantResult: ResultFailed,
			wantEvents: "Promotion of podinfo.test failed, primary not ready: rolling",
			wantProblem: "Canary failed, traffic stays on it: podinfo-primary.test not ready: rolling. Reason: " +
				"promotion failed, primary not ready: rolling",
		},
		"users come back to the old primary once it is ready": {
			given:     edited(at(flaggerv1.CanaryPhaseFailed, 100), func(s *situation) { s.Primary = running(v1) }),
			wantPhase: flaggerv1.CanaryPhaseFailed, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}"}, wantEvents: "Canary failed! Scaling down podinfo.test",
		},
		"a revert in Git gives the primary its old revision back": {
			given:     edited(promoting(50, rolling(v2)), func(s *situation) { s.Target = running(v1) }),
			wantPhase: flaggerv1.CanaryPhaseInitialized, wantApplied: v1, wantPromoted: v1, wantResult: ResultReverted,
			wantActions: []string{"SetWeights{{100 0 false}}", "SetPrimary{v1}", "SetWeights{{100 0 false}}", "StopTarget{}"},
			wantEvents:  "Revision reverted! Ending analysis of podinfo.test without promotion",
		},
		"the canary goes when its users have left": {
			given:     edited(at(flaggerv1.CanaryPhaseFinalising, 0), func(s *situation) { s.Primary = running(v2) }),
			wantPhase: flaggerv1.CanaryPhaseSucceeded, wantApplied: v2, wantPromoted: v2, wantResult: ResultPromoted,
			wantActions: []string{"SetWeights{{100 0 false}}", "StopTarget{}"}, wantEvents: "Promotion completed! Scaling down podinfo.test",
		},
		"a primary that breaks while users leave gives them back": {
			given: edited(at(flaggerv1.CanaryPhaseFinalising, 0), func(s *situation) {
				s.Primary = Workload{Exists: true, Revision: v2, Replicas: 2, Why: "gone"}
			}), wantPhase: flaggerv1.CanaryPhasePromoting, wantWeight: 100, wantApplied: v2, wantPromoted: v1,
			wantActions: []string{"SetWeights{{0 100 false}}"}, wantEvents: "Routing all traffic to canary, podinfo-primary.test not ready: gone",
		},
	} {
		t.Run(name, tc.run)
	}
}

func TestAnUnknownPhaseIsAnError(t *testing.T) {
	unknown := at("Dreaming", 0)
	if _, err := unknown.decide(); err == nil {
		t.Error("no error")
	}
}

func TestDueAsksOnlyWhenACheckCounts(t *testing.T) {
	for name, tc := range map[string]struct {
		given situation
		want  int
	}{
		"a stage that has lasted":   {at(flaggerv1.CanaryPhaseProgressing, 20), 1},
		"a canary without users":    {at(flaggerv1.CanaryPhaseProgressing, 0), 0},
		"a stage that has not":      {edited(at(flaggerv1.CanaryPhaseProgressing, 20), func(s *situation) { s.State.At = noon }), 0},
		"another revision":          {edited(at(flaggerv1.CanaryPhaseProgressing, 20), func(s *situation) { s.Target = running(v3) }), 0},
		"a route nobody took up":    {edited(at(flaggerv1.CanaryPhaseProgressing, 20), func(s *situation) { s.RoutePending = true }), 0},
		"a promotion":               {at(flaggerv1.CanaryPhasePromoting, 50), 0},
		"a canary at rest":          {at(flaggerv1.CanaryPhaseSucceeded, 0), 0},
		"a gate that Flagger waits": {at(flaggerv1.CanaryPhaseWaitingPromotion, 50), 1},
	} {
		t.Run(name, func(t *testing.T) {
			tc.given.Measured = nil
			if got := Due(tc.given.State, tc.given.Observation, noon).Metrics; len(got) != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// TestADecisionGoesOnFromWhereThePartBeforeItLeads: what is decided next sees the
// state of the part before it, and what it says last holds.
func TestADecisionGoesOnFromWhereThePartBeforeItLeads(t *testing.T) {
	tr := at(flaggerv1.CanaryPhaseProgressing, 20).transition()
	first := tr.unchanged()
	first.addActions(StartTarget{})
	first.addEvent("first")
	first.wait(time.Minute, "one")
	first.State.Weight = 40
	both := tr.then(first, func(next transition) Decision {
		d := next.unchanged()
		d.addActions(StopTarget{})
		d.alert(flaggerv1.SeverityWarn, "then")
		d.State.Iterations = next.prev.Weight
		d.Message = "two"
		return d
	})
	if tr.prev.Weight != 20 || len(first.Actions) != 1 || len(first.Events) != 1 {
		t.Errorf("the parts were changed: %+v %+v", tr.prev, first)
	}
	want := first
	want.Actions = []Action{StartTarget{}, StopTarget{}}
	want.Events = []Event{{Message: "first"}, {Warning: true, Message: "then", Alert: flaggerv1.SeverityWarn}}
	want.State.Iterations, want.Message = 40, "two"
	if diff := cmp.Diff(want, both, cmp.AllowUnexported(Decision{})); diff != "" {
		t.Error(diff)
	}
}
