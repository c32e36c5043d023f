// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"maps"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// What stands for values of Secrets. A changed one is told apart before and after.
const (
	Value  = "*****"
	Before = "***** (before)"
	After  = "***** (after)"
)

// secretFields are the fields of a Secret that hold its values.
var secretFields = []string{"data", "stringData"}

// Secret hides the values of a Secret as it was and as it is, so that what is left to be seen is which of them
// change. Either may be nil. Other objects stay as they are.
func Secret(before, after *unstructured.Unstructured) {
	if !isSecret(before) && !isSecret(after) {
		return
	}
	for _, field := range secretFields {
		was, is := valuesOf(before, field), valuesOf(after, field)
		for key := range mergedKeys(was, is) {
			old, had := was[key]
			now, has := is[key]
			switch {
			case had && has && equality.Semantic.DeepEqual(old, now):
				was[key], is[key] = Value, Value
				continue
			case had && has:
				was[key], is[key] = Before, After
			case had:
				was[key] = Value
			case has:
				is[key] = Value
			}
		}
	}
}

func mergedKeys(a, b map[string]any) map[string]any {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]any{}
	}
	maps.Copy(all, b)
	return all
}

func isSecret(u *unstructured.Unstructured) bool {
	return u != nil && u.GetKind() == secretKind && u.GroupVersionKind().Group == ""
}

func valuesOf(u *unstructured.Unstructured, field string) map[string]any {
	if u == nil {
		return nil
	}
	values, _ := u.Object[field].(map[string]any)
	return values
}
