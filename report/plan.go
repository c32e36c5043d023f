// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/internal/shorten"
)

// Property is one thing to know about an object, in plain words.
type Property struct {
	// Name is one of a few words, such as strategy; it may occur more than once.
	Name string `json:"name"`
	// Text is for people.
	Text string `json:"text"`
	// Object that Text ends with the kind and name of; left out if it ends otherwise.
	Object *ObjectReference `json:"object,omitempty"`
}

// HowItReleases says in plain words how a canary releases. Addresses of webhooks are
// left out, since people put tokens into them.
func HowItReleases(c *flaggerv1.Canary) []Property {
	plan := planOf(c)
	found := []Property{{Name: "users", Text: routing(c)}}
	add := func(name, text string) {
		if text != "" {
			found = append(found, Property{Name: name, Text: text})
		}
	}
	add("strategy", strategy(c, plan))
	a := c.Spec.Analysis
	if a == nil {
		return found
	}
	add("sessions", sessions(a.SessionAffinity))
	for i, m := range a.Checks() {
		if i < len(plan.Metrics) {
			add("metric", m.Name+": "+goodValues(plan.Metrics[i])+measuredBy(c, m))
			found[len(found)-1].Object = templateOf(c, m)
		}
	}
	add("judge", howItIsJudged(plan))
	for _, h := range a.Webhooks {
		add("webhook", h.Name+": "+hookPurposes[h.Type])
	}
	add("gates", c.Annotations[flaggerv1.GatesAnnotation])
	if !plan.Skip {
		add("roll back", rollback(a, plan))
	}
	add("promote", howItIsPromoted(c, plan))
	for _, alert := range a.Alerts {
		by := ObjectReference{flaggerv1.AlertProviderKind, cmp.Or(alert.ProviderRef.Namespace, c.Namespace), alert.ProviderRef.Name}
		add("alert", fmt.Sprintf("%s: from %s on, by %s %s/%s", alert.Name,
			cmp.Or(alert.Severity, flaggerv1.SeverityInfo), by.Kind, by.Namespace, by.Name))
		found[len(found)-1].Object = &by
	}
	if ref := c.Spec.AutoscalerRef; ref != nil {
		add("autoscaler", ref.Kind+" "+ref.Name)
	}
	return found
}

// routing says how users are split.
func routing(c *flaggerv1.Canary) string {
	if !c.HasService() {
		return "none: it is a worker, judged by its metrics and webhooks"
	}
	apex, primary, tried := c.ServiceNames()
	return fmt.Sprintf("come by Service %s, to %s or %s; provider %s", apex, primary, tried,
		cmp.Or(c.Spec.Provider, "as the controller's --mesh-provider says"))
}

func strategy(c *flaggerv1.Canary, plan canary.Plan) string {
	a := c.Spec.Analysis
	each := ", " + shorten.Duration(plan.Interval) + " each" + unlessAllowed(a, plan)
	switch {
	case plan.Skip:
		return "promoted as soon as it is ready, unmeasured"
	case a == nil || len(plan.Steps) == 0:
		return ""
	case c.DeploymentStrategy() == flaggerv1.StrategyABTesting:
		return fmt.Sprintf("A/B: users whom analysis.match selects%s, for %d checks%s", matched(a.Match), a.Iterations, each)
	case c.DeploymentStrategy() == flaggerv1.StrategyBlueGreen && a.Mirror:
		return fmt.Sprintf("blue/green: %d checks with copies of the users' requests%s", a.Iterations, each)
	case c.DeploymentStrategy() == flaggerv1.StrategyBlueGreen:
		return fmt.Sprintf("blue/green: %d checks without users%s", a.Iterations, each)
	case !c.HasService():
		return fmt.Sprintf("%d checks%s", len(plan.Steps), each)
	default:
		return "canary: " + weights(plan.Steps) + " of the users" + each
	}
}

// unlessAllowed says how long a check may last instead, if the spec asks for less than the controller takes by default.
func unlessAllowed(a *flaggerv1.CanaryAnalysis, plan canary.Plan) string {
	asked, err := a.GetInterval()
	if err != nil || asked <= 0 || asked >= plan.Interval {
		return ""
	}
	return fmt.Sprintf(", or less where --canary-min-interval allows it (interval is %s)", shorten.Duration(asked))
}

// shownWeights is how many percentages are listed before some are left out.
const shownWeights = 10

func weights(stages []canary.Step) string {
	var all []string
	for _, stage := range stages {
		switch {
		case stage.Mirror:
			all = append(all, "copies of requests")
		default:
			all = append(all, strconv.Itoa(stage.Weight)+"%")
		}
	}
	if n := len(all); n > shownWeights {
		all = slices.Concat(all[:shownWeights-2], []string{"..."}, all[n-1:])
	}
	return strings.Join(all, ", ")
}

// matched names what the users of an A/B release are told by.
func matched(rules []flaggerv1.HTTPMatchRequest) string {
	names := map[string]bool{}
	for _, rule := range rules {
		for header := range rule.Headers {
			names["header "+header] = true
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(slices.Sorted(maps.Keys(names)), ", ") + ")"
}

func sessions(s *flaggerv1.SessionAffinity) string {
	if s == nil {
		return ""
	}
	return fmt.Sprintf("users stay on the version that they saw first, by cookie %s for %s", s.CookieName,
		shorten.Duration(time.Duration(s.MaxAge)*time.Second))
}

// measuredBy says where a metric comes from.
func measuredBy(c *flaggerv1.Canary, m flaggerv1.CanaryMetric) string {
	over := ""
	if m.Interval != "" {
		over = " over " + m.Interval
	}
	switch by := templateOf(c, m); {
	case by != nil:
		return fmt.Sprintf("%s, by %s %s/%s", over, by.Kind, by.Namespace, by.Name)
	case m.Query != "":
		return over + ", by a query of its own"
	default:
		return over
	}
}

// templateOf is the MetricTemplate of a metric, nil without one.
func templateOf(c *flaggerv1.Canary, m flaggerv1.CanaryMetric) *ObjectReference {
	if m.TemplateRef == nil {
		return nil
	}
	return &ObjectReference{flaggerv1.MetricTemplateKind, cmp.Or(m.TemplateRef.Namespace, c.Namespace), m.TemplateRef.Name}
}

// hookPurposes say what a webhook of a type does in a release.
var hookPurposes = map[flaggerv1.HookType]string{
	"":                                   "asked by each check, which it can fail",
	flaggerv1.RolloutHook:                "asked by each check, which it can fail",
	flaggerv1.PreRolloutHook:             "asked before users come, and can fail that",
	flaggerv1.PostRolloutHook:            "told when a release has ended",
	flaggerv1.ConfirmRolloutHook:         "holds a release before it starts",
	flaggerv1.ConfirmPromotionHook:       "holds a release before it is promoted",
	flaggerv1.ConfirmTrafficIncreaseHook: "holds a release before each step",
	flaggerv1.EventHook:                  "told every event",
	flaggerv1.RollbackHook:               "rolls a release back when it says so",
}

func rollback(a *flaggerv1.CanaryAnalysis, plan canary.Plan) string {
	text := "after 1 failed check"
	if n := a.GetThreshold(); n > 1 {
		text = fmt.Sprintf("after %d failed checks", n)
	}
	if plan.SampleEvery > 0 && len(plan.Metrics) > 0 {
		fewest := slices.MinFunc(plan.Metrics, func(a, b canary.Metric) int { return a.Decisive - b.Decisive }).Decisive
		text += fmt.Sprintf(", or at once when a metric is bad in %d samples in a row, one every %s",
			fewest, shorten.Duration(plan.SampleEvery.Round(100*time.Millisecond)))
	}
	return text
}

func howItIsPromoted(c *flaggerv1.Canary, plan canary.Plan) string {
	if !c.HasService() || plan.PromotionStep == 0 {
		return ""
	}
	return fmt.Sprintf("users move to the promoted primary in steps of %d%%", plan.PromotionStep)
}

// GoodValues says which values of each metric are good, by the name of the metric.
func GoodValues(c *flaggerv1.Canary) map[string]string {
	found := map[string]string{}
	for _, m := range planOf(c).Metrics {
		found[m.Name] = goodValues(m)
	}
	return found
}

func goodValues(m canary.Metric) string {
	show := func(v float64) string { return canary.Measurement{Name: m.Name, Value: v}.String() }
	switch {
	case m.Min != nil && m.Max != nil:
		return show(*m.Min) + " to " + show(*m.Max)
	case m.Min != nil:
		return "at least " + show(*m.Min)
	case m.Max != nil:
		return "at most " + show(*m.Max)
	default:
		return "any"
	}
}
