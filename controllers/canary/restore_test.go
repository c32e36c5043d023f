// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"errors"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// A primary that was gone and could not be made again, because of a quota or a webhook,
// kept its users, although the canary served.
func TestUsersLeaveAPrimaryThatCannotBeMadeAgain(t *testing.T) {
	server, refused := newPrometheus(t, "100"), errors.New(`exceeded quota: deployments`)
	e := newRelease(t, server, nil)
	e.push("podinfo:2")
	if _, err := e.until("first weight", func(c *flaggerv1.Canary) bool { return c.Status.CanaryWeight > 0 }); err != nil {
		t.Fatal(err)
	}
	e.rollOut()
	primary := &appsv1.Deployment{}
	e.get("podinfo-primary", primary)
	if err := e.api.Delete(t.Context(), primary); err != nil {
		t.Fatal(err)
	}
	e.restart(interceptor.NewClient(e.api, interceptor.Funcs{
		Create: func(ctx context.Context, api client.WithWatch, object client.Object, opts ...client.CreateOption) error {
			if object.GetName() == "podinfo-primary" {
				return refused
			}
			return api.Create(ctx, object, opts...)
		},
	}))
	c, _, err := e.reconcile()
	if err != nil || c.Status.Fallback == nil || c.Status.Fallback.Weight != 50 || e.routed() != [2]int64{0, 100} {
		t.Errorf("fallback %+v, routed %v, %v", c.Status.Fallback, e.routed(), err)
	}
	if said := "Routing all traffic to canary, podinfo-primary.test is missing"; !slices.Contains(e.events, said) {
		t.Errorf("said %q", e.events)
	}
	if _, _, err = e.reconcile(); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
}
