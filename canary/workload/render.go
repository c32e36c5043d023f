package workload

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
)

const (
	// idAnnotation is Flagger's, on the primary's pod template. Flagger writes a
	// random id to make every promotion a rollout; ours is the revision, so that
	// repeating a promotion changes nothing.
	idAnnotation = "flagger-id"
	// toolkitMarker is in every label and annotation by which Flux claims an
	// object. Copies are not Flux's.
	toolkitMarker = "toolkit.fluxcd.io"
	primarySuffix = "-primary"
)

// naming says what is called what.
type naming struct {
	// target is the Deployment's name; label and value are the selector by which
	// the two copies are told apart.
	target, label, value string
	// labels are the keys that may be selectors.
	labels []string
	// configs are the names of the primary's copies, by [configKey].
	configs map[string]string
}

func (n naming) primaryValue() string { return n.value + primarySuffix }

// selector and primarySelector are those of the Services of the two copies.
func (n naming) selector() map[string]string { return map[string]string{n.label: n.value} }

func (n naming) primarySelector() map[string]string {
	return map[string]string{n.label: n.primaryValue()}
}

// primaryTemplate turns the target's pod template into the primary's.
func (n naming) primaryTemplate(r *Revision) map[string]any {
	template := runtime.DeepCopyJSON(r.Template)
	metadata := child(template, "metadata")
	labels, annotations := child(metadata, "labels"), child(metadata, "annotations")
	for _, m := range []map[string]any{labels, annotations} {
		for key := range m {
			if strings.Contains(key, toolkitMarker) {
				delete(m, key)
			}
		}
	}
	labels[n.label] = n.primaryValue()
	annotations[idAnnotation] = r.Digest
	delete(metadata, "creationTimestamp")
	spec := child(template, "spec")
	for _, ref := range refs(spec) {
		if name, ok := n.configs[configKey(ref.kind, ref.name())]; ok {
			ref.holder[ref.key] = name
		}
	}
	for _, selector := range spreadSelectors(spec) {
		n.rename(selector)
	}
	return template
}

// spreadSelectors are the label selectors that keep pods of the same application
// apart. The primary's must not count the canary's pods.
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
	return out
}

// rename makes a selector that selects the target select the primary.
func (n naming) rename(selector map[string]any) {
	for key, value := range dict(selector, "matchLabels") {
		if slices.Contains(n.labels, key) && value == n.target {
			selector["matchLabels"].(map[string]any)[key] = n.target + primarySuffix
		}
	}
	for _, expression := range list(selector, "matchExpressions") {
		key, _ := expression["key"].(string)
		values, _ := expression["values"].([]any)
		if i := slices.Index(values, any(n.target)); i >= 0 && slices.Contains(n.labels, key) {
			values[i] = n.target + primarySuffix
		}
	}
}

// child is a field that is an object, made if it is missing.
func child(m map[string]any, field string) map[string]any {
	if value, ok := m[field].(map[string]any); ok {
		return value
	}
	value := map[string]any{}
	m[field] = value
	return value
}

// included are the labels or annotations whose keys have one of the prefixes;
// `*` stands for all. Those of Flux never are.
func included(from map[string]string, prefixes []string) map[string]string {
	out := map[string]string{}
	for key, value := range from {
		if strings.Contains(key, toolkitMarker) {
			continue
		}
		for _, prefix := range prefixes {
			if prefix == "*" || prefix != "" && strings.HasPrefix(key, prefix) {
				out[key] = value
			}
		}
	}
	return out
}
