// SPDX-License-Identifier: Apache-2.0

package app

import (
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-cd/sluice/internal/kinds"
	"github.com/sluice-cd/sluice/source"
)

func TestArtifactsOfAnEarlierProcessStayAsLongAsTheirSources(t *testing.T) {
	store := source.NewStore(t.TempDir(), "localhost", clock.RealClock{})
	artifacts := map[string]func() bool{}
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "apps", Name: name} }
	objects := []client.Object{
		&sourcev1.GitRepository{ObjectMeta: named("git")}, &sourcev1.OCIRepository{ObjectMeta: named("oci")},
		&sourcev1.Bucket{ObjectMeta: named("bucket")},
	}
	for name, kind := range map[string]string{"git": "GitRepository", "oci": "OCIRepository", "bucket": "Bucket", "gone": "GitRepository"} {
		a, err := store.Put(t.Context(), source.Key{Kind: kind, Namespace: "apps", Name: name}, source.Content{Name: "c1", Bytes: []byte("x")})
		if err != nil {
			t.Fatal(err)
		}
		artifacts[name] = func() bool { return store.Holds(a) }
	}
	scheme, err := kinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	u := &artifactSweeper{store: store, objects: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()}
	if err := u.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, isThere := range artifacts {
		if isThere() != (name != "gone") {
			t.Errorf("%s: still there: %t", name, isThere())
		}
	}
}
