package router_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/router"
)

// shifts tells, for every provider, whether it can move users at all.
var shifts = map[string]bool{
	"kubernetes":         false,
	"gatewayapi:v1":      true,
	"gatewayapi:v1beta1": true,
	"istio":              true,
}

func TestEveryRouterKeepsTheContract(t *testing.T) {
	for _, name := range router.Names() {
		t.Run(name, func(t *testing.T) {
			moves, ok := shifts[name]
			if !ok {
				t.Fatalf("say in this test whether %s shifts traffic", name)
			}
			c := canaryFor(name)
			r, err := router.New(name, router.Deps{Client: clusterWith(t)})
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Supports(c); err != nil {
				t.Fatalf("refuses the plainest canary: %v", err)
			}
			if err := r.Finalize(t.Context(), c); err != nil {
				t.Fatalf("finalizing what was never routed: %v", err)
			}
			twice(t, "Reconcile", func() error { return r.Reconcile(t.Context(), c) })
			wantWeights(t, r, c, router.Weights{Primary: 100})
			for _, w := range []router.Weights{{Primary: 80, Canary: 20}, {Canary: 100}, {Primary: 100, Mirror: true}, {Primary: 100}} {
				twice(t, "SetWeights", func() error { return r.SetWeights(t.Context(), c, w) })
				twice(t, "Reconcile", func() error { return r.Reconcile(t.Context(), c) })
				if !moves {
					w = router.Weights{Primary: 100}
				}
				wantWeights(t, r, c, w)
			}
			twice(t, "Finalize", func() error { return r.Finalize(t.Context(), c) })
		})
	}
}

func TestUnknownProviderIsTerminal(t *testing.T) {
	_, err := router.New("smoke-signals", router.Deps{})
	if !errors.Is(err, reconcile.TerminalError(nil)) {
		t.Fatalf("want a terminal error, got %v", err)
	}
	for _, want := range append(router.Names(), "spec.provider", "smoke-signals") {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not mention %s", err, want)
		}
	}
}

func twice(t *testing.T, what string, do func() error) {
	t.Helper()
	for range 2 {
		if err := do(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

func wantWeights(t *testing.T, r router.Router, c *flaggerv1.Canary, want router.Weights) {
	t.Helper()
	got, err := r.Weights(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("weights (-want +got):\n%s", diff)
	}
}

// canaryFor returns the plainest canary that a provider can do.
func canaryFor(provider string) *flaggerv1.Canary {
	c := &flaggerv1.Canary{
		ObjectMeta: metav1.ObjectMeta{Namespace: "staging", Name: "app", UID: "canary-uid"},
		Spec: flaggerv1.CanarySpec{
			Provider:  provider,
			TargetRef: flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "app"},
			Service:   flaggerv1.CanaryService{Port: 9898},
			Analysis:  &flaggerv1.CanaryAnalysis{Interval: "10s", Threshold: 2, Iterations: 3},
		},
	}
	if strings.HasPrefix(provider, "gatewayapi:") {
		c.Spec.Service.GatewayRefs = []gatewayv1.ParentReference{{Name: "public"}}
	}
	return c
}

func clusterWith(t *testing.T, objs ...client.Object) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{flaggerv1.AddToScheme, gatewayv1.Install} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objs...).WithStatusSubresource(&gatewayv1.HTTPRoute{}).Build()
}
