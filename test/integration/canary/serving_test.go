// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/test/make"
)

// ready is the reason of the canary's Ready condition if its message has a text.
func (w *testEnv) ready(text string) string {
	condition := apimeta.FindStatusCondition(w.canary().GetConditions(), meta.ReadyCondition)
	if condition == nil || !strings.Contains(condition.Message, text) {
		return ""
	}
	return condition.Reason
}

// scale is what somebody does to a Deployment.
func (w *testEnv) scale(name string, pods int32) {
	w.t.Helper()
	d := w.deployment(name)
	before := d.DeepCopy()
	d.Spec.Replicas = ptr.To(pods)
	if err := w.c.Patch(context.Background(), d, client.MergeFrom(before)); err != nil {
		w.t.Fatal(err)
	}
}

// verdict is what a Gateway says about the route.
func (w *testEnv) verdict(status metav1.ConditionStatus, reason string) {
	w.t.Helper()
	route := &gatewayv1.HTTPRoute{}
	w.get("podinfo", route)
	before := route.DeepCopy()
	route.Status.Parents = []gatewayv1.RouteParentStatus{{ParentRef: route.Spec.ParentRefs[0], ControllerName: "example.com/gateway",
		Conditions: []metav1.Condition{{Type: "Accepted", Status: status, Reason: reason, LastTransitionTime: metav1.Now()}}}}
	if err := w.c.Status().Patch(context.Background(), route, client.MergeFrom(before)); err != nil {
		w.t.Fatal(err)
	}
}

// TestCanaryLeadsUsersToWherePodsServe takes the primary's pods away in the middle of
// a release, and gives them back.
func TestCanaryLeadsUsersToWherePodsServe(t *testing.T) {
	t.Parallel()
	log := &eventLog{}
	w := newTestEnv(t, log)
	w.podinfo(func(c *flaggerv1.Canary) { c.Spec.Analysis.Interval = "60m" })
	w.apply("podinfo:2")
	w.until("first weight", func() bool { return w.weight() == 30 })
	w.scale("podinfo-primary", 0)
	w.until("all users on the canary", func() bool { return w.weight() == 100 })
	w.until("the status says so", func() bool { f := w.canary().Status.Fallback; return f != nil && f.Weight == 30 })
	if !log.has("Routing all traffic to canary, podinfo-primary." + w.namespace) {
		t.Errorf("nobody said it: %q", log.said)
	}
	w.scale("podinfo-primary", 1)
	w.until("users where they were", func() bool { return w.weight() == 30 && w.canary().Status.Fallback == nil })
}

// TestCanaryWaitsForAGatewayThatRefusesItsRoute, and goes on when it accepts it
// without saying of which generation.
func TestCanaryWaitsForAGatewayThatRefusesItsRoute(t *testing.T) {
	t.Parallel()
	w := newTestEnv(t, &eventLog{})
	w.podinfo(nil)
	w.verdict(metav1.ConditionFalse, "NotAllowedByListeners")
	w.until("not ready", func() bool {
		return w.ready("HTTPRoute "+w.namespace+"/podinfo is not accepted by Gateway "+w.namespace+
			"/gateway: NotAllowedByListeners") == flaggerv1.NotReadyReason
	})
	w.apply("podinfo:2")
	w.until("the release waits", func() bool { return w.ready("New revision detected") == flaggerv1.NotReadyReason })
	if got := w.replicas("podinfo"); got != 0 || w.weight() != 0 {
		t.Errorf("%d pods, weight %d", got, w.weight())
	}
	w.verdict(metav1.ConditionTrue, "Accepted")
	w.phase(flaggerv1.CanaryPhaseSucceeded)
}

// TestCanaryNamesWhoKeepsUndoingItsWrites has somebody lead the users of the apex
// Service elsewhere whenever they are led to the primary.
func TestCanaryNamesWhoKeepsUndoingItsWrites(t *testing.T) {
	t.Parallel()
	log := &eventLog{}
	w := newTestEnv(t, log)
	w.podinfo(nil)
	w.until("told", func() bool {
		service := &corev1.Service{}
		if w.get("podinfo", service); service.Spec.Selector["app"] == "podinfo-primary" {
			before := service.DeepCopy()
			service.Spec.Selector = map[string]string{"app": "podinfo"}
			if err := w.c.Patch(context.Background(), service, client.MergeFrom(before), client.FieldOwner("helm")); err != nil {
				t.Fatal(err)
			}
		}
		return log.has("Service " + w.namespace + "/podinfo is changed again and again by helm (spec.selector)")
	})
	w.until("repaired in the end", func() bool {
		service := &corev1.Service{}
		return w.get("podinfo", service) && service.Spec.Selector["app"] == "podinfo-primary"
	})
}

// TestCanaryTakesBackWhatItSaidOnceItIsMended has an alert that nobody would hear, and a
// second Canary of the target.
func TestCanaryTakesBackWhatItSaidOnceItIsMended(t *testing.T) {
	t.Parallel()
	w := newTestEnv(t, &eventLog{})
	w.podinfo(func(c *flaggerv1.Canary) {
		c.Spec.Analysis.Alerts = []flaggerv1.CanaryAlert{{Name: "all", ProviderRef: flaggerv1.CrossNamespaceObjectReference{Name: "team"}}}
	})
	said := func(c *flaggerv1.Canary) string {
		if ready := apimeta.FindStatusCondition(c.GetConditions(), meta.ReadyCondition); ready != nil {
			return ready.Message
		}
		return ""
	}
	w.until("nobody hears", func() bool {
		return strings.Contains(said(w.canary()), "AlertProvider "+w.namespace+"/team: it does not exist")
	})
	provider := &flaggerv1.AlertProvider{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "team"}}
	provider.Spec = flaggerv1.AlertProviderSpec{Type: "slack", SecretRef: &flaggerv1.SecretReference{Name: "room"}}
	w.create(provider)
	w.until("it has no address", func() bool { return strings.Contains(said(w.canary()), "Secret "+w.namespace+"/room does not exist") })
	w.create(make.Secret(w.namespace, "room", map[string]string{"address": "http://chat.example/"}))
	w.until("somebody hears", func() bool { return !strings.Contains(said(w.canary()), "alerts[0]") })

	second := w.canary().DeepCopy()
	second.ObjectMeta = metav1.ObjectMeta{Namespace: w.namespace, Name: "second"}
	w.create(second)
	is := func() *flaggerv1.Canary { w.get("second", second); return second }
	w.until("refused", func() bool { return strings.Contains(said(is()), "is released by Canary podinfo already") })
	if err := w.c.Delete(context.Background(), w.canary()); err != nil {
		t.Fatal(err)
	}
	w.until("its turn", func() bool { return !strings.Contains(said(is()), "is released by Canary") })
}
