package workload

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// mapAt returns the JSON object at a path, without copying it; nil if there is none.
func mapAt(in map[string]any, path ...string) map[string]any {
	found, _, _ := unstructured.NestedFieldNoCopy(in, path...)
	object, _ := found.(map[string]any)
	return object
}

// objectsAt returns the JSON objects of the list at a path, without copying them.
func objectsAt(in map[string]any, path ...string) []map[string]any {
	found, _, _ := unstructured.NestedFieldNoCopy(in, path...)
	values, _ := found.([]any)
	var objects []map[string]any
	for _, value := range values {
		if object, ok := value.(map[string]any); ok {
			objects = append(objects, object)
		}
	}
	return objects
}

// stringAt returns the text at a path; empty if there is none.
func stringAt(in map[string]any, path ...string) string {
	text, _, _ := unstructured.NestedString(in, path...)
	return text
}

// intAt returns the whole number at a path; zero if there is none.
func intAt(in map[string]any, path ...string) int64 {
	number, _, _ := unstructured.NestedInt64(in, path...)
	return number
}

// ensureMap returns the JSON object at a path, which it makes if it is missing.
func ensureMap(in map[string]any, path ...string) map[string]any {
	for _, field := range path {
		next, ok := in[field].(map[string]any)
		if !ok {
			next = map[string]any{}
			in[field] = next
		}
		in = next
	}
	return in
}

// stringsOf returns those values of a JSON object that are text.
func stringsOf(in map[string]any) map[string]string {
	out := make(map[string]string, len(in))
	for key, value := range in {
		if text, ok := value.(string); ok {
			out[key] = text
		}
	}
	return out
}

// merge returns the entries of both maps; those of b win.
func merge(a, b map[string]string) map[string]string {
	if len(b) == 0 {
		return a
	}
	out := make(map[string]string, len(a)+len(b))
	for _, m := range []map[string]string{a, b} {
		for key, value := range m {
			out[key] = value
		}
	}
	return out
}

// within reports whether there are labels, and all of them are among others.
func within(labels, others map[string]string) bool {
	for key, value := range labels {
		if has, ok := others[key]; !ok || has != value {
			return false
		}
	}
	return len(labels) > 0
}

// mergePatchOfAnnotations sets annotations, and removes those that are nil.
func mergePatchOfAnnotations(annotations map[string]any) ([]byte, error) {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if err != nil {
		return nil, fmt.Errorf("encoding annotations: %w", err)
	}
	return patch, nil
}
