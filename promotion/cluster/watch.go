// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/sluice-cd/sluice/internal/background"
)

// retryKinds is the time between two questions for a kind that is not installed, or for
// a cluster that does not say which kinds it has.
const retryKinds = 30 * time.Second

// watch is of the objects of a kind in a namespace. Its fields are under the lock of the
// clusters.
type watch struct {
	watched    watchKey
	connection *connection
	cancel     context.CancelFunc
	// users are the pipelines that it is for, with the names of their objects.
	users map[types.NamespacedName]map[string]bool
	// informer is nil until the kind is known. problem is what went wrong last.
	informer cache.SharedIndexInformer
	problem  string
}

func (w *watch) needs(pipeline types.NamespacedName, name string) {
	if w.users[pipeline] == nil {
		w.users[pipeline] = map[string]bool{}
	}
	w.users[pipeline][name] = true
}

// answer is what the watch has seen of an object.
func (w *watch) answer(object Object) Answer {
	synced := w.informer != nil && w.informer.HasSynced()
	switch {
	case w.problem != "": // what it was before says nothing of now
		return Answer{Unknown: true, Failed: true, Why: fmt.Sprintf("%s%s is not known: %s", object, w.connection.clusterSuffix(), w.problem)}
	case !synced:
		return Answer{Unknown: true, Why: fmt.Sprintf("%s%s is being looked for", object, w.connection.clusterSuffix())}
	}
	key := object.Namespace + "/" + object.Name
	if object.Namespace == "" {
		key = object.Name
	}
	seen, found, err := w.informer.GetStore().GetByKey(key)
	u, ok := seen.(*unstructured.Unstructured)
	if err == nil && found && ok {
		return Answer{Object: u}
	}
	return Answer{Missing: true, Why: fmt.Sprintf("%s%s does not exist", object, w.connection.clusterSuffix())}
}

// follow finds out which resource has the kind, and watches it until ctx ends.
func (c *Clusters) follow(ctx context.Context, w *watch) {
	for {
		mapping, err := w.connection.mapping(w.watched.GroupVersionKind)
		if err == nil {
			c.inform(ctx, w, mapping)
			return
		}
		c.recordProblem(w, problemOf(w.watched, err))
		select {
		case <-ctx.Done():
			return
		case <-c.Clock.After(retryKinds):
		}
	}
}

// inform runs the informer.
func (c *Clusters) inform(ctx context.Context, w *watch, mapping *apimeta.RESTMapping) {
	informer := cache.NewSharedIndexInformer(c.listWatch(w, mapping), &unstructured.Unstructured{}, 0, cache.Indexers{})
	err := errors.Join(
		informer.SetTransform(func(seen any) (small any, err error) {
			err = background.Try(ctx, func() error { // a panic here would be one of the informer, which ends the process
				small, err = trim(w.watched, seen)
				return err
			})
			return small, err
		}),
		informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
			if !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
				c.recordProblem(w, problemOf(w.watched, err))
			}
		}))
	if err == nil {
		_, err = informer.AddEventHandler(background.EventHandler(ctx, cache.ResourceEventHandlerFuncs{
			AddFunc:    func(seen any) { c.wakeUsers(w, seen) },
			UpdateFunc: func(_, seen any) { c.wakeUsers(w, seen) },
			DeleteFunc: func(seen any) { c.wakeUsers(w, seen) },
		}))
	}
	if err != nil {
		c.recordProblem(w, err.Error())
		return
	}
	c.mu.Lock()
	w.informer, w.problem = informer, ""
	c.mu.Unlock()
	go background.Run(ctx, func() {
		if cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
			c.wakeAll(w)
		}
	})
	informer.RunWithContext(ctx)
}

// recordProblem notes what keeps a watch from seeing anything, "" for nothing, and wakes all
// who use it if that is news.
func (c *Clusters) recordProblem(w *watch, problem string) {
	c.mu.Lock()
	news := problem != w.problem
	w.problem = problem
	c.mu.Unlock()
	if !news {
		return
	}
	if problem != "" {
		c.Log.V(1).Info("cannot watch what pipelines are judged by", "kind", w.watched.Kind, "namespace", w.watched.namespace, "reason", problem)
	}
	c.wakeAll(w)
}

// wakeAll wakes all who use a watch.
func (c *Clusters) wakeAll(w *watch) {
	c.mu.Lock()
	pipelines := slices.Collect(maps.Keys(w.users))
	c.mu.Unlock()
	for _, pipeline := range pipelines {
		c.Wake(pipeline)
	}
}

// wakeUsers wakes those who need an object.
func (c *Clusters) wakeUsers(w *watch, seen any) {
	if gone, ok := seen.(cache.DeletedFinalStateUnknown); ok {
		seen = gone.Obj
	}
	u, ok := seen.(*unstructured.Unstructured)
	if !ok {
		return
	}
	c.mu.Lock()
	var pipelines []types.NamespacedName
	for pipeline, names := range w.users {
		if names[u.GetName()] {
			pipelines = append(pipelines, pipeline)
		}
	}
	c.mu.Unlock()
	for _, pipeline := range pipelines {
		c.Wake(pipeline)
	}
}

// listWatch lists and watches what a watch is of. Whenever that works, what went wrong
// before is over.
func (c *Clusters) listWatch(w *watch, mapping *apimeta.RESTMapping) cache.ListerWatcher {
	objects := w.connection.objects.Resource(mapping.Resource)
	in := objects.Namespace(w.watched.namespace)
	if mapping.Scope.Name() != apimeta.RESTScopeNameNamespace {
		in = objects
	}
	narrow := func(o metav1.ListOptions) metav1.ListOptions {
		if w.watched.name != "" {
			o.FieldSelector = fields.OneTermEqualSelector("metadata.name", w.watched.name).String()
		}
		return o
	}
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := in.List(ctx, narrow(o))
			if err == nil {
				c.recordProblem(w, "")
			}
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			stream, err := in.Watch(ctx, narrow(o))
			if err == nil {
				c.recordProblem(w, "")
			}
			return stream, err
		},
	}
}

// problemOf says what went wrong, and what to do.
func problemOf(of watchKey, err error) string {
	resource := strings.ToLower(of.Kind) + "s." + of.Group
	switch {
	case apimeta.IsNoMatchError(err), apierrors.IsNotFound(err):
		return fmt.Sprintf("the API server does not have the kind %s of %s: install its CRD, or correct apiVersion", of.Kind, of.GroupVersion())
	case apierrors.IsForbidden(err):
		return fmt.Sprintf("it may not be read: grant get, list and watch of %s to the identity that looks (%s)",
			strings.TrimSuffix(resource, "."), err)
	case apierrors.IsUnauthorized(err):
		return "the API server does not accept the credentials"
	}
	return err.Error()
}

// kept are the fields of an object that readiness needs, besides its status.
var kept = [][]string{
	{"spec", "suspend"}, {"spec", "paused"}, {"spec", "replicas"}, {"spec", "updateStrategy"}, {"spec", "targetRef"}, {"spec", "chartRef"},
	{"spec", "template", "spec", "containers"}, {"spec", "template", "spec", "initContainers"},
}

// dropped are those of a status that are long and not needed.
var dropped = [][]string{
	{"status", "inventory"}, {"status", "resources"}, {"status", "history"}, {"status", "operationState", "syncResult", "resources"},
	{"status", "trackedConfigs"}, {"status", "checks"},
}

// maxKept is how many bytes of JSON are kept of an object of another cluster at most. All of
// etcd's objects are shorter than twice that.
const maxKept = 1 << 20

// trim keeps what readiness needs. Of another cluster it keeps the one object that is watched,
// and not more of that than maxKept.
func trim(of watchKey, seen any) (any, error) {
	u, ok := seen.(*unstructured.Unstructured)
	if !ok {
		return seen, nil
	}
	small := &unstructured.Unstructured{Object: map[string]any{}}
	small.SetGroupVersionKind(u.GroupVersionKind())
	if of.name != "" && (u.GetName() != of.name || u.GetNamespace() != "" && u.GetNamespace() != of.namespace) {
		small.SetName("another")
		return small, nil
	}
	if err := copyForReadiness(u, small); err != nil {
		return nil, err
	}
	if of.name == "" {
		return small, nil
	}
	if text, err := small.MarshalJSON(); err != nil || len(text) > maxKept {
		small.Object = map[string]any{"metadata": map[string]any{"name": u.GetName(), "namespace": u.GetNamespace()}}
		small.SetGroupVersionKind(of.GroupVersionKind)
		return small, unstructured.SetNestedSlice(small.Object, []any{map[string]any{
			"type": "Ready", "status": "Unknown", "reason": "TooLarge",
			"message": fmt.Sprintf("its API server says more than %d bytes of its status", maxKept),
		}}, "status", "conditions")
	}
	return small, nil
}

// copyForReadiness copies what readiness needs.
func copyForReadiness(u, small *unstructured.Unstructured) error {
	small.SetName(u.GetName())
	small.SetNamespace(u.GetNamespace())
	small.SetUID(u.GetUID())
	small.SetResourceVersion(u.GetResourceVersion())
	small.SetGeneration(u.GetGeneration())
	small.SetLabels(u.GetLabels())
	small.SetDeletionTimestamp(u.GetDeletionTimestamp())
	for _, path := range kept {
		if value, found, err := unstructured.NestedFieldNoCopy(u.Object, path...); err == nil && found {
			_ = unstructured.SetNestedField(small.Object, value, path...)
		}
	}
	if status, found, err := unstructured.NestedMap(u.Object, "status"); err == nil && found {
		small.Object["status"] = status
	}
	for _, path := range dropped {
		unstructured.RemoveNestedField(small.Object, path...)
	}
	if digest := chartDigest(u); digest != "" {
		newest := map[string]any{"ociDigest": digest}
		return unstructured.SetNestedSlice(small.Object, []any{newest}, "status", "history")
	}
	return nil
}

// chartDigest is that of the chart which a HelmRelease installed last: all that is kept of
// its history.
func chartDigest(u *unstructured.Unstructured) string {
	history, _, _ := unstructured.NestedSlice(u.Object, "status", "history")
	if len(history) == 0 {
		return ""
	}
	newest, _ := history[0].(map[string]any)
	digest, _ := newest["ociDigest"].(string)
	return digest
}
