// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-cd/sluice/test/make"
)

func TestASecretBringsBackWhoeverNamesIt(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := kustomizev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	named := func(namespace, name, path string) *kustomizev1.Kustomization {
		return make.Kustomization(namespace, name, func(k *kustomizev1.Kustomization) { k.Spec.Path = path })
	}
	s := Secrets[*kustomizev1.Kustomization]{
		List: func() client.ObjectList { return &kustomizev1.KustomizationList{} },
		Of:   func(k *kustomizev1.Kustomization) []string { return []string{k.Spec.Path, ""} },
	}
	reader := fake.NewClientBuilder().WithScheme(scheme).
		WithObjects(named("test", "a", "token"), named("test", "b", "other"), named("test", "c", "token"),
			named("elsewhere", "a", "token"), named("test", "d", "")).
		WithIndex(&kustomizev1.Kustomization{}, bySecret, s.index).Build()
	var got []string
	secret := make.Secret[string]("test", "token", nil)
	for _, request := range s.requests(context.Background(), reader, secret) {
		got = append(got, request.String())
	}
	if diff := cmp.Diff([]string{"test/a", "test/c"}, got); diff != "" {
		t.Error(diff)
	}
}
