// SPDX-License-Identifier: Apache-2.0

package router

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

const (
	skipperWeights   = "zalando.org/backend-weights"
	skipperPredicate = "zalando.org/skipper-predicate"
	// skipperWins puts the routes of the copy before those of the original.
	skipperWins = "Weight(100)"
	// skipperOff makes the routes of the copy match nothing.
	skipperOff = "False()"
)

// skipper is the provider of that name. The copy of the Ingress has each path of
// the apex twice, once for either Service, and an annotation with their weights. It
// takes precedence over the original while the canary has users; otherwise a
// predicate turns it off, and the original routes by itself.
type skipper struct{ ingressFormat }

func (s skipper) render(d draft, w provider.Weights) error {
	apex, primary, canary := d.canary.ServiceNames()
	copyOrigin(d, skipperMine)
	if redirect(d.Unstructured, apex, primary) == 0 {
		return notInIngress(d.canary, apex)
	}
	eachPath(d.Unstructured, func(paths []entry) []entry {
		for _, path := range slices.Clone(paths) {
			if ingressBackend(path) == primary {
				paths = append(paths, skipperPathTo(path, canary))
			}
		}
		return paths
	})
	predicate := d.from.GetAnnotations()[skipperPredicate]
	d.SetAnnotations(object.Merge(d.GetAnnotations(), map[string]string{skipperPredicate: predicate}))
	return s.updateWeights(d.Unstructured, d.canary, w)
}

func (skipper) updateWeights(o *unstructured.Unstructured, c *flaggerv1.Canary, w provider.Weights) error {
	_, primary, canary := c.ServiceNames()
	weights, err := json.Marshal(map[string]int{primary: w.Primary, canary: w.Canary})
	if err != nil {
		return fmt.Errorf("encoding weights: %w", err)
	}
	first := skipperOff
	if w.Canary > 0 {
		first = skipperWins
	}
	o.SetAnnotations(object.Merge(o.GetAnnotations(), map[string]string{
		skipperWeights: string(weights), skipperPredicate: withPredicate(o.GetAnnotations()[skipperPredicate], first),
	}))
	return nil
}

// skipperPathTo is the same path to another Service.
func skipperPathTo(path entry, to string) entry {
	canaryPath, service := maps.Clone(path), entry{}
	if old, ok := object.Nested(path, "backend", "service").(entry); ok {
		service = maps.Clone(old)
	}
	service["name"] = to
	canaryPath["backend"] = entry{"service": service}
	return canaryPath
}

func skipperMine(key string) bool { return key == skipperWeights || key == skipperPredicate }

func (skipper) weights(live *unstructured.Unstructured, c *flaggerv1.Canary) (provider.Weights, error) {
	_, primary, canary := c.ServiceNames()
	annotations := live.GetAnnotations()
	if slices.Contains(predicates(annotations[skipperPredicate]), skipperOff) {
		return provider.ToPrimary, nil
	}
	weights := map[string]any{}
	if err := json.Unmarshal([]byte(annotations[skipperWeights]), &weights); err != nil {
		return percentages(1, 1), nil // what Skipper makes of no weights
	}
	return percentages(number(weights[primary]), number(weights[canary])), nil
}

// release turns the copy off, and leaves nothing in it that could dangle.
func (skipper) release(live *unstructured.Unstructured, c *flaggerv1.Canary) error {
	apex, primary, canary := c.ServiceNames()
	redirect(live, primary, apex)
	eachPath(live, func(paths []entry) []entry {
		return slices.DeleteFunc(paths, func(path entry) bool { return ingressBackend(path) == canary })
	})
	annotations := live.GetAnnotations()
	delete(annotations, skipperWeights)
	live.SetAnnotations(object.Merge(annotations, map[string]string{
		skipperPredicate: withPredicate(annotations[skipperPredicate], skipperOff),
	}))
	return nil
}

// withPredicate puts one of our two predicates before those of the owner.
func withPredicate(raw, first string) string {
	out := []string{first}
	for _, predicate := range predicates(raw) {
		if predicate != skipperWins && predicate != skipperOff {
			out = append(out, predicate)
		}
	}
	return strings.Join(out, " && ")
}

func predicates(raw string) []string {
	var out []string
	for _, predicate := range strings.Split(raw, "&&") {
		if predicate = strings.TrimSpace(predicate); predicate != "" {
			out = append(out, predicate)
		}
	}
	return out
}
