// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/canary/workload"
)

// clusterRef is an [object.Ref] in one of the two clusters that a release may have to do with: an object
// that a canary depends on, whether it exists or not.
type clusterRef struct {
	clusterKind
	client.ObjectKey
}

// clusterKind is a kind of objects in one of the clusters.
type clusterKind struct {
	schema.GroupVersionKind
	cluster clusterName
}

// clusterName is that of one of the two clusters.
type clusterName string

const (
	workloadCluster clusterName = "workload"
	// meshCluster has the control plane of the service mesh, if it is another one.
	meshCluster clusterName = "mesh"
)

// dependencyIndex knows which canaries depend on an object. It has an entry for each
// canary that was observed, which goes with it. It is filled by reconciling, which
// every canary is when the process starts.
type dependencyIndex struct {
	mu         sync.Mutex
	dependents map[clusterRef]map[types.NamespacedName]bool
	needs      map[types.NamespacedName][]clusterRef
}

// set replaces what a canary depends on.
func (i *dependencyIndex) set(canary types.NamespacedName, objects []clusterRef) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dependents == nil {
		i.dependents, i.needs = map[clusterRef]map[types.NamespacedName]bool{}, map[types.NamespacedName][]clusterRef{}
	}
	i.remove(canary)
	for _, object := range objects {
		if i.dependents[object] == nil {
			i.dependents[object] = map[types.NamespacedName]bool{}
		}
		i.dependents[object][canary] = true
	}
	i.needs[canary] = objects
}

func (i *dependencyIndex) forget(canary types.NamespacedName) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.remove(canary)
}

// remove drops a canary. The lock is held.
func (i *dependencyIndex) remove(canary types.NamespacedName) {
	for _, object := range i.needs[canary] {
		delete(i.dependents[object], canary)
		if len(i.dependents[object]) == 0 {
			delete(i.dependents, object)
		}
	}
	delete(i.needs, canary)
}

// dependentsOf returns the canaries that depend on an object.
func (i *dependencyIndex) dependentsOf(object clusterRef) []types.NamespacedName {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Collect(maps.Keys(i.dependents[object]))
}

// workloadObjects are the objects of both copies.
func workloadObjects(w *workload.Workloads) []clusterRef {
	var objects []clusterRef
	for _, object := range w.Objects() {
		objects = append(objects, clusterRef{clusterKind{object.GroupVersionKind, workloadCluster}, object.NamespacedName})
	}
	return objects
}
