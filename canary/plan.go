package canary

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// Plan is what the spec of a Canary asks for.
type Plan struct {
	// Routed means that users can be split between the two copies. Otherwise all
	// of them are on the primary throughout.
	Routed bool
	// Worker means that there are no Services and no users at all.
	Worker bool
	// InPlace means that the canary gets its pods by its weight, and not before:
	// there is nobody to send users to until they are there, and nobody does.
	InPlace bool
	// Autoscaled means that an autoscaler is to be kept in step.
	Autoscaled bool
	// Steps are gone through in order; each is left after one good check.
	Steps []Step
	// Interval is the time that a stage lasts before its check.
	Interval time.Duration
	// Threshold is the number of failed checks that ends the analysis.
	Threshold int
	// Deadline is how long anything may take that others have to do.
	Deadline time.Duration
	// ABTest means that the analysis is for users who are chosen, and no others.
	ABTest bool
	// PromotionStep moves users back to the primary in steps of this percentage;
	// zero moves them at once.
	PromotionStep int
	// Skip promotes without measuring.
	Skip bool
	// Metrics are measured in every check.
	Metrics []Metric
	// Hooks has the types of the webhooks that there are.
	Hooks map[flaggerv1.HookType]bool
	// Gates are those that are closed until a person approves.
	Gates []flaggerv1.HookType
	// SampleEvery is the time between two samples of the metrics within a stage,
	// zero for none.
	SampleEvery time.Duration
	// Affinity asks for session cookies; nil is none.
	Affinity *flaggerv1.SessionAffinity
	// Notes are what the owner should know about how the spec was read.
	Notes []string
}

// Step is one step of an analysis.
type Step struct {
	// Weight is the canary's percentage of the users.
	Weight int
	// Mirror sends the canary copies of the users' requests.
	Mirror bool
	// Iteration counts the stages of analyses that count; zero in those whose
	// stages are told apart by their weight.
	Iteration int
}

func (s Step) weights() Weights {
	w := split(s.Weight)
	w.Mirror = s.Mirror
	return w
}

// Refused is an error about a field that cannot be honoured.
type Refused struct{ Field, Why string }

func (e *Refused) Error() string { return e.Field + ": " + e.Why }

// Limits are the controller's settings that bound every plan.
type Limits struct {
	// MinInterval is the shortest time between two checks.
	MinInterval time.Duration
	// Provider is that of canaries that name none.
	Provider string
}

// fallbackIterations are those of a progressive release that nothing can route, as
// Flagger has them.
const fallbackIterations = 10

// maxIterations is a week of one check a minute. The plan lists them all.
const maxIterations = 10_080

// NewPlan reads the spec. The error is a [*Refused].
func NewPlan(c *flaggerv1.Canary, limits Limits) (Plan, error) {
	if err := refuse(c); err != nil {
		return Plan{}, err
	}
	routing := provider.Of(c, limits.Provider).Routing
	p := Plan{Routed: routing != provider.Nowhere, Worker: !c.HasService() && routing == provider.Nowhere,
		InPlace: routing == provider.ByPod, Autoscaled: c.Spec.AutoscalerRef != nil,
		Skip: c.SkipAnalysis(), Interval: limits.MinInterval, Deadline: c.ProgressDeadline()}
	if err := p.setGates(c.Annotations[flaggerv1.GatesAnnotation]); err != nil {
		return Plan{}, err
	}
	a := c.Spec.Analysis
	if a == nil {
		return p, nil
	}
	p.Threshold = a.GetThreshold()
	p.PromotionStep = a.StepWeightPromotion
	p.Affinity = a.SessionAffinity
	p.Notes = unused(a)
	p.ABTest = len(a.Match) > 0
	p.setHooks(a.Webhooks)
	if err := p.setInterval(a.Interval, limits.MinInterval); err != nil {
		return Plan{}, err
	}
	if err := p.setMetrics(a); err != nil {
		return Plan{}, err
	}
	return p, p.setStages(a)
}

// setHooks notes which types of webhooks there are.
func (p *Plan) setHooks(webhooks []flaggerv1.CanaryWebhook) {
	p.Hooks = map[flaggerv1.HookType]bool{}
	for _, w := range webhooks {
		p.Hooks[cmp.Or(w.Type, flaggerv1.RolloutHook)] = true
	}
}

// setGates reads the gates that are closed by annotation.
func (p *Plan) setGates(annotation string) error {
	for name := range strings.SplitSeq(annotation, ",") {
		gate := flaggerv1.HookType(strings.TrimSpace(name))
		if gate == "" {
			continue
		}
		if _, ok := gates[gate]; !ok {
			return &Refused{"annotation " + flaggerv1.GatesAnnotation,
				fmt.Sprintf("%q is no gate; there are %v", gate, slices.Sorted(maps.Keys(gates)))}
		}
		p.Gates = append(p.Gates, gate)
	}
	return nil
}

func (p *Plan) setMetrics(a *flaggerv1.CanaryAnalysis) error {
	for _, m := range a.Checks() {
		metric, err := newMetric(m)
		if err != nil {
			return err
		}
		if p.SampleEvery, metric.Decisive, err = a.GetSampling(p.Interval, metric.Interval); err != nil {
			return &Refused{"spec.analysis.sampling.interval", fmt.Sprintf("%q is not a duration", a.Sampling.Interval)}
		}
		p.Metrics = append(p.Metrics, metric)
	}
	return nil
}

func (p *Plan) setInterval(value string, least time.Duration) error {
	p.Interval = flaggerv1.DefaultAnalysisInterval
	if value != "" {
		interval, err := time.ParseDuration(value)
		if err != nil || interval <= 0 {
			return &Refused{"spec.analysis.interval", fmt.Sprintf("%q is not a duration", value)}
		}
		p.Interval = interval
	}
	if p.Interval < least {
		p.Notes = append(p.Notes, fmt.Sprintf("spec.analysis.interval: %s is raised to the minimum of %s", p.Interval, least))
		p.Interval = least
	}
	return nil
}

// setStages lays out the analysis. Step weights stop at maxWeight, the most that
// the owner is willing to risk. What nothing can route is tried without users.
func (p *Plan) setStages(a *flaggerv1.CanaryAnalysis) error {
	if a.Iterations > maxIterations {
		return &Refused{"spec.analysis.iterations", fmt.Sprintf("must be at most %d", maxIterations)}
	}
	switch {
	case !p.Routed:
		p.Steps = p.unrouted(a)
	case a.Iterations > 0:
		p.Steps = iterations(a)
	case len(a.StepWeights) > 0:
		p.Steps = mirrored(a)
		for i, w := range a.StepWeights {
			if w < 1 || w > 100 || i > 0 && w <= a.StepWeights[i-1] {
				return &Refused{"spec.analysis.stepWeights", "must rise, from 1 to at most 100"}
			}
			p.Steps = append(p.Steps, Step{Weight: w})
		}
	case a.StepWeight > 0:
		p.Steps = mirrored(a)
		highest := min(a.GetMaxWeight(), 100)
		if highest < 1 {
			return &Refused{"spec.analysis.maxWeight", "must be from 1 to 100"}
		}
		for w := a.StepWeight; ; w += a.StepWeight {
			p.Steps = append(p.Steps, Step{Weight: min(w, highest)})
			if w >= highest {
				break
			}
		}
	default:
		return &Refused{"spec.analysis", "one of iterations, stepWeight and stepWeights must be positive"}
	}
	return nil
}

// unrouted are the stages of a release that nothing routes: checks, and no users.
// What Flagger reads otherwise it says, and so does the plan.
func (p *Plan) unrouted(a *flaggerv1.CanaryAnalysis) []Step {
	if len(a.Match) > 0 {
		p.Notes = append(p.Notes, "A/B testing is not supported when using the kubernetes provider")
	}
	count := a.Iterations
	if count < 1 {
		count = fallbackIterations
		p.Notes = append(p.Notes, "Progressive traffic is not supported when using the kubernetes provider",
			fmt.Sprintf("Setting canaryAnalysis.iterations: %d", count))
	}
	stages := make([]Step, count)
	for i := range stages {
		stages[i] = Step{Iteration: i + 1}
	}
	return stages
}

// iterations are the stages of a blue/green or A/B release.
func iterations(a *flaggerv1.CanaryAnalysis) []Step {
	var stages []Step
	for i := 1; i <= a.Iterations; i++ {
		stage := Step{Iteration: i, Mirror: a.Mirror}
		if len(a.Match) > 0 {
			stage = Step{Iteration: i, Weight: 100}
		}
		stages = append(stages, stage)
	}
	if len(a.Match) == 0 {
		stages = append(stages, Step{Iteration: a.Iterations + 1, Weight: 100})
	}
	return stages
}

// mirrored is the stage before the first weight in which the canary sees copies
// of requests only.
func mirrored(a *flaggerv1.CanaryAnalysis) []Step {
	if !a.Mirror {
		return nil
	}
	return []Step{{Mirror: true, Iteration: 1}}
}

// progressive reports whether users move step by step.
func (p Plan) progressive() bool {
	return len(p.Steps) > 0 && p.Steps[len(p.Steps)-1].Iteration == 0
}

// position returns the index of the stage that the state is in, or -1 before the
// first. A spec that was edited in between moves no user back.
func (p Plan) position(s State) int {
	at := -1
	for i, stage := range p.Steps {
		counted := stage.Iteration > 0 && stage.Iteration <= s.Iterations
		weighed := stage.Iteration == 0 && stage.Weight <= s.staged()
		if counted || weighed {
			at = i
		}
	}
	return at
}

// weights are what the routes should say in a state.
func (p Plan) weights(s State) Weights {
	w := split(s.Weight)
	if at := p.position(s); analysing(s.Phase) && at >= 0 && p.Steps[at].Weight == s.Weight {
		w.Mirror = p.Steps[at].Mirror
	}
	return w
}
