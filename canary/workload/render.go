package workload

import (
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

// primaryTemplate turns the target's pod template into the primary's.
func (n naming) primaryTemplate(r *Revision) map[string]any {
	template := n.rename(r)
	before := texts(dict(dict(r.Template, "metadata"), "labels"))
	after := texts(dict(dict(template, "metadata"), "labels"))
	pods{before, after, n.keys}.place(dict(template, "spec"))
	return template
}

// flaggerTemplate is what Flagger makes of it.
func (n naming) flaggerTemplate(r *Revision) map[string]any {
	template := n.rename(r)
	n.placeAsFlagger(dict(template, "spec"))
	return template
}

// rename gives a template the names of the primary.
func (n naming) rename(r *Revision) map[string]any {
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
	n.relabel(labels)
	annotations[idAnnotation] = r.Digest
	delete(metadata, "creationTimestamp")
	spec := child(template, "spec")
	for _, ref := range refs(spec) {
		if name, ok := n.configs[configKey(ref.kind, ref.name())]; ok {
			ref.holder[ref.key] = name
		}
	}
	return template
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
