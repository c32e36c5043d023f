// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/test/contract"
)

func TestEveryRouterKeepsTheContract(t *testing.T) {
	for _, name := range provider.Names() {
		t.Run(name, func(t *testing.T) {
			fixture := func(t *testing.T) *contract.Fixture { return contract.New(t, name, contract.Cluster(t)) }
			if f := fixture(t); f.Supports(f.Canary) != nil {
				t.Fatalf("refuses the plainest canary: %v", f.Supports(f.Canary))
			}
			contract.Run(t, name, fixture)
		})
	}
}

func TestEveryProviderHasARouter(t *testing.T) {
	for _, name := range provider.Names() {
		if _, err := router.New(name, router.Deps{}); err != nil {
			t.Errorf("%s: its row in package provider is not carried out by a line in builders: %v", name, err)
		}
	}
}

func TestWithoutTheCRDsTheErrorSaysWhatToInstall(t *testing.T) {
	for _, name := range provider.Names() {
		if row, _ := provider.Named(name); row.Product == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			f := contract.New(t, name, contract.Cluster(t))
			f.Router = f.RouterOver(interceptor.NewClient(f.Cluster, interceptor.Funcs{
				Get: func(ctx context.Context, w client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
					if kind := o.GetObjectKind().GroupVersionKind().GroupKind(); slices.Contains(f.Provider.Kinds, kind) {
						return &meta.NoKindMatchError{GroupKind: kind}
					}
					return w.Get(ctx, key, o, opts...)
				},
			}))
			f.SaysWhatToInstall()
		})
	}
}

func TestUnknownProviderIsTerminal(t *testing.T) {
	_, err := router.New("envoy", router.Deps{})
	if !errors.Is(err, reconcile.TerminalError(nil)) {
		t.Fatalf("want a terminal error, got %v", err)
	}
	for _, want := range append(provider.Nameable(), "spec.provider", "envoy") {
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
