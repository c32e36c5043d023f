// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// strategies are all ways in which a release can get its users.
var strategies = map[string]func(*flaggerv1.Canary){
	"progressive": func(c *flaggerv1.Canary) { c.Spec.Analysis.StepWeight, c.Spec.Analysis.MaxWeight = 20, 50 },
	"listed":      func(c *flaggerv1.Canary) { c.Spec.Analysis.StepWeights = []int{10, 40, 100} },
	"back step by step": func(c *flaggerv1.Canary) {
		c.Spec.Analysis.StepWeight, c.Spec.Analysis.StepWeightPromotion = 50, 20
	},
	"mirror":            func(c *flaggerv1.Canary) { c.Spec.Analysis.StepWeight, c.Spec.Analysis.Mirror = 60, true },
	"blue-green":        func(c *flaggerv1.Canary) { c.Spec.Analysis.Iterations = 2 },
	"mirror blue-green": func(c *flaggerv1.Canary) { c.Spec.Analysis.Iterations, c.Spec.Analysis.Mirror = 2, true },
	"chosen users": func(c *flaggerv1.Canary) {
		c.Spec.Analysis.Iterations, c.Spec.Analysis.Match = 2, make([]flaggerv1.HTTPMatchRequest, 1)
	},
	"kubernetes":           func(c *flaggerv1.Canary) { c.Spec.Provider, c.Spec.Analysis.Iterations = "kubernetes", 2 },
	"kubernetes by weight": func(c *flaggerv1.Canary) { c.Spec.Provider, c.Spec.Analysis.StepWeight = "kubernetes", 20 },
	"worker":               func(c *flaggerv1.Canary) { c.Spec.Provider, c.Spec.Service.Port, c.Spec.Analysis.Iterations = "", 0, 2 },
	"skip":                 func(c *flaggerv1.Canary) { c.Spec.SkipAnalysis, c.Spec.Analysis.StepWeight = true, 50 },
}

// planFor adds to a strategy what else a spec may ask for, by the bits of what.
func planFor(t *testing.T, strategy func(*flaggerv1.Canary), what uint64) Plan {
	c := object("gatewayapi:v1", func(s *flaggerv1.CanarySpec) {
		s.Analysis.Threshold = 1 + int(what%3)
		s.Analysis.Metrics = []flaggerv1.CanaryMetric{
			{Name: successRate, Threshold: 99},
			{Name: "lag", ThresholdRange: &flaggerv1.CanaryThresholdRange{Min: &floor}},
		}
	})
	a := c.Spec.Analysis
	for i, hook := range []flaggerv1.HookType{"", flaggerv1.PreRolloutHook, flaggerv1.PostRolloutHook, flaggerv1.ConfirmRolloutHook,
		flaggerv1.ConfirmPromotionHook, flaggerv1.ConfirmTrafficIncreaseHook, flaggerv1.RollbackHook} {
		if what&(1<<(2+i)) != 0 {
			a.Webhooks = append(a.Webhooks, flaggerv1.CanaryWebhook{Name: "hook", Type: hook, URL: "http://127.0.0.1"})
		}
	}
	c.Annotations = map[string]string{}
	if what&(1<<10) != 0 {
		c.Annotations[flaggerv1.GatesAnnotation] = []string{
			"confirm-rollout", "confirm-promotion", "confirm-traffic-increase", "confirm-rollout,confirm-traffic-increase,confirm-promotion",
		}[what>>11%4]
	}
	if what&(1<<13) != 0 {
		a.SessionAffinity = &flaggerv1.SessionAffinity{CookieName: "canary", PrimaryCookieName: "primary"}
	}
	strategy(c)
	if what&(1<<14) != 0 {
		judged := c.DeepCopy()
		judged.Spec.Analysis.Judge = &flaggerv1.CanaryJudge{OnInconclusive: []flaggerv1.InconclusiveAction{
			"", flaggerv1.InconclusivePromote, flaggerv1.InconclusiveRollback, flaggerv1.InconclusiveHold}[what>>15%4]}
		if _, err := NewPlan(judged, PlanSettings{}); err == nil {
			c = judged
		}
	}
	plan, err := NewPlan(c, PlanSettings{})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// disturb is what other people do.
func (w *simulation) disturb() {
	choice := w.pick(w.rarity)
	if w.statefulSet != nil && choice >= 5 && choice < 10 {
		w.statefulSet.disturb(w)
		return
	}
	switch choice {
	case 0:
		w.push(behaviour{})
	case 1:
		w.push(behaviour{failsChecks: true})
	case 2:
		w.push(behaviour{neverStarts: true})
	case 3:
		w.push(behaviour{neverStartsAsPrimary: true})
	case 4:
		if w.state.Promoted != "" {
			w.deploy(w.state.Promoted)
		}
	case 5:
		w.logf("primary loses its pods")
		w.primary.available, w.primary.age = 0, 0
	case 6:
		w.logf("canary loses its pods")
		w.target.available, w.target.age = 0, 0
	case 7:
		if w.state.Promoted != "" {
			w.logf("primary deleted")
			w.primary = pods{config: w.primary.config}
		}
	case 8:
		if w.target.exists && w.target.replicas == 0 {
			w.logf("target scaled up by somebody else")
			w.rolledBack = ""
			w.target.replicas, w.target.age, w.target.rolled = 2, 0, false
		}
	case 9:
		w.logf("weights changed by somebody else")
		w.weights, w.everyone = provider.ToPrimary, false
	case 10:
		if len(w.edits) > 0 {
			w.plan, w.edited = w.edits[w.pick(len(w.edits))], true
			w.logf("spec: %d stages, hooks %v, gates %v", len(w.plan.Steps), w.plan.Hooks, w.plan.Gates)
		}
	case 15:
		w.refused = w.pick(12)
		w.logf("the Gateway refuses the route for %d observations", w.refused)
	case 16:
		w.unmeasurable = w.pick(12)
		w.logf("the template is missing for %d observations", w.unmeasurable)
	case 11, 12, 13, 14:
		w.giveCommand(flaggerv1.CommandVerbs[w.pick(len(flaggerv1.CommandVerbs))])
	}
}

// runUntilCalm lets time pass without disturbance until nothing happens any more.
// Whatever is held waits for a person, who approves.
func (w *simulation) runUntilCalm() {
	was := w.quiet
	w.quiet = true
	defer func() { w.quiet = was }()
	held, calm := 0, 0
	for seen := 0; seen < 1000 && calm < 2*patience; seen++ {
		decision := w.reconcile()
		w.elapse(max(decision.After, time.Second))
		calm++
		if decision.After > 0 || len(decision.Events) > 0 || w.state.Hold != nil {
			calm = 0
		}
		if w.state.Hold == nil {
			held = 0
		} else if held++; held%10 == 0 {
			w.giveCommand(flaggerv1.CommandApprove)
		}
	}
	w.checkSettled(calm)
}

// release pushes a revision into a calm cluster, and waits for its end.
func (w *simulation) release(f behaviour, want flaggerv1.CanaryPhase) {
	w.push(f)
	w.runUntilCalm()
	if w.state.Phase != want {
		w.fatalf("a release that is %+v ended as %s", f, w.state.Phase)
	}
	if served := w.primary.revision == w.target.revision; served != (want == flaggerv1.CanaryPhaseSucceeded) {
		w.fatalf("%s, but the primary has %s of %s", want, w.primary.revision, w.target.revision)
	}
}

// runHistory lets disturbances happen, and then through a good and a bad
// release.
func (w *simulation) runHistory(observations int) {
	for range observations {
		decision := w.reconcile()
		w.elapse(time.Duration(w.pick(200)) * max(decision.After, time.Second) / 100)
		w.disturb()
	}
	w.runUntilCalm()
	first := w.state.Promoted == ""
	w.push(behaviour{})
	w.runUntilCalm()
	if first {
		return
	}
	w.release(behaviour{}, flaggerv1.CanaryPhaseSucceeded)
	w.release(behaviour{neverStarts: true}, flaggerv1.CanaryPhaseFailed)
	w.release(behaviour{}, flaggerv1.CanaryPhaseSucceeded)
	if !w.plan.Skip {
		w.release(behaviour{failsChecks: true}, flaggerv1.CanaryPhaseFailed)
	}
}

// spread makes of a small number one whose bits are all over the place.
func spread(n uint64) uint64 { return n * 2654435761 >> 5 }

// edits are other plans for the users of a strategy: whoever routes them stays.
func edits(t *testing.T, routed bool, what uint64) []Plan {
	var plans []Plan
	for i, name := range slices.Sorted(maps.Keys(strategies)) {
		if plan := planFor(t, strategies[name], what+uint64(i)<<3); plan.Routed == routed && !plan.Worker {
			plans = append(plans, plan)
		}
	}
	return plans
}

// CANARY_SEEDS plays more histories of each strategy.
func TestPromisesHoldInEveryHistory(t *testing.T) {
	seeds := uint64(40)
	if n, err := strconv.ParseUint(os.Getenv("CANARY_SEEDS"), 10, 64); err == nil {
		seeds = n
	}
	for name, strategy := range strategies {
		t.Run(name, func(t *testing.T) {
			for seed := range seeds {
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					w := newSimulation(t, planFor(t, strategy, spread(seed)), seed)
					w.rarity = 40 + 80*int(seed%2)
					if seed%4 == 0 && !w.plan.Worker {
						w.edits = edits(t, w.plan.Routed, spread(seed+1))
					}
					w.runHistory(150)
				})
			}
		})
	}
}

// FuzzPromises lets a fuzzer choose what happens.
func FuzzPromises(f *testing.F) {
	all := slices.Sorted(maps.Keys(strategies))
	for i := range all {
		f.Add(uint8(i), spread(uint64(i)), []byte("a release, \x00\x01 and what people make of it"))
	}
	f.Fuzz(func(t *testing.T, strategy uint8, what uint64, script []byte) {
		w := newSimulation(t, planFor(t, strategies[all[int(strategy)%len(all)]], what), what)
		w.script = script
		w.runHistory(40)
	})
}
