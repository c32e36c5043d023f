// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

func container(image string) corev1.Container { return corev1.Container{Name: "app", Image: image} }

// rolledOut makes the status of a Deployment say that all of its pods serve.
func rolledOut(d *appsv1.Deployment) {
	n := *d.Spec.Replicas
	d.Status = appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation,
		Replicas:           n,
		UpdatedReplicas:    n,
		ReadyReplicas:      n,
		AvailableReplicas:  n,
	}
}

// ownRoute is an HTTPRoute of the owner's whose users the canary has led to the primary.
func ownRoute() *unstructured.Unstructured {
	backend := func(name string, weight int64) any {
		return map[string]any{"name": name, "port": int64(80), "weight": weight}
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
		"metadata": map[string]any{"name": "web", "namespace": "test"},
		"spec": map[string]any{"rules": []any{map[string]any{
			"backendRefs": []any{backend("podinfo-primary", 100), backend("podinfo-canary", 0)},
		}}},
	}}
}

func (e *testEnv) backends() []string {
	e.Helper()
	route := &unstructured.Unstructured{}
	route.SetGroupVersionKind(ownRoute().GroupVersionKind())
	e.get("web", route)
	rules, _, _ := unstructured.NestedSlice(route.Object, "spec", "rules")
	var names []string
	for _, backend := range rules[0].(map[string]any)["backendRefs"].([]any) {
		names = append(names, backend.(map[string]any)["name"].(string))
	}
	return names
}

// deleted is a canary on its way out, of whose release a route of the owner's is left.
func deleted() *flaggerv1.Canary {
	c := podinfo()
	c.Spec.Provider, c.Spec.RevertOnDeletion = "gatewayapi:v1", true
	c.Spec.TargetRef = flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "podinfo"}
	c.Spec.HTTPRouteRef = &flaggerv1.LocalObjectReference{Name: "web"}
	c.Spec.Service.Port = 80
	c.Finalizers = []string{finalizer}
	c.DeletionTimestamp = &metav1.Time{}
	*c.DeletionTimestamp = metav1.Now()
	c.Status.Phase = flaggerv1.CanaryPhaseSucceeded
	c.Status.Routing = c.RoutingBy(c.Spec.Provider)
	return c
}

// Users stayed on a route to a primary that was gone, because the spec no longer said
// how they had got there.
func TestADeletedCanaryLeadsItsRoutesBackWhateverItsSpecHasBecome(t *testing.T) {
	for name, edit := range map[string]func(*flaggerv1.Canary){
		"nothing was edited":                     func(*flaggerv1.Canary) {},
		"the provider is unknown":                func(c *flaggerv1.Canary) { c.Spec.Provider = "bogus" },
		"the provider is another":                func(c *flaggerv1.Canary) { c.Spec.Provider = "kubernetes" },
		"the provider is the default":            func(c *flaggerv1.Canary) { c.Spec.Provider = "" },
		"the route is not named any more":        func(c *flaggerv1.Canary) { c.Spec.HTTPRouteRef = nil },
		"the Service has another name":           func(c *flaggerv1.Canary) { c.Spec.Service.Name = "web" },
		"there is no Service any more":           func(c *flaggerv1.Canary) { c.Spec.Service = flaggerv1.CanaryService{} },
		"the target is of a kind that is not":    func(c *flaggerv1.Canary) { c.Spec.TargetRef.Kind = "Pod" },
		"what was written was not noted by then": func(c *flaggerv1.Canary) { c.Status.Routing = nil },
	} {
		t.Run(name, func(t *testing.T) {
			c := deleted()
			edit(c)
			e := newEnv(t, interceptor.Funcs{}, c, ownRoute(), deployment("podinfo", "podinfo:1", 1))
			e.get("podinfo", c)
			if err := e.r.Finalize(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if got := e.backends(); len(got) != 1 || got[0] != "podinfo" {
				t.Errorf("users are led to %v", got)
			}
			e.get("podinfo", c)
			if c.Status.Phase != flaggerv1.CanaryPhaseTerminated {
				t.Errorf("it is %s", c.Status.Phase)
			}
		})
	}
}

// Users must not return to a target before it has its pods.
func TestADeletedCanaryWaitsForItsTarget(t *testing.T) {
	c := deleted()
	e := newEnv(t, interceptor.Funcs{}, c, ownRoute(), deployment("podinfo", "podinfo:1", 0))
	e.get("podinfo", c)
	if err := e.r.Finalize(t.Context(), c); err == nil || reconciler.ReasonOf(err, e.r.Reason) != flaggerv1.NotReadyReason {
		t.Fatalf("got %v", err)
	}
	if got := e.backends(); len(got) != 2 {
		t.Errorf("users are led to %v", got)
	}
	// Each deletion warned of pods that only took their time.
	for since, quiet := range map[time.Duration]bool{0: true, c.ProgressDeadline(): false} {
		c.DeletionTimestamp = &metav1.Time{Time: e.clock.Now().Add(-since)}
		if err := e.r.Finalize(t.Context(), c); reconciler.IsPending(err) != quiet {
			t.Errorf("after %s: %v", since, err)
		}
	}
	d := &appsv1.Deployment{}
	e.get("podinfo", d)
	if *d.Spec.Replicas != 1 {
		t.Errorf("the target is to have %d pods", *d.Spec.Replicas)
	}
	rolledOut(d)
	if err := e.api.Status().Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	e.get("podinfo", c)
	if err := e.r.Finalize(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got := e.backends(); len(got) != 1 {
		t.Errorf("users are led to %v", got)
	}
}

func TestACanaryThatIsNotToRevertLetsGoAtOnce(t *testing.T) {
	c := deleted()
	c.Spec.RevertOnDeletion = false
	e := newEnv(t, interceptor.Funcs{}, c, ownRoute(), deployment("podinfo", "podinfo:1", 0))
	e.get("podinfo", c)
	if err := e.r.Finalize(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got := e.backends(); len(got) != 2 {
		t.Errorf("users are led to %v", got)
	}
	e.get("podinfo", c)
	if c.Status.Phase != flaggerv1.CanaryPhaseSucceeded {
		t.Errorf("it is %s", c.Status.Phase)
	}
}

// What was noted under one provider leads users until another has routes of its own.
func TestRoutesAreNotedBeforeTheyAreWritten(t *testing.T) {
	e := newEnv(t, interceptor.Funcs{})
	c := deleted()
	c.Status.Routing = nil
	note := func(provider string) *flaggerv1.CanaryRouting {
		t.Helper()
		c.Spec.Provider = provider
		routes, err := e.r.observer.routing.routerOf(c)
		if err != nil {
			t.Fatal(err)
		}
		e.r.observer.routing.noteRoutes(c, routes)
		return c.Status.Routing
	}
	if got := note("kubernetes"); got != nil {
		t.Errorf("there are no routes to note, got %+v", got)
	}
	if got := note("gatewayapi:v1"); got == nil || got.Provider != "gatewayapi:v1" || got.HTTPRouteRef == nil || got.Service != "podinfo" {
		t.Errorf("got %+v", got)
	}
	if got := note("kubernetes"); got == nil || got.Provider != "gatewayapi:v1" {
		t.Errorf("got %+v", got)
	}
	if got := note("istio"); got == nil || got.Provider != "istio" {
		t.Errorf("got %+v", got)
	}
}
