package canary

import (
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/canary/workload"
)

// thing is an object that a canary depends on, whether it exists or not.
type thing struct {
	sort
	client.ObjectKey
}

// sort is a kind of things in one of the clusters.
type sort struct {
	schema.GroupVersionKind
	inMesh bool
}

// watchlist knows which canaries depend on a thing. It is filled by reconciling,
// which every canary is when the process starts.
type watchlist struct {
	mu    sync.Mutex
	by    map[thing]map[types.NamespacedName]bool
	needs map[types.NamespacedName][]thing
}

// set replaces what a canary depends on.
func (w *watchlist) set(canary types.NamespacedName, things []thing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by == nil {
		w.by, w.needs = map[thing]map[types.NamespacedName]bool{}, map[types.NamespacedName][]thing{}
	}
	w.clear(canary)
	for _, t := range things {
		if w.by[t] == nil {
			w.by[t] = map[types.NamespacedName]bool{}
		}
		w.by[t][canary] = true
	}
	w.needs[canary] = things
}

func (w *watchlist) forget(canary types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clear(canary)
}

func (w *watchlist) clear(canary types.NamespacedName) {
	for _, t := range w.needs[canary] {
		delete(w.by[t], canary)
		if len(w.by[t]) == 0 {
			delete(w.by, t)
		}
	}
	delete(w.needs, canary)
}

// who returns the canaries that depend on a thing.
func (w *watchlist) who(t thing) []types.NamespacedName {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]types.NamespacedName, 0, len(w.by[t]))
	for canary := range w.by[t] {
		out = append(out, canary)
	}
	return out
}

// dependencies are the things whose changes concern a canary.
func (r *Reconciler) dependencies(pair *workload.Workloads, c *flaggerv1.Canary, routes router.Router) []thing {
	return append(workloadThings(pair), r.routeThings(c, routes)...)
}

// workloadThings are the objects of both copies.
func workloadThings(pair *workload.Workloads) []thing {
	var things []thing
	for _, object := range pair.Objects() {
		things = append(things, thing{sort{object.GroupVersionKind, false}, object.ObjectKey})
	}
	return things
}

// routeThings are the route objects of a canary.
func (r *Reconciler) routeThings(c *flaggerv1.Canary, routes router.Router) []thing {
	var things []thing
	abroad := r.routesAbroad(c)
	for _, object := range routes.Objects(c) {
		things = append(things, thing{sort{object.GroupVersionKind, abroad}, object.NamespacedName})
	}
	return things
}
