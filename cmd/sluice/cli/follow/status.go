// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"errors"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// statusSelector selects objects by a condition, as that of Flux's CLI does: ready=false, ready!=true. Neither
// the condition nor its status is told apart by case. The zero value selects all.
type statusSelector struct {
	condition, status string
	not               bool
}

var errStatusSelector = errors.New("--status-selector: write CONDITION=STATUS or CONDITION!=STATUS, such as ready=false")

func parseStatusSelector(text string) (statusSelector, error) {
	if text == "" {
		return statusSelector{}, nil
	}
	condition, status, ok := strings.Cut(text, "=")
	condition, not := strings.CutSuffix(condition, "!")
	if !ok || condition == "" || status == "" {
		return statusSelector{}, errStatusSelector
	}
	return statusSelector{condition, status, not}, nil
}

// selects reports whether it selects an object. One without the condition has no status of it.
func (s statusSelector) selects(o runtime.Object) (bool, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return false, err
	}
	conditions, _, _ := unstructured.NestedSlice(fields, "status", "conditions") // none, if it is anything else
	is := false
	for _, item := range conditions {
		condition, _ := item.(map[string]any)
		kind, _ := condition["type"].(string)
		status, _ := condition["status"].(string)
		if strings.EqualFold(kind, s.condition) {
			is = strings.EqualFold(status, s.status)
		}
	}
	return is != s.not, nil
}

// rows are those of the objects that are selected by their status.
func (l *Listing) rows(lists []client.ObjectList) (Rows, error) {
	if l.status != (statusSelector{}) {
		for i, list := range lists {
			if l.Kinds[i].Beside {
				continue
			}
			if err := l.status.filter(list); err != nil {
				return Rows{}, err
			}
		}
	}
	rows := l.Rows(lists)
	rows.Table.Headless = l.headless
	return rows, nil
}

// filter leaves in a list what the selector selects.
func (s statusSelector) filter(list client.ObjectList) error {
	items, err := meta.ExtractList(list)
	if err != nil {
		return err
	}
	selected := make([]runtime.Object, 0, len(items))
	for _, item := range items {
		is, err := s.selects(item)
		if err != nil {
			return err
		}
		if is {
			selected = append(selected, item)
		}
	}
	return meta.SetList(list, selected)
}
