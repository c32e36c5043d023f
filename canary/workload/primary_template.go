// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-cd/sluice/canary/object"
)

const (
	// idAnnotation is Flagger's, on the primary's pod template. Flagger writes a
	// random id to make every promotion a rollout; ours is the revision, so that
	// repeating a promotion changes nothing.
	idAnnotation = "flagger-id"
	// toolkitMarker is in every label and annotation by which Flux claims an
	// object. Copies are not Flux's.
	toolkitMarker = "toolkit.fluxcd.io"
	canarySuffix  = "-canary"
)

// primaryTemplate turns the target's pod template into the primary's. configNames are
// the names of the primary's copies of configs, by [Config.key].
func (n naming) primaryTemplate(r *Revision, configNames map[string]string) map[string]any {
	template := n.rename(r, configNames)
	before := object.Texts(object.Map(r.Template, "metadata", "labels"))
	after := object.Texts(object.Map(template, "metadata", "labels"))
	placement{before, after, n.keys, n.namespace}.apply(object.Map(template, "spec"))
	return template
}

// flaggerTemplate is what Flagger makes of it.
func (n naming) flaggerTemplate(r *Revision, configNames map[string]string) map[string]any {
	template := n.rename(r, configNames)
	n.placeAsFlagger(object.Map(template, "spec"))
	return template
}

// rename gives a template the names of the primary.
func (n naming) rename(r *Revision, configNames map[string]string) map[string]any {
	template := runtime.DeepCopyJSON(r.Template)
	metadata := object.Child(template, "metadata")
	labels, annotations := object.Child(metadata, "labels"), object.Child(metadata, "annotations")
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
	for _, ref := range configRefs(object.Child(template, "spec")) {
		if name, ok := configNames[configKey(ref.kind, ref.name())]; ok {
			ref.holder[ref.key] = name
		}
	}
	return template
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
