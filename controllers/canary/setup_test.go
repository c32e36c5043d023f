// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/internal/wake/waketest"
)

func TestEventsOfACanaryItself(t *testing.T) {
	e := newEnv(t, interceptor.Funcs{})
	h, c := e.r.ownEvents(), podinfo()
	h.Create(t.Context(), event.CreateEvent{Object: c}, nil)
	total := e.r.metrics.total.WithLabelValues("test")
	if got := testutil.ToFloat64(total); got != 1 {
		t.Errorf("%v canaries", got)
	}
	weight := e.r.metrics.weight.WithLabelValues("podinfo", "test")
	for name, tc := range map[string]struct {
		edit  func(*flaggerv1.Canary)
		wakes bool
	}{
		"a command":  {func(c *flaggerv1.Canary) { c.Annotations = map[string]string{flaggerv1.CommandAnnotation: "abort"} }, true},
		"a gate":     {func(c *flaggerv1.Canary) { c.Annotations = map[string]string{flaggerv1.GatesAnnotation: "rollout"} }, true},
		"its status": {func(c *flaggerv1.Canary) { c.Status.CanaryWeight = 30 }, false},
		"a pause":    {func(c *flaggerv1.Canary) { c.Spec.Suspend = true }, false},
	} {
		after := c.DeepCopy()
		tc.edit(after)
		h.Update(t.Context(), event.UpdateEvent{ObjectOld: c, ObjectNew: after}, nil)
		if tc.wakes {
			waketest.Next(t, e.woken)
		}
		if got := testutil.ToFloat64(weight); got != float64(after.Status.CanaryWeight) {
			t.Errorf("%s: weight %v", name, got)
		}
	}
	if len(e.woken) > 0 {
		t.Error("something else wakes it")
	}
	h.Delete(t.Context(), event.DeleteEvent{Object: c}, nil)
	if got := testutil.ToFloat64(total); got != 0 {
		t.Errorf("%v canaries", got)
	}
}

func TestAWatchWakesTheCanariesThatDependOnTheObject(t *testing.T) {
	e := newEnv(t, interceptor.Funcs{})
	kind := autoscalingv2.SchemeGroupVersion.WithKind("HorizontalPodAutoscaler")
	key := types.NamespacedName{Namespace: "test", Name: "podinfo"}
	on := []clusterRef{{clusterKind{kind, workloadCluster}, key}}
	for range 2 { // the second time it is watched already
		if err := e.r.observer.watcher.depend(t.Context(), key, on); err != nil {
			t.Fatal(err)
		}
	}
	informer := e.cache.informers[kind]
	hpa := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "test", Name: "podinfo"}}
	other, busy, wider := hpa.DeepCopy(), hpa.DeepCopy(), hpa.DeepCopy()
	other.Name, busy.Status.DesiredReplicas, wider.Spec.MaxReplicas = "other", 5, 9
	informer.Update(hpa, busy)
	informer.Add(other)
	wakes := map[string]func(){
		"it is made": func() {
			informer.Add(hpa)
		}, "its spec changes": func() { informer.Update(hpa, wider) }, "it goes": func() { informer.Delete(hpa) },
	}
	for name, change := range wakes {
		change()
		if got := waketest.Next(t, e.woken); got != key {
			t.Errorf("%s: %s is woken", name, got)
		}
	}
	if len(e.woken) > 0 {
		t.Error("its status or another object wakes it, too")
	}
}
