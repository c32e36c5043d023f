// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// TestATreeHasTheRoutesOfEveryProvider has an object of each kind that is made for canaries. TrafficRoutes are the whole
// cluster's: nobody asks for them, who may perhaps not list them.
func TestATreeHasTheRoutesOfEveryProvider(t *testing.T) {
	known := runtime.NewScheme()
	if err := flaggerv1.AddToScheme(known); err != nil {
		t.Fatal(err)
	}
	var served []schema.GroupVersion
	for _, kind := range provider.MadeKinds() {
		served = append(served, kind.WithVersion("v1").GroupVersion())
	}
	mapper := meta.NewDefaultRESTMapper(served)
	canary := &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "shop", UID: "c"}}
	mapper.Add(flaggerv1.GroupVersion.WithKind(flaggerv1.CanaryKind), meta.RESTScopeNamespace)
	all, want := []runtime.Object{canary}, []string{}
	for _, kind := range provider.MadeKinds() {
		o := &unstructured.Unstructured{}
		o.SetGroupVersionKind(kind.WithVersion("v1"))
		o.SetNamespace("apps")
		o.SetName("shop")
		o.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "flagger.app/v1beta1", Kind: "Canary", Name: "shop", UID: "c"}})
		known.AddKnownTypeWithName(o.GroupVersionKind(), &unstructured.Unstructured{})
		known.AddKnownTypeWithName(kind.WithVersion("v1").GroupVersion().WithKind(kind.Kind+"List"), &unstructured.UnstructuredList{})
		if kind == (schema.GroupKind{Group: "kuma.io", Kind: "TrafficRoute"}) {
			o.SetNamespace("")
			mapper.Add(o.GroupVersionKind(), meta.RESTScopeRoot)
		} else {
			mapper.Add(o.GroupVersionKind(), meta.RESTScopeNamespace)
			want = append(want, kind.String())
		}
		all = append(all, o)
	}
	c := fake.NewClientBuilder().WithScheme(known).WithRESTMapper(mapper).WithRuntimeObjects(all...).Build()
	below, err := newTreeBuilder(c).canary(t.Context(), client.ObjectKeyFromObject(canary))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, node := range below[1:] { // the first is the target
		got = append(got, groupKind(node.Group, node.Kind).String())
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-made +shown):\n%s", diff)
	}
}
