// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"
	"slices"
	"strings"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// warning is about a field, if it is set as the owner can hardly mean it.
type warning struct {
	set  bool
	text string
}

// warningsAbout are those about fields that have no meaning beside the rest of the spec, which
// a plan was made of.
func warningsAbout(c *flaggerv1.Canary, p Plan) (said []string) {
	a := c.Spec.Analysis
	for _, w := range slices.Concat(groups(c), unroutedFields(a, p), stepFields(a, p), limits(c), hookFields(a, p)) {
		if w.set {
			said = append(said, w.text)
		}
	}
	for _, m := range a.Metrics {
		for _, text := range metricWarnings(m) {
			said = append(said, fmt.Sprintf("spec.analysis.metrics[%s].%s", m.Name, text))
		}
	}
	return said
}

// groups are those of references whose kind alone counts, as in Flagger.
func groups(c *flaggerv1.Canary) (about []warning) {
	target, scaler := c.Spec.TargetRef, c.Spec.AutoscalerRef
	want := "apps/v1"
	if target.Kind == "Service" {
		want = "v1"
	}
	known := target.APIVersion == "" || provider.TargetsKnative(c) || groupOf(target.APIVersion) == groupOf(want)
	about = append(about, warning{!known, fmt.Sprintf("spec.targetRef.apiVersion: %s is taken for %s", target.APIVersion, want)})
	if scaler == nil {
		return about
	}
	want = map[string]string{"HorizontalPodAutoscaler": "autoscaling/v2", "ScaledObject": "keda.sh/v1alpha1"}[scaler.Kind]
	known = scaler.APIVersion == "" || want == "" || groupOf(scaler.APIVersion) == groupOf(want)
	return append(about, warning{!known, fmt.Sprintf("spec.autoscalerRef.apiVersion: %s is taken for %s", scaler.APIVersion, want)})
}

// groupOf is the group of an API version; Kubernetes' own core has none.
func groupOf(apiVersion string) string {
	group, _, found := strings.Cut(apiVersion, "/")
	if !found {
		return ""
	}
	return group
}

// unroutedFields are those about users where nothing moves any.
func unroutedFields(a *flaggerv1.CanaryAnalysis, p Plan) []warning {
	if p.Routed {
		return nil
	}
	why := "provider kubernetes leads no users to a canary"
	if p.Worker {
		why = "a worker has no users"
	}
	instead := fmt.Sprintf("has no effect: %s, and there are %d checks instead; set iterations, or name a provider that routes",
		why, len(p.Steps))
	none := "has no effect: " + why + "; remove it, or name a provider that routes"
	return []warning{
		{a.StepWeight != 0, "spec.analysis.stepWeight: " + instead},
		{len(a.StepWeights) > 0, "spec.analysis.stepWeights: " + instead},
		{a.Iterations < 1 && a.StepWeight == 0 && len(a.StepWeights) == 0, "spec.analysis.iterations: " + instead},
		{a.MaxWeight != 0, "spec.analysis.maxWeight: " + none},
		{a.StepWeightPromotion != 0, "spec.analysis.stepWeightPromotion: " + none},
		{len(a.Match) > 0, "spec.analysis.match: " + none},
	}
}

// stepFields are those about users where they are moved.
func stepFields(a *flaggerv1.CanaryAnalysis, p Plan) []warning {
	if !p.Routed {
		return nil
	}
	steps, most := a.Iterations < 1 && len(a.StepWeights) == 0, highest(p.Steps)
	return []warning{
		{a.Mirror && a.Iterations > 0 && len(a.Match) > 0,
			"spec.analysis.mirror: has no meaning in an A/B release, whose users are chosen; nothing is mirrored"},
		{a.MirrorWeight > 0 && !a.Mirror, "spec.analysis.mirrorWeight: has no meaning without mirror; nothing is mirrored"},
		{a.MaxWeight != 0 && a.Iterations > 0, "spec.analysis.maxWeight: has no meaning beside iterations, which move nobody step by step"},
		{a.MaxWeight != 0 && len(a.StepWeights) > 0, "spec.analysis.maxWeight: has no meaning beside stepWeights, the last of which is the most"},
		{steps && (a.MaxWeight < 0 || a.MaxWeight > flaggerv1.DefaultMaxWeight),
			fmt.Sprintf("spec.analysis.maxWeight: %d is no percentage, and taken for 100", a.MaxWeight)},
		{steps && a.StepWeight > most,
			fmt.Sprintf("spec.analysis.stepWeight: %d is more than the most that the canary gets, so that there is one step, to %d",
				a.StepWeight, most)},
		{a.StepWeightPromotion < 0,
			fmt.Sprintf("spec.analysis.stepWeightPromotion: %d is no percentage; users go back at once", a.StepWeightPromotion)},
	}
}

// highest is the largest weight of all steps.
func highest(steps []Step) (weight int) {
	for _, step := range steps {
		weight = max(weight, step.Weight)
	}
	return weight
}

// limits are numbers that are read as others.
func limits(c *flaggerv1.Canary) []warning {
	a, deadline := c.Spec.Analysis, c.ProgressDeadline()
	text := "spec.analysis.%s: %d is no percentage; it is taken for %d"
	share := func(field string, value int) warning {
		return warning{value < 0 || value > 100, fmt.Sprintf(text, field, value, min(max(value, 0), 100))}
	}
	return []warning{
		{a.Threshold < 1, fmt.Sprintf("spec.analysis.threshold: %d is taken for 1: the first failed check rolls back", a.Threshold)},
		{deadline <= 0, fmt.Sprintf("spec.progressDeadlineSeconds: %.0f ends each release whose pods are not ready at once", deadline.Seconds())},
		share("primaryReadyThreshold", a.GetPrimaryReadyThreshold()),
		share("canaryReadyThreshold", a.GetCanaryReadyThreshold()),
	}
}

// hookFields are those of webhooks.
func hookFields(a *flaggerv1.CanaryAnalysis, p Plan) (about []warning) {
	for i, w := range a.Webhooks {
		field := fmt.Sprintf("spec.analysis.webhooks[%d].", i)
		about = append(about,
			warning{w.Type == flaggerv1.ConfirmTrafficIncreaseHook && !p.progressive(),
				field + "type: webhook " + w.Name + " is never called: confirm-traffic-increase is asked where weights rise by " +
					"stepWeight or stepWeights; confirm-rollout and confirm-promotion are asked in each release"},
			warning{w.Retries < 0, fmt.Sprintf("%sretries: %d of webhook %s is taken for 0", field, w.Retries, w.Name)})
	}
	return about
}

// metricWarnings are about a metric whose values are compared with little, or with what
// they can hardly be compared with. Each begins with the field of the metric.
func metricWarnings(m flaggerv1.CanaryMetric) (about []string) {
	own := m.Query != "" || m.TemplateRef != nil
	for _, w := range slices.Concat(rangeFields(m, own), unitFields(m, own)) {
		if w.set {
			about = append(about, w.text)
		}
	}
	return about
}

// rangeFields are about ranges that are missing, or are two.
func rangeFields(m flaggerv1.CanaryMetric, own bool) []warning {
	ends, percent := rangeOf(m, own), m.Name == successRate && !own
	none := m.ThresholdRange == nil && m.Threshold == 0
	return []warning{
		{none && percent, "thresholdRange: is missing, so that any value is good; set min, such as 99"},
		{none && !percent, "thresholdRange: is missing, so that no value above 0 is good; set min or max"},
		{m.ThresholdRange != nil && ends.Min == nil && ends.Max == nil,
			"thresholdRange: has neither min nor max, so that any value is good"},
		{m.ThresholdRange != nil && m.Threshold != 0, "threshold: has no effect beside thresholdRange"},
		{len(m.TemplateVariables) > 0 && !own, "templateVariables: have no effect without templateRef"},
	}
}

// unitFields are about the built-in checks, whose unit is known.
func unitFields(m flaggerv1.CanaryMetric, own bool) []warning {
	ends := rangeOf(m, own)
	lowest, highest := deref(ends.Min), deref(ends.Max)
	switch {
	case own || m.ThresholdRange == nil:
		return nil
	case m.Name == successRate:
		return []warning{
			{lowest > 0 && lowest <= 1, fmt.Sprintf("thresholdRange.min: %v is a percentage: 99 is what 99 %% are", lowest)},
			{ends.Max != nil && highest < 100,
				fmt.Sprintf("thresholdRange.max: a canary fails that answers more than %v %% of its requests well; min is the least that is good",
					highest)},
		}
	case m.Name == duration:
		return []warning{
			{ends.Max != nil && highest == 0, "thresholdRange.max: no request takes 0 ms, so that no canary passes; set it to more"},
			{highest > 0 && highest < 1, fmt.Sprintf("thresholdRange.max: %v is in milliseconds: 500 is what half a second is", highest)},
		}
	default:
		return nil
	}
}

func deref(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}

// impossible says why no value of a metric is good; empty is that some may be.
func (m Metric) impossible() string {
	field := fmt.Sprintf("spec.analysis.metrics[%s].thresholdRange", m.Name)
	switch {
	case m.Min != nil && m.Max != nil && *m.Min > *m.Max:
		return fmt.Sprintf("%s: min %v is above max %v, so that no value is good and no release could pass; swap them", field, *m.Min, *m.Max)
	case m.Name == successRate && !m.Custom && m.Min != nil && *m.Min > 100:
		return fmt.Sprintf("%s.min: %v is above 100 %%, so that no value is good and no release could pass; set it to 99, say", field, *m.Min)
	case m.builtin() && m.Max != nil && *m.Max < 0:
		return fmt.Sprintf("%s.max: %v is below 0, so that no value of %s is good and no release could pass; "+
			"set it to more", field, *m.Max, m.Name)
	default:
		return ""
	}
}

// maxAdvice is how many warnings are said at once: conditions and events are to be read.
const maxAdvice = 5

// Advice joins warnings of a plan to a sentence; empty is none.
func Advice(warnings []string) string {
	said, more := warnings, ""
	if over := len(said) - maxAdvice; over > 0 {
		said, more = said[:maxAdvice], fmt.Sprintf("; and %d more", over)
	}
	return strings.Join(said, "; ") + more
}
