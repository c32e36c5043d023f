package router_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
)

func TestEveryRouterKeepsTheContract(t *testing.T) {
	for _, name := range router.Names() {
		t.Run(name, func(t *testing.T) {
			if err := newTrial(t, name, clusterWith(t)).refusesNothingPlain(); err != nil {
				t.Fatalf("refuses the plainest canary: %v", err)
			}
			if subjects[name].still {
				movesNobody(newTrial(t, name, clusterWith(t)))
				return
			}
			for _, clause := range slices.Sorted(maps.Keys(contract)) {
				t.Run(clause, func(t *testing.T) { contract[clause](newTrial(t, name, clusterWith(t))) })
			}
		})
	}
}

func (t *trial) refusesNothingPlain() error { return t.Supports(t.canary) }

// movesNobody is the contract of a provider without routes.
func movesNobody(t *trial) {
	for _, w := range []provider.Weights{{Primary: 80, Canary: 20}, {Canary: 100}, {Primary: 100}} {
		t.set(w)
		t.must(t.Reconcile(t.Context(), t.canary))
		t.wants(provider.Weights{Primary: 100})
	}
	t.must(t.Finalize(t.Context(), t.canary))
	if objects := t.Objects(t.canary); len(objects) > 0 {
		t.Errorf("has no routes, but names %v", objects)
	}
}

func TestUnknownProviderIsTerminal(t *testing.T) {
	_, err := router.New("envoy", router.Deps{})
	if !errors.Is(err, reconcile.TerminalError(nil)) {
		t.Fatalf("want a terminal error, got %v", err)
	}
	for _, want := range append(router.Names(), "spec.provider", "envoy") {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not mention %s", err, want)
		}
	}
}

func TestAppMeshHasEnded(t *testing.T) {
	for _, name := range []string{"appmesh", "appmesh:v1beta2"} {
		_, err := router.New(name, router.Deps{})
		if !errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), "ended") || !strings.Contains(err.Error(), "linkerd") {
			t.Errorf("%s: want a terminal error with alternatives, got %v", name, err)
		}
	}
}

func wantWeights(t *testing.T, r router.Router, c *flaggerv1.Canary, want provider.Weights) {
	t.Helper()
	got, err := r.Weights(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("weights (-want +got):\n%s", diff)
	}
}

func clusterWith(t *testing.T, objs ...client.Object) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{flaggerv1.AddToScheme, gatewayv1.Install, corev1.AddToScheme, networkingv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objs...).WithStatusSubresource(&gatewayv1.HTTPRoute{}).Build()
}
