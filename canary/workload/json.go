// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"encoding/json"
	"fmt"

	"github.com/sluice-cd/sluice/canary/object"
)

// intAt returns the whole number at a path; zero if there is none.
func intAt(in map[string]any, path ...string) int64 {
	number, _ := object.At(in, path...).(int64)
	return number
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

// merge returns the entries of both maps; those of b win. Unlike [object.Merge] it makes
// nothing of nothing: an empty map in an object is written again and again.
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
