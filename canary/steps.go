// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"
	"slices"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// Step is one step of an analysis.
type Step struct {
	// Weight is the canary's percentage of the users.
	Weight int
	// Mirror sends the canary copies of the users' requests.
	Mirror bool
	// Iteration counts the steps of analyses that count; zero in those whose
	// steps are told apart by their weight.
	Iteration int
}

func (s Step) weights() provider.Weights {
	w := provider.Split(s.Weight)
	w.Mirror = s.Mirror
	return w
}

// fallbackIterations are those of a progressive release that nothing can route, as
// Flagger has them.
const fallbackIterations = 10

// maxIterations is a week of one check a minute. The plan lists them all.
const maxIterations = 10_080

// setSteps lays out the analysis. Step weights stop at maxWeight, the most that
// the owner is willing to risk. What nothing can route is tried without users.
func (p *Plan) setSteps(a *flaggerv1.CanaryAnalysis) error {
	if a.Iterations > maxIterations {
		return &Refused{"spec.analysis.iterations", fmt.Sprintf("must be at most %d", maxIterations)}
	}
	var err error
	switch {
	case !p.Routed:
		p.Steps = p.unroutedSteps(a)
	case a.Iterations > 0:
		p.Steps = iterationSteps(a)
	case len(a.StepWeights) > 0:
		p.Steps, err = listedSteps(a)
	case a.StepWeight > 0:
		p.Steps = evenSteps(a)
	default:
		err = &Refused{"spec.analysis", "one of iterations, stepWeight and stepWeights must be positive"}
	}
	return err
}

// unroutedSteps are those of a release that nothing routes: checks, and no users.
// What Flagger reads otherwise it says, and so does the plan.
func (p *Plan) unroutedSteps(a *flaggerv1.CanaryAnalysis) []Step {
	if len(a.Match) > 0 {
		p.Notes = append(p.Notes, "A/B testing is not supported when using the kubernetes provider")
	}
	count := a.Iterations
	if count < 1 {
		count = fallbackIterations
		p.Notes = append(p.Notes, "Progressive traffic is not supported when using the kubernetes provider",
			fmt.Sprintf("Setting canaryAnalysis.iterations: %d", count))
	}
	steps := make([]Step, count)
	for i := range steps {
		steps[i] = Step{Iteration: i + 1}
	}
	return steps
}

// iterationSteps are those of a blue/green release, or of an A/B test.
func iterationSteps(a *flaggerv1.CanaryAnalysis) []Step {
	var steps []Step
	for i := 1; i <= a.Iterations; i++ {
		step := Step{Iteration: i, Mirror: a.Mirror}
		if len(a.Match) > 0 {
			step = Step{Iteration: i, Weight: 100}
		}
		steps = append(steps, step)
	}
	if len(a.Match) == 0 {
		steps = append(steps, Step{Iteration: a.Iterations + 1, Weight: 100})
	}
	return steps
}

// listedSteps have the weights that the owner lists.
func listedSteps(a *flaggerv1.CanaryAnalysis) ([]Step, error) {
	steps := mirrorStep(a)
	for i, w := range a.StepWeights {
		if w < 1 || w > 100 || i > 0 && w <= a.StepWeights[i-1] {
			return nil, &Refused{"spec.analysis.stepWeights", "must rise, from 1 to at most 100"}
		}
		steps = append(steps, Step{Weight: w})
	}
	return steps, nil
}

// evenSteps have weights that rise by the same.
func evenSteps(a *flaggerv1.CanaryAnalysis) []Step {
	steps, highest := mirrorStep(a), min(a.GetMaxWeight(), 100)
	for w := a.StepWeight; ; w += a.StepWeight {
		steps = append(steps, Step{Weight: min(w, highest)})
		if w >= highest {
			return steps
		}
	}
}

// mirrorStep is the step before the first weight in which the canary sees copies
// of requests only.
func mirrorStep(a *flaggerv1.CanaryAnalysis) []Step {
	if !a.Mirror {
		return nil
	}
	return []Step{{Mirror: true, Iteration: 1}}
}

// progressive reports whether users move step by step.
func (p Plan) progressive() bool {
	return len(p.Steps) > 0 && p.Steps[len(p.Steps)-1].Iteration == 0
}

// position returns the index of the step that the state is in, or -1 before the
// first. A spec that was edited in between moves no user back.
func (p Plan) position(s State) int {
	at := -1
	for i, step := range p.Steps {
		counted := step.Iteration > 0 && step.Iteration <= s.Iterations
		weighed := step.Iteration == 0 && step.Weight <= s.stepWeight()
		if counted || weighed {
			at = i
		}
	}
	return at
}

// weights are what the routes should say in a state.
func (p Plan) weights(s State) provider.Weights {
	w := provider.Split(s.Weight)
	if at := p.position(s); analysing(s.Phase) && at >= 0 && p.Steps[at].Weight == s.Weight {
		w.Mirror = p.Steps[at].Mirror
	}
	return w
}

// gatesBefore are the gates between the step that a state is in and the next one. The
// promotion is asked for both before all users of a blue/green release are sent to the
// canary and after.
func (p Plan) gatesBefore(next int, s State) []flaggerv1.HookType {
	var gates []flaggerv1.HookType
	promotable := approved(s.Hold, flaggerv1.ConfirmPromotionHook) || s.Phase == flaggerv1.CanaryPhaseWaitingPromotion
	if !promotable && p.asksForIncrease(next, s) {
		gates = append(gates, flaggerv1.ConfirmTrafficIncreaseHook)
	}
	if next >= len(p.Steps) || p.switchesAll(p.Steps[next]) {
		gates = append(gates, flaggerv1.ConfirmPromotionHook)
	}
	return gates
}

// asksForIncrease reports whether going on to a step is to be approved as an increase
// of the canary's users. Flagger calls its webhooks in progressive releases only,
// there for the promotion, too; a gate by annotation is closed in every release.
func (p Plan) asksForIncrease(next int, s State) bool {
	last := next >= len(p.Steps)
	if p.progressive() {
		return last || !p.Steps[next].Mirror
	}
	return !last && p.Steps[next].Weight > s.stepWeight() && slices.Contains(p.Gates, flaggerv1.ConfirmTrafficIncreaseHook)
}

// switchesAll reports whether a step is the one that follows the iterations of a
// blue/green release.
func (p Plan) switchesAll(step Step) bool { return step.Iteration > p.iterations() }

// iterations is the number of steps that Flagger counts.
func (p Plan) iterations() int {
	n := 0
	for i, step := range p.Steps {
		blueGreenEnd := i > 0 && step.Weight > 0 && p.Steps[i-1].Weight == 0
		if step.Iteration > 0 && !blueGreenEnd {
			n++
		}
	}
	return n
}

// stepMessage tells of a step as Flagger does, and what made it possible.
func stepMessage(step Step, seen Observation) string {
	plan, measured := seen.Plan, formatMeasurements(seen.Measured)
	switch {
	case step.Iteration == 0:
		return fmt.Sprintf("Advance %s canary weight %d%s", seen.canary(), step.Weight, measured)
	case step.Mirror && plan.progressive():
		return "Mirroring traffic to " + seen.canary()
	case plan.switchesAll(step) && plan.Steps[0].Mirror:
		return "Stop traffic mirroring and route all traffic to canary" + measured
	case plan.switchesAll(step):
		return "Routing all traffic to canary" + measured
	default:
		return fmt.Sprintf("Advance %s canary iteration %d/%d%s", seen.canary(), step.Iteration, plan.iterations(), measured)
	}
}
