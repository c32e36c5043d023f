// SPDX-License-Identifier: Apache-2.0

package report

// List is a listing of items, which is never null.
type List[T any] struct {
	// Items are in the order of the API server: by namespace and name.
	Items []T `json:"items"`
}

// ListOf reports each of the objects.
func ListOf[O, T any](objects []O, report func(*O) T) List[T] {
	list := List[T]{Items: make([]T, 0, len(objects))}
	for i := range objects {
		list.Items = append(list.Items, report(&objects[i]))
	}
	return list
}
