// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-cd/sluice/canary/object"
)

// placement makes what pods of the target say about pods of their own application mean
// the primary's. It has the labels of the target's pods, and of the primary's.
type placement struct {
	target, primary map[string]string
	// keys are those that name an application.
	keys []string
}

// apply changes a pod spec: the primary's pods must neither be kept away from the
// target's nor be counted with them, and find each other where pods of an application
// want to be together.
func (p placement) apply(podSpec map[string]any) {
	for _, selector := range spreadSelectors(podSpec) {
		if !p.replace(selector) {
			p.narrow(selector)
		}
	}
	affinity := object.Map(podSpec, "affinity", "podAffinity")
	for _, term := range object.List(affinity, "preferredDuringSchedulingIgnoredDuringExecution") {
		p.replace(object.Map(term, "podAffinityTerm", "labelSelector"))
	}
	for _, term := range object.List(affinity, "requiredDuringSchedulingIgnoredDuringExecution") {
		p.replace(object.Map(term, "labelSelector"))
	}
}

// changed are the labels that differ.
func (p placement) changed() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(p.target)), func(key string) bool { return p.target[key] == p.primary[key] })
}

// replace puts the primary's values in the place of the target's, and reports whether
// there were any.
func (p placement) replace(selector map[string]any) (found bool) {
	for _, key := range p.changed() {
		if matched := object.Map(selector, "matchLabels"); matched[key] == p.target[key] {
			matched[key], found = p.primary[key], true
		}
		for _, expression := range object.List(selector, "matchExpressions") {
			values, _ := expression["values"].([]any)
			i := slices.Index(values, any(p.target[key]))
			if i < 0 || expression["key"] != key {
				continue
			}
			found = true
			if expression["operator"] == string(metav1.LabelSelectorOpNotIn) {
				expression["values"] = append(values, p.primary[key]) // neither copy is meant
			} else {
				values[i] = p.primary[key]
			}
		}
	}
	return found
}

// narrow adds a label of the primary's to a selector that means the application by
// another one, which both copies have.
func (p placement) narrow(selector map[string]any) {
	changed := p.changed()
	if len(changed) == 0 || !matches(selector, p.target) {
		return
	}
	named := equalities(selector)
	if slices.ContainsFunc(p.keys, func(key string) bool { return named[key] != "" }) {
		object.Child(selector, "matchLabels")[changed[0]] = p.primary[changed[0]]
	}
}

func matches(selector map[string]any, of map[string]string) bool {
	typed := &metav1.LabelSelector{}
	if selector == nil || runtime.DefaultUnstructuredConverter.FromUnstructured(selector, typed) != nil {
		return false
	}
	parsed, err := metav1.LabelSelectorAsSelector(typed)
	return err == nil && parsed.Matches(labels.Set(of))
}

// placeAsFlagger does what Flagger does, for a primary of its to be recognised: it
// looks for the target's name.
func (n naming) placeAsFlagger(podSpec map[string]any) {
	for _, selector := range spreadSelectors(podSpec) {
		for key, value := range object.Map(selector, "matchLabels") {
			if slices.Contains(n.keys, key) && value == n.target {
				selector["matchLabels"].(map[string]any)[key] = n.target + primarySuffix
			}
		}
		for _, expression := range object.List(selector, "matchExpressions") {
			key, _ := expression["key"].(string)
			values, _ := expression["values"].([]any)
			if i := slices.Index(values, any(n.target)); i >= 0 && slices.Contains(n.keys, key) {
				values[i] = n.target + primarySuffix
			}
		}
	}
}

// spreadSelectors are the label selectors that keep pods of the same application
// apart.
func spreadSelectors(podSpec map[string]any) []map[string]any {
	var out []map[string]any
	for _, constraint := range object.List(podSpec, "topologySpreadConstraints") {
		out = append(out, object.Map(constraint, "labelSelector"))
	}
	anti := object.Map(podSpec, "affinity", "podAntiAffinity")
	for _, term := range object.List(anti, "preferredDuringSchedulingIgnoredDuringExecution") {
		out = append(out, object.Map(term, "podAffinityTerm", "labelSelector"))
	}
	for _, term := range object.List(anti, "requiredDuringSchedulingIgnoredDuringExecution") {
		out = append(out, object.Map(term, "labelSelector"))
	}
	return slices.DeleteFunc(out, func(selector map[string]any) bool { return selector == nil })
}
