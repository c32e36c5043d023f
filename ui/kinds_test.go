// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"slices"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	notificationv1beta3 "github.com/sluice-cd/sluice/api/notification/v1beta3"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/kinds"
	"github.com/sluice-cd/sluice/report"
)

// MetricTemplates and AlertProviders could not be looked at.
func TestEveryKindOfOursIsShown(t *testing.T) {
	scheme, err := kinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	is := map[string]bool{}
	for _, object := range shown {
		gvk, err := apiutil.GVKForObject(object, scheme)
		if err != nil {
			t.Fatal(err)
		}
		is[gvk.Kind] = true
	}
	for _, group := range []schema.GroupVersion{
		flaggerv1.GroupVersion, imagev1.GroupVersion, sluicev1.GroupVersion, notificationv1beta3.GroupVersion,
	} {
		for kind := range scheme.KnownTypes(group) {
			if _, listed := scheme.KnownTypes(group)[kind+"List"]; listed && !is[kind] {
				t.Errorf("%s of %s is not shown", kind, group)
			}
		}
	}
}

// A kind that the cluster did not serve when the page began was missing until its server was started again.
func TestAKindThatAppearsLaterIsShown(t *testing.T) {
	scheme, err := kinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	mapper, allowed := meta.NewDefaultRESTMapper(nil), false
	c := interceptor.NewClient(fake.NewClientBuilder().WithScheme(scheme).WithRESTMapper(mapper).Build(), interceptor.Funcs{
		Create: func(_ context.Context, _ client.WithWatch, asked client.Object, _ ...client.CreateOption) error {
			if review, ok := asked.(*authorizationv1.SelfSubjectAccessReview); ok {
				review.Status.Allowed = allowed
			}
			return nil
		}})
	informers := &informertest.FakeInformers{Scheme: scheme}
	cluster := &Cluster{client: c, scheme: scheme, mapper: mapper, cache: informers, kinds: map[string]served{}, pending: map[string]pending{}}
	var told []report.ObjectReference
	changed := func(o report.ObjectReference) { told = append(told, o) }
	why := func() string {
		missing := cluster.missingKinds()
		if i := slices.IndexFunc(missing, func(m Missing) bool { return m.Kind == flaggerv1.CanaryKind }); i >= 0 {
			return missing[i].Why
		}
		return ""
	}
	err = cluster.watch(t.Context(), &flaggerv1.Canary{}, changed)
	if want := "the cluster does not serve flagger.app/v1beta1"; err != nil || why() != want {
		t.Fatalf("%v, %q", err, why())
	}
	mapper.Add(flaggerv1.GroupVersion.WithKind(flaggerv1.CanaryKind), meta.RESTScopeNamespace)
	cluster.findMissing(t.Context(), changed)
	if want := "the service account of the controller may not list and watch canaries.flagger.app"; why() != want || len(told) > 0 {
		t.Fatalf("served, and not allowed: got %q, want %q; told of %v", why(), want, told)
	}
	allowed = true
	cluster.findMissing(t.Context(), changed)
	if _, shown := cluster.kindOf(flaggerv1.CanaryKind); !shown || why() != "" ||
		!slices.Equal(told, []report.ObjectReference{{Kind: "Canary"}}) {
		t.Errorf("shown %v, %q, told of %v", shown, why(), told)
	}
	cluster.findMissing(t.Context(), changed)
	if len(told) != 1 {
		t.Errorf("told again: %v", told)
	}
}
