package metric

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"text/template"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// vars are what a query may ask for, each a template function of that name:
//
//	{{ name }} {{ namespace }} {{ target }}   of the canary
//	{{ service }} {{ ingress }} {{ route }}   default to the target's name
//	{{ interval }}                            the metric's window
//	{{ variables.anything }}                  the metric's templateVariables
//	{{ pods }}                                matches the names of the canary's pods
//
// The route of a Knative Service is its newest revision.
type vars struct {
	name, namespace, target string
	service, ingress, route string
	interval, pods          string
	variables               map[string]string
}

func varsOf(c *flaggerv1.Canary, m flaggerv1.CanaryMetric) vars {
	target := c.Spec.TargetRef.Name
	v := vars{
		name: c.Name, namespace: c.Namespace, target: target,
		service: target, ingress: target, route: target,
		interval: flaggerv1.DefaultMetricInterval, variables: m.TemplateVariables,
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

// words are the names as proxies write them who know only letters, digits and the
// underscore.
func (v vars) words() vars {
	for _, name := range []*string{&v.name, &v.namespace, &v.target, &v.service, &v.ingress} {
		*name = nonWord.ReplaceAllString(*name, "_")
	}
	return v
}

var nonWord = regexp.MustCompile(`\W`)

// maxQuery is more than any server takes.
const maxQuery = 64 << 10

// render fills in a query. A variable that was not given is an error: a query
// with a hole in it measures something, and nobody knows what.
func render(query string, v vars) (string, error) {
	tmpl, err := template.New("query").Option("missingkey=error").Funcs(v.functions()).Parse(query)
	if err != nil {
		return "", fmt.Errorf("parsing the query: %w", err)
	}
	// A few lines that call one another can keep a processor busy for years.
	if len(tmpl.Templates()) > 1 {
		return "", errors.New("parsing the query: it cannot define templates of its own")
	}
	out := &bounded{}
	if err := tmpl.Execute(out, nil); err != nil {
		return "", fmt.Errorf("filling in the query: %w", err)
	}
	return strings.TrimSpace(out.String()), nil
}

// bounded is a text that cannot grow without end.
type bounded struct{ strings.Builder }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxQuery {
		return 0, fmt.Errorf("it is longer than %d bytes", maxQuery)
	}
	return b.Builder.Write(p)
}

func (v vars) functions() template.FuncMap {
	return template.FuncMap{
		"name":      func() string { return v.name },
		"namespace": func() string { return v.namespace },
		"target":    func() string { return v.target },
		"service":   func() string { return v.service },
		"ingress":   func() string { return v.ingress },
		"route":     func() string { return v.route },
		"interval":  func() string { return v.interval },
		"pods":      func() string { return v.pods },
		"variables": func() map[string]string { return v.variables },
	}
}
