// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"context"
	"regexp"
	"strings"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/internal/template"
)

// templateVars are what a query may ask for, each a template function of that name:
//
//	{{ name }} {{ namespace }} {{ target }}   of the canary
//	{{ service }} {{ ingress }} {{ route }}   default to the target's name
//	{{ interval }}                            the metric's window
//	{{ variables.anything }}                  the metric's templateVariables
//	{{ pods }}                                matches the names of the canary's pods
//	{{ kind }}                                of the target, in lower case
//
// Besides, a query may use what text/template itself has, within [limits].
// The route of a Knative Service is its newest revision.
type templateVars struct {
	name, namespace, target string
	service, ingress, route string
	interval, pods, kind    string
	variables               map[string]string
	// arm and workload are those of a query for the counters of one arm, see [Checker.PrepareCounters].
	arm, workload string
}

func newTemplateVars(c *flaggerv1.Canary, m flaggerv1.CanaryMetric) templateVars {
	target := c.Spec.TargetRef.Name
	v := templateVars{
		name: c.Name, namespace: c.Namespace, target: target,
		service: target, ingress: target, route: target,
		interval: flaggerv1.DefaultMetricInterval, kind: strings.ToLower(c.Spec.TargetRef.Kind), variables: m.TemplateVariables,
	}
	if c.Spec.Service.Name != "" {
		v.service = c.Spec.Service.Name
	}
	if c.Spec.IngressRef != nil {
		v.ingress = c.Spec.IngressRef.Name
	}
	if c.Spec.RouteRef != nil {
		v.route = c.Spec.RouteRef.Name
	}
	if m.Interval != "" {
		v.interval = m.Interval
	}
	return v
}

// underscored are the names as proxies write them who know only letters, digits and the
// underscore.
func (v templateVars) underscored() templateVars {
	for _, name := range []*string{&v.name, &v.namespace, &v.target, &v.service, &v.ingress, &v.workload} {
		*name = nonWord.ReplaceAllString(*name, "_")
	}
	return v
}

var nonWord = regexp.MustCompile(`\W`)

// limits of a query: it is rendered for each check, and before a release begins. A
// server takes no longer one.
var limits = template.Limits{Source: 64 << 10, Text: 64 << 10, Value: 128 << 10, Work: 1 << 20, Time: time.Second}

// render fills in a query. A variable that was not given is an error: a query
// with a hole in it measures something, and nobody knows what.
func render(ctx context.Context, query string, v templateVars) (string, error) {
	tmpl, err := template.Language{Name: "query", Functions: v.functions(), Strict: true, Limits: limits}.Parse(query)
	if err != nil {
		return "", err
	}
	text, err := tmpl.Execute(ctx, nil)
	return strings.TrimSpace(text), err
}

func (v templateVars) functions() map[string]any {
	functions := map[string]any{
		"name":      func() string { return v.name },
		"namespace": func() string { return v.namespace },
		"target":    func() string { return v.target },
		"service":   func() string { return v.service },
		"ingress":   func() string { return v.ingress },
		"route":     func() string { return v.route },
		"interval":  func() string { return v.interval },
		"pods":      func() string { return v.pods },
		"kind":      func() string { return v.kind },
		"variables": func() map[string]string { return v.variables },
	}
	if v.arm != "" {
		functions["arm"], functions["workload"] = func() string { return v.arm }, func() string { return v.workload }
	}
	return functions
}
