package canary

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
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
