// SPDX-License-Identifier: Apache-2.0

package handover

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"

	"github.com/sluice-cd/sluice/test/harness"
)

// pollEvery is how often one of many looks: into memory, mostly.
const pollEvery = 100 * time.Millisecond

// fleet is all apps in a namespace of their own.
type fleet struct {
	*testing.T
	ns    string
	apps  []app
	users *users
	since uint64 // when all apps had users

	mu     sync.Mutex
	opened bool // all gates
}

func newFleet(t *testing.T, ns string, apps []app) *fleet {
	t.Helper()
	f := &fleet{T: t, ns: ns, apps: apps}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}
	if err := the.Client.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	the.ServeKnative(t, ns)
	f.users = watchUsers(t, ns)
	the.gates.guard(ns, f.closed)
	t.Cleanup(f.remove)
	f.apply(app{}.render(ns, templates))
	f.label(open, namesOf(apps)...)
	f.each(apps, func(a app) { f.apply(a.render(ns, a.manifest())) })
	f.each(apps, func(a app) { f.until("users of "+a.name, func() bool { return f.users.serves(a.name) }) })
	f.since = f.users.version()
	return f
}

// remove deletes everything. The finalizers of canaries that a failure has left
// would keep it.
func (f *fleet) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	var list flaggerv1.CanaryList
	if err := the.Client.List(ctx, &list, client.InNamespace(f.ns)); err != nil {
		f.Error(err)
	}
	for i := range list.Items {
		patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
		if err := the.Client.Patch(ctx, &list.Items[i], patch); client.IgnoreNotFound(err) != nil {
			f.Error(err)
		}
	}
	if err := the.Client.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: f.ns}}); err != nil {
		f.Error(err)
	}
}

// closed reports whether a webhook is to be refused now.
func (f *fleet) closed(name string, hook flaggerv1.HookType) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.apps {
		weight, gated := a.closed[hook]
		if a.name != name || !gated {
			continue
		}
		return !f.opened && f.users.weight(name) >= weight && (weight != whileMirrored || f.users.mirrors(name))
	}
	return false
}

// release lets everything go on: gates open, and nodes have room.
func (f *fleet) release() {
	f.mu.Lock()
	f.opened = true
	f.mu.Unlock()
	f.label(open, namesOf(f.apps)...)
}

// each does something for apps at the same time.
func (f *fleet) each(apps []app, do func(app)) {
	f.Helper()
	var all sync.WaitGroup
	for _, a := range apps {
		all.Go(func() { do(a) })
	}
	all.Wait()
	if f.Failed() {
		f.FailNow()
	}
}

func (f *fleet) apply(text string) {
	f.Helper()
	if err := the.Apply(f.Context(), []byte(text)); err != nil {
		f.Error(err)
	}
}

// label opens or shuts nodes for apps, for all of them at once: dozens of patches of one node at
// the same time keep each other from ever being written.
func (f *fleet) label(value string, apps ...string) {
	f.Helper()
	if err := label(f.Context(), f.ns, value, apps...); err != nil {
		f.Error(err)
	}
}

func namesOf(apps []app) []string {
	names := make([]string, 0, len(apps))
	for _, a := range apps {
		names = append(names, a.name)
	}
	return names
}

// until waits for a condition; it does not end the test, since many wait at once.
func (f *fleet) until(what string, ok func() bool) {
	f.Helper()
	err := wait.PollUntilContextTimeout(f.Context(), pollEvery, harness.Patience, true,
		func(context.Context) (bool, error) { return ok(), nil })
	if err != nil {
		f.Errorf("%s did not happen within %s", what, harness.Patience)
	}
}

// get reads an object; false if there is none.
func (f *fleet) get(name string, object client.Object) bool {
	err := the.Client.Get(f.Context(), client.ObjectKey{Namespace: f.ns, Name: name}, object)
	if err != nil && !apierrors.IsNotFound(err) {
		f.Error(err)
	}
	return err == nil
}

// canary is that of an app; without a name there is none.
func (f *fleet) canary(name string) *flaggerv1.Canary {
	c := &flaggerv1.Canary{}
	if seen := f.users.canary(name); seen != nil {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(seen.Object, c); err != nil {
			f.Error(err)
		}
	}
	return c
}

func (f *fleet) phase(name string, want flaggerv1.CanaryPhase) {
	f.Helper()
	f.until(name+" being "+string(want), func() bool { return f.canary(name).Status.Phase == want })
}

// bring makes the canary of an app and lets it come to where it is held.
func (f *fleet) bring(a app) {
	f.Helper()
	if a.roomless == fromStart {
		f.label(shut, a.name)
	}
	f.create(a)
	if a.phase == flaggerv1.CanaryPhaseInitializing {
		f.phase(a.name, a.phase)
		f.until("a primary of "+a.name, func() bool { return f.get(a.name+"-primary", &appsv1.Deployment{}) })
		return
	}
	f.phase(a.name, initialized)
	f.idle(a) // started while it stops, a target looks ready, and Flagger falls for it
	if a.roomless == fromDeletion {
		f.label(shut, a.name)
		f.delete(a.name)
	}
	if a.release {
		f.push(a)
	}
	if a.roomless == fromFirstUsers {
		f.until("first users of "+a.name, func() bool { return f.users.weight(a.name) > 0 })
		f.label(shut, a.name)
	}
	held := a.phase
	if a.late {
		held = flaggerv1.CanaryPhasePromoting
	}
	f.until(fmt.Sprintf("%s at %s, weight %d", a.name, held, a.weight), func() bool {
		c := f.canary(a.name)
		return c.Status.Phase == held && (held == flaggerv1.CanaryPhasePromoting || f.users.weight(a.name) == a.weight) &&
			(held != progressing || c.Status.Iterations >= a.iterations) && f.users.mirrors(a.name) == a.mirrored()
	})
	if a.rests() || held == initialized {
		f.idle(a)
	}
}

// idle waits until the target has no pods.
func (f *fleet) idle(a app) {
	f.Helper()
	if a.podless() {
		return
	}
	f.until("the target of "+a.name+" being at rest", func() bool { return !f.users.hasPods(a.name) })
}

// create makes the Canary of an app.
func (f *fleet) create(a app) {
	f.Helper()
	c := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "flagger.app/v1beta1", "kind": "Canary",
		"metadata": map[string]any{"name": a.name, "namespace": f.ns},
		"spec":     f.spec(a),
	}}
	if err := the.Client.Create(f.Context(), c); err != nil {
		f.Error(err)
	}
}

func (f *fleet) spec(a app) map[string]any {
	provider, target, quality, service := "gatewayapi:v1", "apiVersion: apps/v1, kind: Deployment", "good", "{hosts: [{app}"+
		".example.com], gatewayRefs: [{name: gateway, namespace: {ns}}]}"
	if a.provider != "" {
		provider, service = a.provider, "{}"
	}
	if a.service != "" {
		service = a.service
	}
	switch a.kind {
	case "Service":
		target = "apiVersion: v1, kind: Service"
	case "Knative":
		target = "apiVersion: serving.knative.dev/v1, kind: Service"
	case "DaemonSet":
		target = "apiVersion: apps/v1, kind: DaemonSet"
	}
	if a.quality != "" {
		quality = a.quality
	}
	spec := f.parse(a, "{provider: "+provider+", targetRef: {"+target+", name: {app}}, progressDeadlineSeconds: 600}")
	merge(spec, f.parse(a, a.spec))
	spec["service"] = f.parse(a, "{port: 80, targetPort: http, portName: http}")
	merge(spec["service"].(map[string]any), f.parse(a, service))
	// Flagger raises the interval to ten seconds; Sluice is told not to.
	analysis := f.parse(a,
		"{interval: 1s, threshold: 5, metrics: [{name: quality, interval: 1m, thresholdRange: {min: 99}, templateRef: {name: "+quality+"}}]}")
	merge(analysis, f.parse(a, a.analysis))
	if a.quality != "" {
		analysis["threshold"] = int64(1)
	}
	var hooks []any
	for hook := range a.closed {
		hooks = append(hooks, map[string]any{"name": "gate", "type": string(hook), "url": the.gates.url(f.ns, a.name, hook)})
		if hook == flaggerv1.RolloutHook {
			analysis["threshold"] = int64(1000) // whose refusals are failed checks
		}
	}
	if hooks != nil {
		analysis["webhooks"] = hooks
	}
	spec["analysis"] = analysis
	return spec
}

// parse reads lines of a manifest of an app.
func (f *fleet) parse(a app, text string) map[string]any {
	f.Helper()
	object := map[string]any{}
	data, err := yaml.YAMLToJSON([]byte(a.render(f.ns, text)))
	if err == nil {
		u := &unstructured.Unstructured{}
		err = u.UnmarshalJSON([]byte(`{"kind":"x","object":` + string(data) + `}`))
		object, _ = u.Object["object"].(map[string]any)
	}
	if err != nil {
		f.Error(err)
	}
	return object
}

func merge(into, from map[string]any) {
	for key, value := range from {
		into[key] = value
	}
}

// push makes a new version of an app.
func (f *fleet) push(a app) {
	f.Helper()
	var object client.Object = &appsv1.Deployment{}
	how, patch := types.StrategicMergePatchType, `{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"app:2"}]}}}}`
	switch {
	case a.config:
		object, patch = &corev1.ConfigMap{}, `{"data":{"mood":"bold"}}`
	case a.kind == "DaemonSet":
		object = &appsv1.DaemonSet{}
	case a.kind == "Knative":
		object, how = newKnative(), types.MergePatchType
	case a.kind == "Service":
		object, patch = &corev1.Service{}, `{"spec":{"externalName":"two.example.com"}}`
	}
	object.SetNamespace(f.ns)
	object.SetName(a.name)
	if err := the.Client.Patch(f.Context(), object, client.RawPatch(how, []byte(patch))); err != nil {
		f.Error(err)
	}
}

func (f *fleet) delete(name string) {
	f.Helper()
	c := &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: name}}
	if err := the.Client.Delete(f.Context(), c); err != nil {
		f.Error(err)
	}
}

// hasPods reports whether there are pods of the target, as of now.
func (u *users) hasPods(app string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, object := range u.now {
		if object.GetKind() == "Pod" && object.GetLabels()["app"] == app {
			return true
		}
	}
	return false
}

// serves reports whether a Service has pods, as of now.
func (u *users) serves(app string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.now.answers(app)
}

// explain logs what is known about a failure.
func (f *fleet) explain(logs ...string) {
	if !f.Failed() {
		return
	}
	for _, file := range logs {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Log(err)
		}
		f.Logf("%s:\n%s", file, data[max(0, len(data)-1500):])
	}
	for _, a := range f.apps {
		c := f.canary(a.name)
		f.Logf("%s: %s weight %d iterations %d applied %s promoted %s; weights %v",
			a.name, c.Status.Phase, c.Status.CanaryWeight, c.Status.Iterations,
			c.Status.Applied(), c.Status.Promoted(), f.users.weights(a.name, f.since))
	}
}
