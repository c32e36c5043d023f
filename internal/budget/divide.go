// SPDX-License-Identifier: Apache-2.0

package budget

import "slices"

// Divide says for how many bytes each of several namespaces has to answer that have them
// together: equal parts, which make up all of them. "" is nobody, and answers only where it is
// alone.
func Divide(bytes int64, namespaces []string) map[string]int64 {
	namespaces = slices.Compact(slices.Sorted(slices.Values(namespaces)))
	if len(namespaces) > 1 && namespaces[0] == "" {
		namespaces = namespaces[1:]
	}
	parts := make(map[string]int64, len(namespaces))
	for i, namespace := range namespaces {
		parts[namespace] = bytes / int64(len(namespaces)-i)
		bytes -= parts[namespace]
	}
	return parts
}
