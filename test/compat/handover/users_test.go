// SPDX-License-Identifier: Apache-2.0

package handover

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// sight is one change of something that users depend on.
type sight struct {
	version uint64 // of all that the API server stores
	key     string // kind and name
	object  *unstructured.Unstructured
}

// users sees what there is for them, and remembers all of it.
type users struct {
	mu   sync.Mutex
	seen []sight
	now  liveObjects
	// canaries are those of the namespace, by name.
	canaries map[string]*unstructured.Unstructured
}

// liveObjects is one state of what users depend on, by kind and name.
type liveObjects map[string]*unstructured.Unstructured

// kinds that users depend on.
var kinds = map[string]string{
	"Pod":            "v1",
	"Service":        "v1",
	"HTTPRoute":      "gateway.networking.k8s.io/v1",
	"VirtualService": "networking.istio.io/v1beta1",
}

func watchUsers(t *testing.T, ns string) *users {
	t.Helper()
	u := &users{now: liveObjects{}, canaries: map[string]*unstructured.Unstructured{}}
	u.watch(t, ns, "flagger.app/v1beta1", "Canary")
	u.watch(t, ns, "serving.knative.dev/v1", "Service")
	for kind, version := range kinds {
		u.watch(t, ns, version, kind)
	}
	return u
}

func (u *users) watch(t *testing.T, ns, version, kind string) {
	t.Helper()
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion(version)
	list.SetKind(kind + "List")
	ctx := t.Context()
	events, err := the.Client.Watch(ctx, list, client.InNamespace(ns))
	if err != nil {
		if ctx.Err() == nil {
			t.Error(err)
		}
		return
	}
	go func() {
		defer events.Stop()
		for e := range events.ResultChan() {
			if object, ok := e.Object.(*unstructured.Unstructured); ok {
				u.note(e.Type, object)
			}
		}
		if ctx.Err() == nil {
			u.watch(t, ns, version, kind) // another CRD ends it
		}
	}()
}

func (u *users) note(change watch.EventType, object *unstructured.Unstructured) {
	version, err := strconv.ParseUint(object.GetResourceVersion(), 10, 64)
	if err != nil {
		return
	}
	s := sight{version: version, key: object.GetKind() + "/" + object.GetName(), object: object}
	if strings.HasPrefix(object.GetAPIVersion(), "serving.knative.dev/") {
		s.key = "Knative/" + object.GetName()
	}
	if change == watch.Deleted {
		s.object = nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if object.GetKind() == flaggerv1.CanaryKind {
		u.canaries[object.GetName()] = s.object
		return
	}
	u.seen = append(u.seen, s)
	u.now.see(s)
}

func (w liveObjects) see(s sight) {
	if s.object == nil {
		delete(w, s.key)
		return
	}
	w[s.key] = s.object
}

// canary is that of an app, as of now; nil is none.
func (u *users) canary(app string) *unstructured.Unstructured {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.canaries[app]
}

// weight is the canary's share of the users of an app, as of now.
func (u *users) weight(app string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.now.weight(app)
}

// mirrors reports whether the canary of an app gets copies of requests now.
func (u *users) mirrors(app string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if route, ok := u.now["HTTPRoute/"+app]; ok {
		return slices.ContainsFunc(dicts(route.Object, "spec", "rules"), func(rule map[string]any) bool {
			return slices.ContainsFunc(dicts(rule, "filters"), func(filter map[string]any) bool { return filter["requestMirror"] != nil })
		})
	}
	route, ok := u.now["VirtualService/"+app]
	return ok && slices.ContainsFunc(dicts(route.Object, "spec", "http"), func(rule map[string]any) bool { return rule["mirror"] != nil })
}

// version is that of the last change.
func (u *users) version() uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	var last uint64
	for _, s := range u.seen {
		last = max(last, s.version)
	}
	return last
}

// replay shows all states since a version in the order in which they were.
func (u *users) replay(since uint64, show func(version uint64, w liveObjects)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	slices.SortStableFunc(u.seen, func(a, b sight) int { return cmp.Compare(a.version, b.version) })
	w := liveObjects{}
	for _, s := range u.seen {
		w.see(s)
		if s.version >= since {
			show(s.version, w)
		}
	}
}

// weights are the canary's shares since a version, each once.
func (u *users) weights(app string, since uint64) []int {
	var found []int
	u.replay(since, func(_ uint64, w liveObjects) {
		if weight := w.weight(app); len(found) == 0 || found[len(found)-1] != weight {
			found = append(found, weight)
		}
	})
	return found
}

// unanswered are the states since a version in which users of apps had nobody to
// answer them.
func (u *users) unanswered(apps []app, since uint64) []string {
	var found []string
	last := map[string]string{}
	u.replay(since, func(version uint64, w liveObjects) {
		for _, a := range apps {
			why := w.unanswered(a.name)
			if why != "" && why != last[a.name] {
				found = append(found, fmt.Sprintf("%s: at version %d %s", a.name, version, why))
			}
			last[a.name] = why
		}
	})
	return found
}

// story is what happened to what an app's users depend on, for explaining.
func (u *users) story(app string, since uint64) []string {
	var lines []string
	u.replay(since, func(version uint64, w liveObjects) {
		line := fmt.Sprintf("selects %v, weight %d;", w.selector(app), w.weight(app))
		for _, key := range slices.Sorted(maps.Keys(w)) {
			if name, ok := strings.CutPrefix(key, "Pod/"); ok && strings.HasPrefix(name, app+"-") {
				line += fmt.Sprintf(" %s %v", name, ready(w[key]))
			}
		}
		if len(lines) == 0 || !strings.HasSuffix(lines[len(lines)-1], line) {
			lines = append(lines, fmt.Sprintf("%d %s", version, line))
		}
	})
	return lines
}

// unanswered says who of the users of an app gets no answer: those who call its
// Service, and those who come by its route.
func (w liveObjects) unanswered(app string) string {
	if !w.answers(app) {
		return fmt.Sprintf("nobody answers at the Service, which selects %v", w.selector(app))
	}
	for _, rule := range w.rules(app) {
		for _, b := range rule {
			if b.weight > 0 && !w.answers(b.service) {
				return fmt.Sprintf("%d%% of the users get no answer from %s", b.weight, b.service)
			}
		}
	}
	return ""
}

// selector is that of a Service; empty if there is no such.
func (w liveObjects) selector(service string) map[string]string {
	s, ok := w["Service/"+service]
	if !ok {
		return nil
	}
	selector, _, _ := unstructured.NestedStringMap(s.Object, "spec", "selector")
	return selector
}

// answers reports whether a Service has a pod that is ready and is not going, or
// leads out of the cluster, or has a Revision of Knative.
func (w liveObjects) answers(service string) bool {
	if s, ok := w["Knative/"+service]; ok {
		latest, _, _ := unstructured.NestedString(s.Object, "status", "latestReadyRevisionName")
		return latest != ""
	}
	if s, ok := w["Service/"+service]; ok {
		if name, _, _ := unstructured.NestedString(s.Object, "spec", "externalName"); name != "" {
			return true
		}
	}
	chosen := w.selector(service)
	if len(chosen) == 0 {
		return false
	}
	selector := labels.SelectorFromSet(chosen)
	for _, object := range w {
		if object.GetKind() == "Pod" && selector.Matches(labels.Set(object.GetLabels())) && ready(object) {
			return true
		}
	}
	return false
}

func ready(pod *unstructured.Unstructured) bool {
	if pod.GetDeletionTimestamp() != nil {
		return false
	}
	conditions, _, _ := unstructured.NestedSlice(pod.Object, "status", "conditions")
	return slices.ContainsFunc(conditions, func(c any) bool {
		condition, _ := c.(map[string]any)
		return condition["type"] == string(corev1.PodReady) && condition["status"] == "True"
	})
}

// backend is where a part of the users goes.
type backend struct {
	service string
	weight  int64
	// binds means that answers give users a cookie.
	binds bool
}

// weight is the canary's share of users who may get either: in the rule that binds
// them, or else in the first with two backends.
func (w liveObjects) weight(app string) int {
	share := 0
	if s, ok := w["Knative/"+app]; ok {
		for _, to := range dicts(s.Object, "spec", "traffic") {
			if percent, ok := to["percent"].(int64); ok && to["latestRevision"] == true {
				share = int(percent)
			}
		}
		return share
	}
	rules := w.rules(app)
	slices.Reverse(rules)
	slices.SortStableFunc(rules, func(a, b []backend) int { return cmp.Compare(binding(a), binding(b)) })
	for _, rule := range rules {
		for _, b := range rule {
			if len(rule) == 2 && b.service == app+"-canary" {
				share = int(b.weight) // the last one counts
			}
		}
	}
	return share
}

// binding is how many backends of a rule give cookies.
func binding(rule []backend) (n int) {
	for _, b := range rule {
		if b.binds {
			n++
		}
	}
	return n
}

// rules are those of the route of an app, of either kind.
func (w liveObjects) rules(app string) [][]backend {
	var rules [][]backend
	if route, ok := w["HTTPRoute/"+app]; ok {
		for _, rule := range dicts(route.Object, "spec", "rules") {
			var backends []backend
			for _, ref := range dicts(rule, "backendRefs") {
				b := backendOf(ref["name"], ref["weight"])
				b.binds = ref["filters"] != nil
				backends = append(backends, b)
			}
			rules = append(rules, backends)
		}
	}
	if route, ok := w["VirtualService/"+app]; ok {
		for _, rule := range dicts(route.Object, "spec", "http") {
			var backends []backend
			for _, to := range dicts(rule, "route") {
				destination, _ := to["destination"].(map[string]any)
				backends = append(backends, backendOf(destination["host"], to["weight"]))
			}
			rules = append(rules, backends)
		}
	}
	return rules
}

// backendOf reads a backend; one without a weight has all users.
func backendOf(name, weight any) backend {
	b := backend{weight: 100}
	b.service, _ = name.(string)
	if n, ok := weight.(int64); ok {
		b.weight = n
	}
	return b
}

// dicts is a field that is a list of objects.
func dicts(object map[string]any, path ...string) []map[string]any {
	items, _, _ := unstructured.NestedSlice(object, path...)
	var found []map[string]any
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			found = append(found, m)
		}
	}
	return found
}
