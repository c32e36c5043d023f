package canary

import (
	"fmt"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// Plan is what the spec of a Canary asks for.
type Plan struct {
	// Routed means that users can be split between the two copies. Otherwise all
	// of them are on the primary throughout.
	Routed bool
	// Stages are gone through in order; each is left after one good check.
	Stages []Stage
	// Interval is the time that a stage lasts before its check.
	Interval time.Duration
	// Threshold is the number of failed checks that ends the analysis.
	Threshold int
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
	// zero for none; SampleFailures in a row are decisive.
	SampleEvery    time.Duration
	SampleFailures int
	// Affinity asks for session cookies; nil is none.
	Affinity *flaggerv1.SessionAffinity
	// Notes are what the owner should know about how the spec was read.
	Notes []string
}

// Stage is one step of an analysis.
type Stage struct {
	// Weight is the canary's percentage of the users.
	Weight int
	// Mirror sends the canary copies of the users' requests.
	Mirror bool
	// Iteration counts the stages of analyses that count; zero in those whose
	// stages are told apart by their weight.
	Iteration int
}

func (s Stage) weights() Weights {
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

// unrouted is the provider whose users cannot be split.
const unrouted = "kubernetes"

// NewPlan reads the spec. The error is a [*Refused].
func NewPlan(c *flaggerv1.Canary, limits Limits) (Plan, error) {
	if err := refuse(c); err != nil {
		return Plan{}, err
	}
	p := Plan{Routed: ProviderOf(c, limits) != unrouted, Skip: c.SkipAnalysis(), Interval: limits.MinInterval}
	a := c.Spec.Analysis
	if a == nil {
		return p, nil
	}
	p.Threshold = a.GetThreshold()
	p.PromotionStep = a.StepWeightPromotion
	if err := p.setInterval(a.Interval, limits.MinInterval); err != nil {
		return Plan{}, err
	}
	for _, m := range a.Metrics {
		p.Metrics = append(p.Metrics, newMetric(m))
	}
	return p, p.setStages(a)
}

// ProviderOf names what routes the traffic of a canary.
func ProviderOf(c *flaggerv1.Canary, limits Limits) string {
	if c.Spec.Provider != "" {
		return c.Spec.Provider
	}
	return limits.Provider
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
// the owner is willing to risk.
func (p *Plan) setStages(a *flaggerv1.CanaryAnalysis) error {
	switch {
	case a.Iterations > 0:
		p.Stages = iterations(a, p.Routed)
	case len(a.StepWeights) > 0:
		p.Stages = mirrored(a)
		for i, w := range a.StepWeights {
			if w < 1 || w > 100 || i > 0 && w <= a.StepWeights[i-1] {
				return &Refused{"spec.analysis.stepWeights", "must rise, from 1 to at most 100"}
			}
			p.Stages = append(p.Stages, Stage{Weight: w})
		}
	case a.StepWeight > 0:
		p.Stages = mirrored(a)
		highest := min(a.GetMaxWeight(), 100)
		if highest < 1 {
			return &Refused{"spec.analysis.maxWeight", "must be from 1 to 100"}
		}
		for w := a.StepWeight; ; w += a.StepWeight {
			p.Stages = append(p.Stages, Stage{Weight: min(w, highest)})
			if w >= highest {
				break
			}
		}
	default:
		return &Refused{"spec.analysis", "one of iterations, stepWeight and stepWeights must be positive"}
	}
	if !p.Routed && a.Iterations <= 0 {
		return &Refused{"spec.analysis.stepWeight", "provider kubernetes cannot split traffic; use iterations"}
	}
	return nil
}

// iterations are the stages of a blue/green or A/B release. Without a router
// there is nothing to switch after the last blue/green iteration.
func iterations(a *flaggerv1.CanaryAnalysis, routed bool) []Stage {
	var stages []Stage
	for i := 1; i <= a.Iterations; i++ {
		stage := Stage{Iteration: i, Mirror: a.Mirror && routed}
		if len(a.Match) > 0 {
			stage = Stage{Iteration: i, Weight: 100}
		}
		stages = append(stages, stage)
	}
	if routed && len(a.Match) == 0 {
		stages = append(stages, Stage{Iteration: a.Iterations + 1, Weight: 100})
	}
	return stages
}

// mirrored is the stage before the first weight in which the canary sees copies
// of requests only.
func mirrored(a *flaggerv1.CanaryAnalysis) []Stage {
	if !a.Mirror {
		return nil
	}
	return []Stage{{Mirror: true, Iteration: 1}}
}

// position returns the index of the stage that the state is in, or -1 before the
// first. A spec that was edited in between moves no user back.
func (p Plan) position(s State) int {
	at := -1
	for i, stage := range p.Stages {
		counted := stage.Iteration > 0 && stage.Iteration <= s.Iterations
		weighed := stage.Iteration == 0 && stage.Weight <= s.Weight
		if counted || weighed {
			at = i
		}
	}
	return at
}

// weights are what the routes should say in a state.
func (p Plan) weights(s State) Weights {
	w := split(s.Weight)
	if at := p.position(s); analysing(s.Phase) && at >= 0 && p.Stages[at].Weight == s.Weight {
		w.Mirror = p.Stages[at].Mirror
	}
	return w
}
