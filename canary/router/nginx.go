// SPDX-License-Identifier: Apache-2.0

package router

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

// nginxAnnotations is the prefix that ingress-nginx has by default.
const nginxAnnotations = "nginx.ingress.kubernetes.io"

// nginx is the provider of that name. ingress-nginx takes an Ingress annotated
// `canary` for an alternative to the Ingress with the same host and path, and
// sends there what its other annotations say: a percentage, or in an A/B test
// those with a header or a cookie.
type nginx struct {
	ingressFormat
	// canary is the annotation `<prefix>/canary`, which all others begin with.
	canary string
}

func newNginx(d Deps) Router {
	prefix := d.IngressAnnotations
	if prefix == "" {
		prefix = nginxAnnotations
	}
	return singleObject{d, nginx{canary: prefix + "/canary"}}
}

func (n nginx) render(d draft, w provider.Weights) error {
	apex, _, canary := d.canary.ServiceNames()
	copyOrigin(d, n.isOwnAnnotation)
	if redirect(d.Unstructured, apex, canary) == 0 {
		return notInIngress(d.canary, apex)
	}
	return n.updateWeights(d.Unstructured, d.canary, w)
}

func (n nginx) updateWeights(o *unstructured.Unstructured, c *flaggerv1.Canary, w provider.Weights) error {
	annotations := o.GetAnnotations()
	maps.DeleteFunc(annotations, func(key, _ string) bool { return n.isOwnAnnotation(key) })
	ours := map[string]string{n.canary: "true", n.canary + "-weight": strconv.Itoa(w.Canary)}
	if w.Canary > 0 { // nobody is chosen without it, whatever is wrong with who would be
		match, err := nginxMatch(c)
		if err != nil {
			return err
		}
		if len(match) > 0 {
			ours[n.canary+"-weight"] = "0"
		}
		for suffix, value := range match {
			ours[n.canary+suffix] = value
		}
	}
	o.SetAnnotations(object.Merge(annotations, ours))
	return nil
}

func (n nginx) isOwnAnnotation(key string) bool { return strings.HasPrefix(key, n.canary) }

// weights are 0/100 in an A/B test: all users who were chosen are on the canary.
func (n nginx) weights(live *unstructured.Unstructured, c *flaggerv1.Canary) (provider.Weights, error) {
	annotations := live.GetAnnotations()
	if annotations[n.canary] != "true" {
		return provider.ToPrimary, nil
	}
	_, header := annotations[n.canary+"-by-header"]
	_, cookie := annotations[n.canary+"-by-cookie"]
	if c.Spec.Analysis != nil && len(c.Spec.Analysis.Match) > 0 && (header || cookie) {
		return provider.Weights{Canary: 100}, nil
	}
	weight, err := strconv.Atoi(annotations[n.canary+"-weight"])
	if err != nil || weight < 0 || weight > 100 {
		return provider.ToPrimary, nil // so does ingress-nginx
	}
	return provider.Weights{Primary: 100 - weight, Canary: weight}, nil
}

// release keeps the annotation `canary`: without it, two Ingresses would claim
// the same host and path.
func (n nginx) release(live *unstructured.Unstructured, c *flaggerv1.Canary) error {
	apex, _, canary := c.ServiceNames()
	redirect(live, canary, apex)
	annotations := live.GetAnnotations()
	maps.DeleteFunc(annotations, func(key, _ string) bool { return n.isOwnAnnotation(key) })
	live.SetAnnotations(object.Merge(annotations, map[string]string{n.canary: "true", n.canary + "-weight": "0"}))
	return nil
}

// Supports refuses what the annotations cannot say.
func (n nginx) Supports(c *flaggerv1.Canary) error {
	match, err := nginxMatch(c)
	if err == nil && len(match) > 0 && c.Spec.Analysis.Iterations == 0 {
		return terminal("spec.analysis.match: provider nginx has either chosen users or a percentage; use it with iterations")
	}
	return err
}

// nginxMatch returns the annotations of an A/B test, by what follows `canary` in
// their names. There is room for one header and one cookie; users with either are
// chosen. As in Flagger, the exact value of the header `cookie` is the name of a
// cookie whose value is `always`.
func nginxMatch(c *flaggerv1.Canary) (map[string]string, error) {
	if c.Spec.Analysis == nil {
		return nil, nil
	}
	out := map[string]string{}
	for i, m := range c.Spec.Analysis.Match {
		field := fmt.Sprintf("spec.analysis.match[%d]", i)
		if err := onlyHeaders(field, "nginx", &m); err != nil {
			return nil, err
		}
		if len(m.Headers) != 1 {
			return nil, terminal("%s.headers: provider nginx needs exactly one; users with either of two are two entries of match", field)
		}
		for name, value := range m.Headers {
			if err := nginxCondition(out, fmt.Sprintf("%s.headers[%s]", field, name), name, value); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func nginxCondition(out map[string]string, field, name string, value flaggerv1.StringMatch) error {
	if strings.EqualFold(name, "cookie") {
		if out["-by-cookie"] != "" {
			return terminal("%s: provider nginx has room for one cookie", field)
		}
		if value.Exact == "" {
			return terminal("%s: provider nginx needs the name of a cookie, as exact", field)
		}
		out["-by-cookie"] = value.Exact
		return nil
	}
	if out["-by-header"] != "" {
		return terminal("%s: provider nginx has room for one header beside the cookie", field)
	}
	out["-by-header"] = name
	switch {
	case value.Exact != "":
		out["-by-header-value"] = value.Exact
	case value.Regex != "":
		out["-by-header-pattern"] = value.Regex
	case value.Prefix != "":
		out["-by-header-pattern"] = "^" + regexp.QuoteMeta(value.Prefix)
	case value.Suffix != "":
		out["-by-header-pattern"] = regexp.QuoteMeta(value.Suffix) + "$"
	}
	return nil
}

// onlyHeaders refuses every condition but those on headers.
func onlyHeaders(field, by string, m *flaggerv1.HTTPMatchRequest, also ...string) error {
	for _, condition := range conditions(m) {
		if condition.set && condition.field != "headers" && !slices.Contains(also, condition.field) {
			return terminal("%s.%s: provider %s cannot match it; remove it", field, condition.field, by)
		}
	}
	return nil
}

// conditions are what requests can be told apart by.
func conditions(m *flaggerv1.HTTPMatchRequest) []fieldSetting {
	return []fieldSetting{
		{field: "headers", set: len(m.Headers) > 0},
		{field: "uri", set: m.URI != nil},
		{field: "method", set: m.Method != nil},
		{field: "queryParams", set: len(m.QueryParams) > 0},
		{field: "scheme", set: m.Scheme != nil},
		{field: "authority", set: m.Authority != nil},
		{field: "port", set: m.Port != 0},
		{field: "sourceLabels", set: len(m.SourceLabels) > 0},
		{field: "sourceNamespace", set: m.SourceNamespace != ""},
		{field: "gateways", set: len(m.Gateways) > 0},
		{field: "ignoreUriCase", set: m.IgnoreURICase},
		{field: "withoutHeaders", set: len(m.WithoutHeaders) > 0},
	}
}
