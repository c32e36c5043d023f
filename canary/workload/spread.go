// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
)

// placement makes what pods of the target say about pods of their own application mean
// the primary's. It has the labels of the target's pods, and of the primary's.
type placement struct {
	target, primary map[string]string
	// keys are those that name an application.
	keys []string
	// namespace is that of both.
	namespace string
}

// apply changes a pod spec: the primary's pods must neither be kept away from the
// target's nor be counted with them, and find each other where pods of an application
// want to be together.
func (p placement) apply(podSpec map[string]any) {
	for _, selector := range spreadSelectors(podSpec, p.reaches) {
		if !p.replace(selector) {
			p.narrow(selector)
		}
	}
	for _, selector := range affinitySelectors(object.Map(podSpec, "affinity", "podAffinity"), p.reaches) {
		p.replace(selector)
	}
}

// reaches reports whether an affinity term may mean pods of the application's own
// namespace. A selector of namespaces counts as one that does: what labels they have is
// not known.
func (p placement) reaches(term map[string]any) bool {
	namespaces, _ := term["namespaces"].([]any)
	return len(namespaces) == 0 || slices.Contains(namespaces, any(p.namespace)) || term["namespaceSelector"] != nil
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
	for _, selector := range spreadSelectors(podSpec, anyTerm) {
		for key, value := range object.Map(selector, "matchLabels") {
			if slices.Contains(n.keys, key) && value == n.target {
				selector["matchLabels"].(map[string]any)[key] = flaggerv1.PrimaryName(n.target)
			}
		}
		for _, expression := range object.List(selector, "matchExpressions") {
			key, _ := expression["key"].(string)
			values, _ := expression["values"].([]any)
			if i := slices.Index(values, any(n.target)); i >= 0 && slices.Contains(n.keys, key) {
				values[i] = flaggerv1.PrimaryName(n.target)
			}
		}
	}
}

// spreadSelectors are the label selectors that keep pods of the same application
// apart, without those of affinity terms that are not about it.
func spreadSelectors(podSpec map[string]any, about func(term map[string]any) bool) []map[string]any {
	var out []map[string]any
	for _, constraint := range object.List(podSpec, "topologySpreadConstraints") {
		if selector := object.Map(constraint, "labelSelector"); selector != nil {
			out = append(out, selector)
		}
	}
	return append(out, affinitySelectors(object.Map(podSpec, "affinity", "podAntiAffinity"), about)...)
}

// affinitySelectors are the label selectors of a pod's affinity or anti-affinity, of the
// terms that are about something.
func affinitySelectors(affinity map[string]any, about func(term map[string]any) bool) []map[string]any {
	terms := object.List(affinity, "requiredDuringSchedulingIgnoredDuringExecution")
	for _, preferred := range object.List(affinity, "preferredDuringSchedulingIgnoredDuringExecution") {
		terms = append(terms, object.Map(preferred, "podAffinityTerm"))
	}
	var out []map[string]any
	for _, term := range terms {
		if selector := object.Map(term, "labelSelector"); selector != nil && about(term) {
			out = append(out, selector)
		}
	}
	return out
}

// anyTerm makes all affinity terms count, as Flagger does.
func anyTerm(map[string]any) bool { return true }
