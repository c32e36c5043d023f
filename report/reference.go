// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// sourceFields are where kinds name their source: Kustomizations, HelmCharts, Pipelines and automations;
// HelmReleases with a chart of their own; and those without.
var sourceFields = [][]string{{"spec", "sourceRef"}, {"spec", "chartRef"}, {"spec", "chart", "spec", "sourceRef"}}

// SourceOf is the source that an object names, and its apiVersion where that is said. It reports
// false of an object that names none.
func SourceOf(u *unstructured.Unstructured) (ref ObjectReference, apiVersion string, ok bool) {
	for _, path := range sourceFields {
		if ref, apiVersion, ok = named(u, "", path...); ok {
			return ref, apiVersion, true
		}
	}
	return ObjectReference{}, "", false
}

// named is what an object names in a field, of a kind unless the field says another one.
func named(u *unstructured.Unstructured, kind string, path ...string) (ref ObjectReference, apiVersion string, ok bool) {
	fields, found, err := unstructured.NestedMap(u.Object, path...)
	if err != nil || !found {
		return ObjectReference{}, "", false
	}
	text := func(field string) string { value, _ := fields[field].(string); return value }
	ref = ObjectReference{
		Kind: cmp.Or(text("kind"), kind), Namespace: cmp.Or(text("namespace"), u.GetNamespace()), Name: text("name"),
	}
	return ref, text("apiVersion"), ref.Kind != "" && ref.Name != ""
}

// ToldWith are the objects whose events belong to those of an object, as in Flux's CLI: the source
// of a Kustomization, a Pipeline or an automation, the source and the HelmChart of a HelmRelease,
// the ImageRepository of an ImagePolicy and the Provider of an Alert.
func ToldWith(u *unstructured.Unstructured) []ObjectReference {
	var found []ObjectReference
	if source, _, ok := SourceOf(u); ok {
		found = append(found, source)
		if _, chart, _ := unstructured.NestedMap(u.Object, "spec", "chart"); chart && source.Kind != "HelmChart" {
			found = append(found, ObjectReference{
				Kind: "HelmChart", Namespace: source.Namespace, Name: u.GetNamespace() + "-" + u.GetName(),
			})
		}
	}
	for field, kind := range map[string]string{"imageRepositoryRef": "ImageRepository", "providerRef": "Provider"} {
		if ref, _, ok := named(u, kind, "spec", field); ok {
			found = append(found, ref)
		}
	}
	return found
}
