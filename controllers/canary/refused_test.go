// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"errors"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// edit changes the canary as its owner does.
func (e *testEnv) edit(change func(*flaggerv1.CanarySpec)) {
	e.Helper()
	c := &flaggerv1.Canary{}
	e.get("podinfo", c)
	change(&c.Spec)
	c.Generation++
	if err := e.api.Update(e.Context(), c); err != nil {
		e.Fatal(err)
	}
}

// withUsers is a release whose canary has users.
func withUsers(t *testing.T) *testEnv {
	t.Helper()
	e := newRelease(t, newPrometheus(t, "100"), nil)
	e.push("podinfo:2")
	if _, err := e.until("first weight", func(c *flaggerv1.Canary) bool { return c.Status.CanaryWeight > 0 }); err != nil {
		t.Fatal(err)
	}
	return e
}

// An edit that Sluice refuses ended every reconcile: users stayed on a canary that nobody
// measured any more.
func TestUsersLeaveACanaryWhoseSpecIsRefusedInMidRelease(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(*flaggerv1.CanarySpec)
		want string
	}{
		"a field that the provider has not": {
			func(s *flaggerv1.CanarySpec) { s.Service.TrafficPolicy = nil; s.Service.Delegation = true }, "spec.service.delegation",
		},
		"a plan that cannot be read": {func(s *flaggerv1.CanarySpec) { s.Analysis.StepWeight = -1 }, "spec.analysis"},
		"an unknown provider":        {func(s *flaggerv1.CanarySpec) { s.Provider = "envoy" }, "spec.provider"},
		"a target that cannot be released": {
			func(s *flaggerv1.CanarySpec) { s.TargetRef.Kind = "CronJob" }, "spec.targetRef",
		},
		"an autoscaler that is none": {
			func(s *flaggerv1.CanarySpec) {
				s.AutoscalerRef = &flaggerv1.AutoscalerReference{Kind: "Cron", Name: "podinfo"}
			}, "spec.autoscalerRef",
		},
		"another route, and a plan that cannot be read": {
			func(s *flaggerv1.CanarySpec) { s.Service.Name, s.Analysis.StepWeight = "shop", -1 }, "spec.analysis",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := withUsers(t)
			was := &flaggerv1.Canary{}
			e.get("podinfo", was)
			e.edit(tc.edit)
			c, _, err := e.reconcile()
			if !errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
			if e.routed() != [2]int64{100, 0} || c.Status.CanaryWeight != 0 || !strings.Contains(strings.Join(e.events, "\n"), "nobody can judge") {
				t.Errorf("routed %v, weight %d, told %q", e.routed(), c.Status.CanaryWeight, e.events)
			}
			e.edit(func(s *flaggerv1.CanarySpec) { *s = was.Spec })
			if _, err := e.until("users again", func(c *flaggerv1.Canary) bool { return c.Status.CanaryWeight == 50 }); err != nil {
				t.Error(err)
			}
			if _, err := e.phase(flaggerv1.CanaryPhaseSucceeded); err != nil || e.image("podinfo-primary") != "podinfo:2" {
				t.Errorf("%s is promoted, %v", e.image("podinfo-primary"), err)
			}
		})
	}
}

// Users had no answer where they were sent to a primary without pods.
func TestUsersOfARefusedCanaryWaitForAPrimaryThatAnswers(t *testing.T) {
	e := withUsers(t)
	scale := func(pods int32) {
		t.Helper()
		d := &appsv1.Deployment{}
		e.get("podinfo-primary", d)
		d.Status.AvailableReplicas, d.Status.ReadyReplicas = pods, pods
		if err := e.api.Status().Update(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	scale(0)
	e.edit(func(s *flaggerv1.CanarySpec) { s.Analysis.StepWeight = -1 })
	c, _, err := e.reconcile()
	if errors.Is(err, reconcile.TerminalError(nil)) || reconciler.ReasonOf(err, e.r.Reason) != flaggerv1.InvalidSpecReason ||
		c.Status.CanaryWeight == 0 || !strings.Contains(err.Error(), "spec.analysis") ||
		!strings.Contains(err.Error(), "nobody judges") {
		t.Errorf("weight %d, %v", c.Status.CanaryWeight, err)
	}
	scale(1)
	if _, _, err := e.reconcile(); e.routed() != [2]int64{100, 0} || !errors.Is(err, reconcile.TerminalError(nil)) {
		t.Errorf("routed %v, %v", e.routed(), err)
	}
}

// A route of another name that the API server refuses took the place of the one that led
// users: those were forgotten.
func TestUsersLeaveTheRouteThatARefusedOneWasToReplace(t *testing.T) {
	e := withUsers(t)
	refuse := func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
		if kind := o.GetObjectKind().GroupVersionKind().Kind; kind == "HTTPRoute" {
			return apierrors.NewInvalid(schema.GroupKind{Kind: kind}, o.GetName(), nil)
		}
		return c.Create(ctx, o, opts...)
	}
	e.restart(interceptor.NewClient(e.api, interceptor.Funcs{Create: refuse}))
	e.edit(func(s *flaggerv1.CanarySpec) { s.Service.Name = "shop" })
	c, err := e.until("primary's users", func(*flaggerv1.Canary) bool { return e.routed() == [2]int64{100, 0} })
	if reason := reconciler.ReasonOf(err, e.r.Reason); reason != flaggerv1.InvalidSpecReason || c.Status.Routing.Service != "podinfo" {
		t.Errorf("%s, noted %+v: %v", reason, c.Status.Routing, err)
	}
}

// A MetricTemplate that somebody broke kept a canary at rest from getting its primary back,
// and was not looked at again when it was mended.
func TestACanaryAtRestIsMaintainedAlthoughItsMetricsAreRefused(t *testing.T) {
	for name, newRevision := range map[string]bool{"with nothing to release": false, "with a new revision": true} {
		t.Run(name, func(t *testing.T) {
			template := &flaggerv1.MetricTemplate{ObjectMeta: metav1.ObjectMeta{Namespace: "test", Name: "errors"}}
			template.Spec.Provider.Type, template.Spec.Provider.Address, template.Spec.Query = "prometheus", "http://127.0.0.1:1", "up"
			e := newRelease(t, newPrometheus(t, "100"), nil)
			if err := e.api.Create(t.Context(), template); err != nil {
				t.Fatal(err)
			}
			e.edit(func(s *flaggerv1.CanarySpec) {
				s.Analysis.Metrics = []flaggerv1.CanaryMetric{{Name: "errors", TemplateRef: &flaggerv1.CrossNamespaceObjectReference{Name: "errors"}}}
			})
			write := func(kind string) {
				t.Helper()
				template.Spec.Provider.Type = kind
				if err := e.api.Update(t.Context(), template); err != nil {
					t.Fatal(err)
				}
			}
			write("abacus")
			if newRevision {
				e.push("podinfo:2")
			}
			if err := e.api.Delete(t.Context(), deployment("podinfo-primary", "", 1)); err != nil {
				t.Fatal(err)
			}
			_, _ = e.until("primary", func(c *flaggerv1.Canary) bool {
				found := e.api.Get(t.Context(), client.ObjectKey{Namespace: "test", Name: "podinfo-primary"}, &appsv1.Deployment{}) == nil
				return found && !c.Status.UnderWay()
			})
			e.rollOut()
			c, _, err := e.reconcile()
			if !errors.Is(err, reconcile.TerminalError(nil)) || reconciler.ReasonOf(err, e.r.Reason) != flaggerv1.InvalidSpecReason ||
				!strings.Contains(err.Error(), "abacus") {
				t.Errorf("%s, %v", c.Status.Phase, err)
			}
			if e.image("podinfo-primary") != "podinfo:1" {
				t.Errorf("the primary runs %s", e.image("podinfo-primary"))
			}
			write("prometheus")
			e.rollOut()
			if c, _, err = e.reconcile(); err != nil || c.Status.UnderWay() != newRevision {
				t.Errorf("mended: %s, %v", c.Status.Phase, err)
			}
		})
	}
}
