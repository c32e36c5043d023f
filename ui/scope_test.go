// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/internal/kinds"
)

// oneCanary is a cache that has one object.
type oneCanary struct{ informertest.FakeInformers }

func (*oneCanary) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	if list, ok := into.(*flaggerv1.CanaryList); ok {
		list.Items = []flaggerv1.Canary{{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app"}}}
	}
	return nil
}

// Questions about rights are asked by goroutines whose panics nobody recovered.
func TestAReviewThatPanicsDoesNotEndTheProcess(t *testing.T) {
	scheme, err := kinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	for name, panics := range map[string]func(client.Object) bool{
		"about all namespaces": func(client.Object) bool { return true },
		"about one namespace": func(asked client.Object) bool {
			_, rules := asked.(*authorizationv1.SelfSubjectRulesReview)
			return rules
		},
	} {
		c := interceptor.NewClient(fake.NewClientBuilder().WithScheme(scheme).Build(), interceptor.Funcs{
			Create: func(_ context.Context, _ client.WithWatch, asked client.Object, _ ...client.CreateOption) error {
				if panics(asked) {
					panic("no such answer")
				}
				return nil // and is not allowed
			}})
		canaries := served{GroupVersionKind: flaggerv1.GroupVersion.WithKind("Canary")}
		cluster := &Cluster{client: c, scheme: scheme, cache: &oneCanary{}, kinds: map[string]served{"Canary": canaries}}
		if _, err := (rightsReview{cluster.ownerView()}).run(t.Context()); err == nil || !strings.Contains(err.Error(), "panic: no such answer") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
