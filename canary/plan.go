// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

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
	// InPlace means that the canary gets its pods by its weight, and not before: a
	// canary without pods has not failed.
	InPlace bool
	// Autoscaled means that an autoscaler is to be kept in step.
	Autoscaled bool
	// Steps are gone through in order; each is left after one good check.
	Steps []Step
	// Interval is the time that a step lasts before its check.
	Interval time.Duration
	// Threshold is the number of failed checks that ends the analysis.
	Threshold int
	// Deadline is how long anything may take that others have to do.
	Deadline time.Duration
	// ABTest means that only users whose requests match get the canary.
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
	// Gates are the gates that are closed until a person approves.
	Gates []flaggerv1.HookType
	// SampleEvery is the time between two samples of the metrics within a step,
	// zero for none.
	SampleEvery time.Duration
	// Judge compares the canary with its primary; nil does not.
	Judge *JudgeConfig
	// Affinity asks for session cookies; nil is none.
	Affinity *flaggerv1.SessionAffinity
	// Warnings are what the owner should know about how the spec was read: what has no
	// meaning beside the rest of it, and what hardly means what was meant. Flagger accepts
	// all of it without a word, so manifests that were written for it may have it. Each
	// begins with the field.
	Warnings []string
	// Notes are warnings in Flagger's words, for those that Flagger gives during a release.
	Notes []string
	// Impossible names a metric that no value is good for, so that no release could ever
	// pass, and says why; empty is none.
	Impossible string
}

// Refused is an error about a field that cannot be honoured.
type Refused struct{ Field, Why string }

func (e *Refused) Error() string { return e.Field + ": " + e.Why }

// PlanSettings are the controller's settings that bound every plan.
type PlanSettings struct {
	// MinInterval is the shortest time between two checks.
	MinInterval time.Duration
	// Provider routes the canaries that name no provider.
	Provider string
}

// NewPlan reads the spec. The error is a [*Refused].
func NewPlan(c *flaggerv1.Canary, limits PlanSettings) (Plan, error) {
	if err := refuse(c); err != nil {
		return Plan{}, err
	}
	routing := provider.ForCanary(c, limits.Provider).Routing
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
	p.ABTest = len(a.Match) > 0
	if err := p.setHooks(a.Webhooks); err != nil {
		return Plan{}, err
	}
	p.setInterval(a, limits.MinInterval)
	if err := p.setMetrics(a); err != nil {
		return Plan{}, err
	}
	if err := p.setSteps(a); err != nil {
		return Plan{}, err
	}
	if err := p.setJudge(a); err != nil {
		return Plan{}, err
	}
	p.Warnings = append(p.Warnings, warningsAbout(c, p)...)
	return p, nil
}

// refuse names the first field that makes no sense beside another. What a router
// or a target cannot do is theirs to refuse.
func refuse(c *flaggerv1.Canary) error {
	p, _ := provider.Named(c.Spec.Provider)
	if !c.HasService() && p.Name != "" && !p.ServiceOptional {
		why := "provider " + c.Spec.Provider + " needs it to route users; a worker, which has none, needs no provider"
		return &Refused{"spec.service.port", why}
	}
	return refuseName(c)
}

// refuseName refuses a name that no Service can have. In a mesh a name with a dot is the
// host of another namespace, and a route for it would get the users of that.
func refuseName(c *flaggerv1.Canary) error {
	apex, _, _ := c.ServiceNames()
	if !c.HasService() || len(validation.IsDNS1123Label(apex)) == 0 {
		return nil
	}
	why := fmt.Sprintf("%q is no name of a Service; it may have up to 63 lower case letters, digits and dashes", apex)
	if c.Spec.Service.Name == "" {
		why = fmt.Sprintf("is needed: the target's name %q is none of a Service, which may have up to 63 lower case letters, digits and dashes",
			apex)
	}
	return &Refused{"spec.service.name", why}
}

// setHooks notes which types of webhooks there are. One that cannot be called is refused
// before a release begins, which would be rolled back for it.
func (p *Plan) setHooks(webhooks []flaggerv1.CanaryWebhook) error {
	p.Hooks = map[flaggerv1.HookType]bool{}
	for i, w := range webhooks {
		if field, why := uncallable(w); field != "" {
			return &Refused{fmt.Sprintf("spec.analysis.webhooks[%d].%s", i, field), "webhook " + w.Name + ": " + why}
		}
		p.Hooks[cmp.Or(w.Type, flaggerv1.RolloutHook)] = true
	}
	return nil
}

// uncallable names the field by which a webhook cannot be called, and says why; empty is
// none. The URL is not repeated: it may hold a secret.
func uncallable(w flaggerv1.CanaryWebhook) (field, why string) {
	u, err := url.Parse(w.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "url", "it is no URL such as https://host/path"
	}
	if _, err := w.GetTimeout(); err != nil {
		return "timeout", err.Error()
	}
	if w.Retries > flaggerv1.MaxWebhookRetries {
		return "retries", fmt.Sprintf("must be at most %d", flaggerv1.MaxWebhookRetries)
	}
	return "", ""
}

// setGates reads the gates that are closed by annotation.
func (p *Plan) setGates(annotation string) error {
	for name := range strings.SplitSeq(annotation, ",") {
		gate := flaggerv1.HookType(strings.TrimSpace(name))
		if gate == "" {
			continue
		}
		if _, ok := gateMessages[gate]; !ok {
			return &Refused{"annotation " + flaggerv1.GatesAnnotation,
				fmt.Sprintf("%q is no gate; there are %v", gate, slices.Sorted(maps.Keys(gateMessages)))}
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
		p.Impossible = cmp.Or(p.Impossible, metric.impossible())
		p.Metrics = append(p.Metrics, metric)
	}
	return nil
}

// setInterval reads the time between two checks. What Flagger runs with is run with, and
// said.
func (p *Plan) setInterval(a *flaggerv1.CanaryAnalysis, least time.Duration) {
	interval, err := a.GetInterval()
	if err != nil {
		p.Warnings = append(p.Warnings, err.Error())
	}
	if interval <= 0 {
		least = max(least, flaggerv1.MinAnalysisInterval)
	}
	if interval < least {
		p.Warnings = append(p.Warnings, fmt.Sprintf("spec.analysis.interval: %s is raised to the minimum of %s", interval, least))
		interval = least
	}
	p.Interval = interval
}
