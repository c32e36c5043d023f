// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"encoding/json"
	"fmt"
)

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
