package canary

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// The kinds of things that a canary depends on.
const (
	deployments = "deployment/"
	services    = "service/"
	routes      = "httproute/"
	configMaps  = "configmap/"
	secrets     = "secret/"
)

// dependencies are the things whose changes concern a canary. The configs are
// keyed as in status.trackedConfigs.
func dependencies(c *flaggerv1.Canary, configs []string) []string {
	target := c.Spec.TargetRef.Name
	apex, primary, own := c.ServiceNames()
	return append([]string{
		deployments + target, deployments + target + "-primary",
		services + apex, services + primary, services + own, routes + apex,
	}, configs...)
}

// watchlist knows which canaries depend on a thing. It is filled by reconciling,
// which every canary is when the process starts.
type watchlist struct {
	mu    sync.Mutex
	by    map[watchKey]map[types.NamespacedName]bool
	needs map[types.NamespacedName][]string
}

type watchKey struct{ namespace, thing string }

// set replaces what a canary depends on.
func (w *watchlist) set(canary types.NamespacedName, things []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by == nil {
		w.by, w.needs = map[watchKey]map[types.NamespacedName]bool{}, map[types.NamespacedName][]string{}
	}
	w.clear(canary)
	for _, thing := range things {
		key := watchKey{canary.Namespace, thing}
		if w.by[key] == nil {
			w.by[key] = map[types.NamespacedName]bool{}
		}
		w.by[key][canary] = true
	}
	w.needs[canary] = things
}

func (w *watchlist) forget(canary types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clear(canary)
}

func (w *watchlist) clear(canary types.NamespacedName) {
	for _, thing := range w.needs[canary] {
		key := watchKey{canary.Namespace, thing}
		delete(w.by[key], canary)
		if len(w.by[key]) == 0 {
			delete(w.by, key)
		}
	}
	delete(w.needs, canary)
}

// who returns the canaries that depend on a thing.
func (w *watchlist) who(namespace, thing string) []reconcile.Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []reconcile.Request
	for canary := range w.by[watchKey{namespace, thing}] {
		out = append(out, reconcile.Request{NamespacedName: canary})
	}
	return out
}

// of enqueues the canaries that depend on an object of a kind.
func (w *watchlist) of(kind string) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []reconcile.Request {
		return w.who(object.GetNamespace(), kind+object.GetName())
	})
}
