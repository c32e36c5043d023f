// SPDX-License-Identifier: Apache-2.0

package router

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
)

// entry is a part of an object in JSON, such as one of several weighted backends.
type entry = map[string]any

// backendName says which backend an entry is for.
type backendName func(entry) string

// backendNameAt reads the name at a path.
func backendNameAt(path ...string) backendName {
	return func(e entry) string { return object.Text(e, path...) }
}

// findEntry returns the entry of a backend, nil if there is none.
func findEntry(list []entry, name backendName, want string) entry {
	i := slices.IndexFunc(list, func(e entry) bool { return name(e) == want })
	if i < 0 {
		return nil
	}
	return list[i]
}

// liveEntry returns the live entry of a backend to change what is the canary's in it,
// or else that of its sibling, which is called in the same way; or an empty one.
func liveEntry(list []entry, name backendName, want, sibling string) entry {
	e := findEntry(list, name, want)
	if e == nil {
		e = findEntry(list, name, sibling)
	}
	if e == nil {
		return entry{}
	}
	return runtime.DeepCopyJSON(e)
}

// weightsIn returns the weights of two backends as percentages; ok is false unless
// both are in the list. A backend without a weight gets nothing: Flagger leaves
// out a weight of zero.
func weightsIn(list []entry, name backendName, primary, canary string) (w provider.Weights, ok bool) {
	p, c := findEntry(list, name, primary), findEntry(list, name, canary)
	if p == nil || c == nil {
		return provider.Weights{}, false
	}
	return percentages(number(p["weight"]), number(c["weight"])), true
}

// maxShare keeps the arithmetic of weights that somebody wrote within bounds.
const maxShare = 1 << 20

// percentages scales two weights to a total of 100. Without any there are none.
func percentages(primary, canary int) provider.Weights {
	primary, canary = min(max(primary, 0), maxShare), min(max(canary, 0), maxShare)
	total := primary + canary
	if total == 0 {
		return provider.Weights{}
	}
	share := (canary*100 + total/2) / total
	return provider.Weights{Primary: 100 - share, Canary: share}
}

// number reads a weight: some APIs write it as a quantity in a text.
func number(value any) int {
	switch n := value.(type) {
	case int64:
		return int(n)
	case float64:
		return int(min(max(n, 0), maxShare))
	case string:
		quantity, err := resource.ParseQuantity(n)
		if err != nil {
			return 0
		}
		return int(quantity.Value())
	default:
		return 0
	}
}
