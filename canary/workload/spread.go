package workload

import (
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

// pods are the labels of the target's pods, and what they become in the primary's.
type pods struct {
	target, primary map[string]string
	// keys are those that name an application.
	keys []string
}

// place makes what a pod spec says about pods of its own application mean the
// primary's: those must neither be kept away from the target's nor be counted with
// them, and find each other where pods of an application want to be together.
func (p pods) place(podSpec map[string]any) {
	for _, selector := range spreadSelectors(podSpec) {
		if !p.replace(selector) {
			p.narrow(selector)
		}
	}
	affinity := dict(dict(podSpec, "affinity"), "podAffinity")
	for _, term := range list(affinity, "preferredDuringSchedulingIgnoredDuringExecution") {
		p.replace(dict(dict(term, "podAffinityTerm"), "labelSelector"))
	}
	for _, term := range list(affinity, "requiredDuringSchedulingIgnoredDuringExecution") {
		p.replace(dict(term, "labelSelector"))
	}
}

// changed are the labels that differ.
func (p pods) changed() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(p.target)), func(key string) bool { return p.target[key] == p.primary[key] })
}

// replace puts the primary's values in the place of the target's, and reports whether
// there were any.
func (p pods) replace(selector map[string]any) (found bool) {
	for _, key := range p.changed() {
		if matched := dict(selector, "matchLabels"); matched[key] == p.target[key] {
			matched[key], found = p.primary[key], true
		}
		for _, expression := range list(selector, "matchExpressions") {
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
func (p pods) narrow(selector map[string]any) {
	changed := p.changed()
	if len(changed) == 0 || !matches(selector, p.target) {
		return
	}
	named := equalities(selector)
	if slices.ContainsFunc(p.keys, func(key string) bool { return named[key] != "" }) {
		child(selector, "matchLabels")[changed[0]] = p.primary[changed[0]]
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
		for key, value := range dict(selector, "matchLabels") {
			if slices.Contains(n.keys, key) && value == n.target {
				selector["matchLabels"].(map[string]any)[key] = n.target + primarySuffix
			}
		}
		for _, expression := range list(selector, "matchExpressions") {
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
	for _, constraint := range list(podSpec, "topologySpreadConstraints") {
		out = append(out, dict(constraint, "labelSelector"))
	}
	anti := dict(dict(podSpec, "affinity"), "podAntiAffinity")
	for _, term := range list(anti, "preferredDuringSchedulingIgnoredDuringExecution") {
		out = append(out, dict(dict(term, "podAffinityTerm"), "labelSelector"))
	}
	for _, term := range list(anti, "requiredDuringSchedulingIgnoredDuringExecution") {
		out = append(out, dict(term, "labelSelector"))
	}
	return slices.DeleteFunc(out, func(selector map[string]any) bool { return selector == nil })
}
