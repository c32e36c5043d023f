// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
)

func wantTerminal(t *testing.T, err error, about string) {
	t.Helper()
	if !errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), about) {
		t.Errorf("want a terminal error about %s, got %v", about, err)
	}
}

func hpa() *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "scale", Labels: map[string]string{"team": "a", "kustomize.toolkit.fluxcd.io/name": "apps"}},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "podinfo"},
			MinReplicas:    ptr.To(int32(2)), MaxReplicas: 4,
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
				Name: "cpu", Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To(int32(99))}}}},
		},
	}
}

func scaledObject() *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"scaleTargetRef":  map[string]any{"name": "podinfo", "envSourceContainerName": "app"},
		"pollingInterval": int64(10), "minReplicaCount": int64(3), "initialCooldownPeriod": int64(7),
		"advanced": map[string]any{"horizontalPodAutoscalerConfig": map[string]any{"name": "podinfo"}},
		"triggers": []any{
			map[string]any{"type": "prometheus", "name": "load", "metadata": map[string]any{"query": `sum(rate(http{app="podinfo"}[2m]))`}},
			map[string]any{"type": "kafka", "metadata": map[string]any{"topic": "podinfo"}},
			map[string]any{"type": "kubernetes-workload", "metadata": map[string]any{"podSelector": "app=podinfo"}},
		},
	}}}
	u.SetAPIVersion("keda.sh/v1alpha1")
	u.SetKind("ScaledObject")
	u.SetName("scale")
	u.SetLabels(map[string]string{"scaledobject.keda.sh/name": "scale", "team": "a"})
	u.SetAnnotations(map[string]string{"scaledobject.keda.sh/transfer-hpa-ownership": "true"})
	return u
}

// scaled is a fixture whose target has an autoscaler.
func scaled(t *testing.T, theirs client.Object) *fixture {
	t.Helper()
	b := newFixture(t, append(targetAndConfigs("podinfo:1"), theirs)...)
	b.canary.Spec.AutoscalerRef = &flaggerv1.AutoscalerReference{Name: "scale", Kind: "HorizontalPodAutoscaler", APIVersion: "autoscaling/v2"}
	if u, ok := theirs.(*unstructured.Unstructured); ok {
		b.canary.Spec.AutoscalerRef.Kind, b.canary.Spec.AutoscalerRef.APIVersion = u.GetKind(), u.GetAPIVersion()
	}
	return b
}

func (b *fixture) so(name string) *unstructured.Unstructured {
	b.t.Helper()
	u := newObject(scaledObjects.GroupVersionKind, "")
	b.get(name, u)
	return u
}

func TestThePrimaryGetsACopyOfTheHPAThatFollowsIt(t *testing.T) {
	b := scaled(t, hpa())
	b.must(b.observe().EnsureScaler(t.Context()))
	copied := &autoscalingv2.HorizontalPodAutoscaler{}
	b.get("scale-primary", copied)
	want := hpa().Spec
	want.ScaleTargetRef.Name = "podinfo-primary"
	if diff := cmp.Diff(want, copied.Spec); diff != "" || copied.Labels["team"] != "a" || len(copied.Labels) != 1 ||
		!metav1.IsControlledBy(copied, b.canary) {
		t.Errorf("%s %v", diff, copied.ObjectMeta)
	}
	first := copied.ResourceVersion
	b.must(b.observe().EnsureScaler(t.Context()))
	b.get("scale-primary", copied)
	if copied.ResourceVersion != first {
		t.Error("written although it was in step")
	}
	theirs := &autoscalingv2.HorizontalPodAutoscaler{}
	b.get("scale", theirs)
	theirs.Spec.MaxReplicas, theirs.Labels["team"] = 9, "b"
	theirs.Spec.Metrics[0].Resource.Target.AverageUtilization = ptr.To(int32(50))
	b.must(b.c.Update(t.Context(), theirs))
	b.canary.Spec.AutoscalerRef.PrimaryScalerReplicas = &flaggerv1.ScalerReplicas{MinReplicas: ptr.To(int32(5))}
	b.must(b.observe().EnsureScaler(t.Context()))
	b.get("scale-primary", copied)
	if *copied.Spec.MinReplicas != 5 || copied.Spec.MaxReplicas != 9 || copied.Labels["team"] != "b" ||
		*copied.Spec.Metrics[0].Resource.Target.AverageUtilization != 50 {
		t.Errorf("copy %+v %v", copied.Spec, copied.Labels)
	}
}

func TestThePrimaryGetsACopyOfTheScaledObject(t *testing.T) {
	paused := scaledObject()
	paused.SetAnnotations(map[string]string{pausedReplicas: "0", "scaledobject.keda.sh/transfer-hpa-ownership": "true"})
	for name, theirs := range map[string]*unstructured.Unstructured{"as it is": scaledObject(), "while it is paused": paused} {
		t.Run(name, func(t *testing.T) {
			b := scaled(t, theirs)
			b.must(b.observe().EnsureScaler(t.Context()))
			copied := b.so("scale-primary")
			triggers := object.List(copied.Object, "spec", "triggers")
			got := []any{object.Map(copied.Object, "spec")["initialCooldownPeriod"], object.Map(copied.Object, "spec", "scaleTargetRef")["name"],
				object.Map(copied.Object, "spec", "advanced", "horizontalPodAutoscalerConfig")["name"],
				object.Map(triggers[0], "metadata")["query"],
				object.Map(triggers[1], "metadata")["topic"], object.Map(triggers[2], "metadata")["podSelector"]}
			want := []any{
				int64(7),
				"podinfo-primary",
				"podinfo-primary",
				`sum(rate(http{app="podinfo-primary"}[2m]))`,
				"podinfo",
				"app=podinfo-primary",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(map[string]string{"scaledobject.keda.sh/transfer-hpa-ownership": "true"}, copied.GetAnnotations()); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(map[string]string{"team": "a"}, copied.GetLabels()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestACopyThatFlaggerMadeIsLeftAsItIs: its types write objects that are empty.
func TestACopyThatFlaggerMadeIsLeftAsItIs(t *testing.T) {
	theirs := scaledObject()
	delete(object.Map(theirs.Object, "spec"), "advanced")
	b := scaled(t, theirs)
	b.must(b.observe().EnsureScaler(t.Context()))
	copied := b.so("scale-primary")
	object.Map(copied.Object, "spec")["advanced"] = map[string]any{"horizontalPodAutoscalerConfig": map[string]any{}}
	b.must(b.c.Update(t.Context(), copied))
	made := copied.GetResourceVersion()
	b.manager = New(b.c, b.c, clocktesting.NewFakePassiveClock(noon), Options{}) // which knows nothing of it
	b.must(b.observe().EnsureScaler(t.Context()))
	if got := b.so("scale-primary").GetResourceVersion(); got != made {
		t.Error("written although it says the same")
	}
}

func TestAPausedPrimaryIsResumed(t *testing.T) {
	b := scaled(t, scaledObject())
	b.must(b.observe().EnsureScaler(t.Context()))
	copied := b.so("scale-primary")
	copied.SetAnnotations(map[string]string{pausedReplicas: "0", "other": "x"})
	b.must(b.c.Update(t.Context(), copied))
	b.must(b.observe().EnsureScaler(t.Context()))
	if got := b.so("scale-primary").GetAnnotations(); got[pausedReplicas] != "" || got["other"] != "x" {
		t.Errorf("annotations %v", got)
	}
}

// The pause of the owner's is inherited and dropped, which left an empty map where
// there was none: a write at each look, for ever.
func TestACopyWithoutAnnotationsIsNotWrittenAgain(t *testing.T) {
	theirs := scaledObject()
	theirs.SetAnnotations(map[string]string{pausedReplicas: "0", pausedAnnotation: `{"set":"0"}`})
	b := scaled(t, theirs)
	w := b.observe()
	a, err := autoscalerOf(w.scope)
	b.must(err)
	copied := newObject(scaledObjects.GroupVersionKind, "scale-primary")
	a.writeCopy(copied, theirs, w.names)
	again := copied.DeepCopy()
	a.writeCopy(again, theirs, w.names)
	if _, found, _ := unstructured.NestedMap(copied.Object, "metadata", "annotations"); found {
		t.Errorf("annotations %v", copied.Object["metadata"])
	}
	if diff := cmp.Diff(copied.Object, again.Object); diff != "" {
		t.Errorf("written again (-first +second):\n%s", diff)
	}
}

func TestQueriesOfThePrimarysScaledObject(t *testing.T) {
	for name, tc := range map[string]struct {
		query   string
		queries map[string]string
		want    string
	}{
		"the target":            {query: `{app="podinfo"}`, want: `{app="podinfo-primary"}`},
		"the canary":            {query: `{app="podinfo-canary"}`, want: `{app="podinfo-primary"}`},
		"both":                  {query: `{app="podinfo-canary",svc="podinfo"}`, want: `{app="podinfo-primary",svc="podinfo-primary"}`},
		"the primary already":   {query: `{app="podinfo-primary"}`, want: `{app="podinfo-primary"}`},
		"a query of the owner":  {query: `{app="podinfo"}`, queries: map[string]string{"load": "up"}, want: "up"},
		"one of another's":      {query: `{app="podinfo"}`, queries: map[string]string{"other": "up"}, want: `{app="podinfo"}`},
		"something else's name": {query: `{app="web"}`, want: `{app="web"}`},
	} {
		t.Run(name, func(t *testing.T) {
			b := scaled(t, scaledObject())
			b.canary.Spec.AutoscalerRef.PrimaryScalerQueries = tc.queries
			trigger := map[string]any{"name": "load", "metadata": map[string]any{"query": tc.query}}
			primaryScaler{b.canary.Spec.AutoscalerRef, "podinfo", b.observe().names}.adaptTrigger(trigger)
			if got := object.Map(trigger, "metadata")["query"]; got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestAStoppedTargetIsNotScaled(t *testing.T) {
	b := scaled(t, scaledObject())
	b.must(b.observe().StopTarget(t.Context()))
	if got := b.so("scale").GetAnnotations()[pausedReplicas]; got != "0" {
		t.Fatalf("paused at %q", got)
	}
	theirs := b.so("scale")
	theirs.SetAnnotations(nil) // as a GitOps tool would
	b.must(b.c.Update(t.Context(), theirs))
	b.must(b.observe().EnsureScaler(t.Context()))
	if got := b.so("scale").GetAnnotations()[pausedReplicas]; got != "0" {
		t.Fatalf("paused at %q after its owner applied it again", got)
	}
	b.must(b.observe().StartTarget(t.Context()))
	if _, paused := b.so("scale").GetAnnotations()[pausedReplicas]; paused {
		t.Error("still paused")
	}
	if got := b.observe().Target.Replicas; got != 3 {
		t.Errorf("started with %d pods, not with the floor", got)
	}
}

func TestADeletedCanaryResumesTheScaledObject(t *testing.T) {
	b := scaled(t, scaledObject())
	b.must(b.observe().SetPrimary(t.Context(), b.observe().Revision.Digest))
	b.must(b.observe().StopTarget(t.Context()))
	if _, err := b.observe().RevertTarget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, paused := b.so("scale").GetAnnotations()[pausedReplicas]; paused || b.observe().Target.Replicas != 3 {
		t.Errorf("paused %v, %d pods", paused, b.observe().Target.Replicas)
	}
}

func TestPromotionLeavesTheAutoscalerItsPods(t *testing.T) {
	b := scaled(t, hpa())
	p := b.observe()
	b.must(p.SetPrimary(t.Context(), p.Revision.Digest))
	primary := &appsv1.Deployment{}
	b.get("podinfo-primary", primary)
	if *primary.Spec.Replicas != 3 {
		t.Errorf("a new primary has %d pods", *primary.Spec.Replicas)
	}
	primary.Spec.Replicas = ptr.To(int32(17))
	b.must(b.c.Update(t.Context(), primary))
	b.must(b.observe().SetPrimary(t.Context(), p.Revision.Digest))
	b.get("podinfo-primary", primary)
	if *primary.Spec.Replicas != 17 {
		t.Errorf("the autoscaler gave it 17 pods, promotion %d", *primary.Spec.Replicas)
	}
}

func TestAMissingAutoscalerStopsOnlyWhatHasNotBegun(t *testing.T) {
	b := scaled(t, hpa())
	theirs := hpa()
	theirs.Namespace = "test"
	b.must(b.observe().EnsureScaler(t.Context()))
	b.must(b.c.Delete(t.Context(), theirs))
	b.must(b.observe().EnsureScaler(t.Context()))
	b.canary.Spec.AutoscalerRef.Name = "other"
	if err := b.observe().EnsureScaler(t.Context()); err == nil || !strings.Contains(err.Error(), "spec.autoscalerRef") {
		t.Errorf("got %v", err)
	}
}

func TestAnIdleWorkerIsReady(t *testing.T) {
	for name, tc := range map[string]struct {
		port int32
		want bool
	}{"a worker": {0, true}, "a server": {80, false}} {
		t.Run(name, func(t *testing.T) {
			b := scaled(t, scaledObject())
			b.canary.Spec.Service.Port = tc.port
			b.must(b.observe().SetPrimary(t.Context(), b.observe().Revision.Digest))
			primary := &appsv1.Deployment{}
			b.get("podinfo-primary", primary)
			primary.Spec.Replicas = ptr.To(int32(0))
			b.must(b.c.Update(t.Context(), primary))
			if got := b.observe().Primary.Ready; got != tc.want {
				t.Errorf("ready: %v", got)
			}
		})
	}
}

func TestDaemonSetsHaveNoAutoscaler(t *testing.T) {
	b := daemonBench(t, agent("podinfo:1"))
	b.canary.Spec.AutoscalerRef = &flaggerv1.AutoscalerReference{Name: "x", Kind: "HorizontalPodAutoscaler"}
	_, err := b.manager.Observe(t.Context(), b.canary)
	wantTerminal(t, err, "spec.autoscalerRef")
}

func TestAWorkerGetsNoServices(t *testing.T) {
	b := newFixture(t, targetAndConfigs("podinfo:1")...)
	b.canary.Spec.Service.Port = 0
	p := b.observe()
	b.must(p.EnsureServices(t.Context()))
	b.must(p.EnsureApex(t.Context()))
	b.must(p.RevertApex(t.Context()))
	for _, o := range p.Objects() {
		if o.Kind == "Service" {
			t.Errorf("depends on %v", o)
		}
	}
}

// A copy that is left would scale the primary by bounds that nobody edits any more,
// and beside a second one Kubernetes lets neither act.
func TestACopyThatAnEarlierSpecAskedForGoes(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(*flaggerv1.CanarySpec)
		want []string
	}{
		"without an autoscaler": {func(s *flaggerv1.CanarySpec) { s.AutoscalerRef = nil }, []string{"foreign-primary", "other", "scale"}},
		"for another one": {
			func(s *flaggerv1.CanarySpec) { s.AutoscalerRef.Name = "other" },
			[]string{"foreign-primary", "other", "other-primary", "scale"},
		},
		"for the same one": {func(*flaggerv1.CanarySpec) {}, []string{"foreign-primary", "other", "scale", "scale-primary"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := scaled(t, hpa())
			for _, name := range []string{"other", "foreign-primary"} {
				another := hpa()
				another.Name, another.Namespace = name, b.canary.Namespace
				b.must(b.c.Create(t.Context(), another))
			}
			b.canary.Generation = 1
			b.must(b.observe().EnsureScaler(t.Context()))
			b.canary.Generation, b.canary.Status.ObservedGeneration = 2, 1
			tc.edit(&b.canary.Spec)
			b.must(b.observe().EnsureScaler(t.Context()))
			found := &autoscalingv2.HorizontalPodAutoscalerList{}
			b.must(b.c.List(t.Context(), found))
			var got []string
			for _, item := range found.Items {
				got = append(got, item.Name)
			}
			slices.Sort(got)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			b.canary.Status.ObservedGeneration = 2
			if b.observe().Edited {
				t.Error("the edit is acted on again")
			}
		})
	}
}

func TestAnEditIsActedOnUntilThatSucceeds(t *testing.T) {
	b := scaled(t, hpa())
	b.canary.Generation = 1
	b.must(b.observe().EnsureScaler(t.Context()))
	b.canary.Generation, b.canary.Status.ObservedGeneration = 2, 1
	b.observe()
	b.canary.Status.ObservedGeneration = 2 // it was seen, and acting on it failed
	if !b.observe().Edited {
		t.Error("the edit is forgotten")
	}
}

// An edit whose run had failed was recorded as seen, and forgotten by a restart: the
// primary kept the copies of two autoscalers.
func TestACopyThatAnEarlierSpecAskedForGoesAfterARestart(t *testing.T) {
	b := scaled(t, hpa())
	b.canary.Generation = 1
	b.must(b.observe().EnsureScaler(t.Context()))
	b.canary.Generation, b.canary.Status.ObservedGeneration = 2, 1
	b.canary.Spec.AutoscalerRef = nil
	b.observe()                            // what follows fails
	b.canary.Status.ObservedGeneration = 2 // it was seen all the same
	b.manager.Forget(b.canary.UID)         // as a restart does
	p := b.observe()
	if !p.Edited {
		t.Fatal("nobody looks for copies")
	}
	b.must(p.EnsureScaler(t.Context()))
	err := b.c.Get(t.Context(), client.ObjectKey{Namespace: b.canary.Namespace, Name: "scale-primary"}, hpa())
	if !apierrors.IsNotFound(err) {
		t.Errorf("the copy is left: %v", err)
	}
	if b.observe().Edited {
		t.Error("copies are looked for again")
	}
}

func TestQueriesForAnAutoscalerWithoutAnyAreRefused(t *testing.T) {
	b := scaled(t, hpa())
	b.canary.Spec.AutoscalerRef.PrimaryScalerQueries = map[string]string{"load": "sum(load)"}
	_, err := b.manager.Observe(t.Context(), b.canary)
	wantTerminal(t, err, "spec.autoscalerRef.primaryScalerQueries")
}
