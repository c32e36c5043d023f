// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"bytes"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-cd/sluice/internal/kinds"
)

func TestATreeHasWhatKustomizationsInItHave(t *testing.T) {
	with := func(name string, ids ...string) *kustomizev1.Kustomization {
		k := &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name}}
		k.Status.Inventory = &kustomizev1.ResourceInventory{}
		for _, id := range ids {
			k.Status.Inventory.Entries = append(k.Status.Inventory.Entries, kustomizev1.ResourceRef{ID: id})
		}
		return k
	}
	const ks = "_kustomize.toolkit.fluxcd.io_Kustomization"
	root := with("root", "n_root"+ks, "n_app"+ks, "n_gone"+ks, "n_last__ConfigMap")
	scheme, err := kinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	p := &treePrinter{
		cmd: cmd, out: &out, above: map[client.ObjectKey]bool{},
		reader: fake.NewClientBuilder().WithScheme(scheme).WithObjects(root, with("app", "n_a__ConfigMap", "n_d_apps_Deployment")).Build(),
	}
	if err := p.print(root, ""); err != nil {
		t.Fatal(err)
	}
	want := "├── Kustomization/n/root\n├── Kustomization/n/app\n│   ├── ConfigMap/n/a\n│   └── Deployment/n/d\n" +
		"├── Kustomization/n/gone\n└── ConfigMap/n/last\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}
