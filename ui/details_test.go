// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	builder "github.com/sluice-cd/sluice/test/make"
)

// askOwner answers a request of the owner of a kubeconfig.
func askOwner(t *testing.T, cluster *Cluster, path string) *httptest.ResponseRecorder {
	t.Helper()
	s, err := NewServer(Options{Cluster: cluster, Token: "secret", Clock: clock.RealClock{}, Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	close(s.ready)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost:8080"+path, http.NoBody)
	r.Header.Set("Authorization", "Bearer secret")
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

// Whoever may not list events was told that there are none: "Nothing was changed beside the source".
func TestEventsThatOneMayNotListAreNotCalledNone(t *testing.T) {
	const why = "you may not list events"
	for _, path := range []string{
		"/api/v1/canaries/apps/podinfo", "/api/v1/pipelines/apps/shop", "/api/v1/objects/Kustomization/apps/shop",
		"/api/v1/timeline?key=Deployment/apps/podinfo",
	} {
		for _, forbidden := range []bool{false, true} {
			cluster := furnished(t)
			under, ok := cluster.client.(client.WithWatch)
			if !ok {
				t.Fatalf("%T watches nothing", cluster.client)
			}
			cluster.client = interceptor.NewClient(under, interceptor.Funcs{
				List: func(ctx context.Context, c client.WithWatch, into client.ObjectList, o ...client.ListOption) error {
					if _, ok := into.(*corev1.EventList); ok && forbidden {
						return apierrors.NewForbidden(schema.GroupResource{Resource: "events"}, "", errors.New(why))
					}
					return c.List(ctx, into, o...)
				}})
			w := askOwner(t, cluster, path)
			if w.Code != http.StatusOK || strings.Contains(w.Body.String(), "eventsProblem") != forbidden ||
				strings.Contains(w.Body.String(), why) != forbidden {
				t.Errorf("%s, forbidden %t: %d %.300s", path, forbidden, w.Code, w.Body)
			}
		}
	}
}

// Of an object whose spec has a text with an empty line, the page did not find that it is suspended.
func TestAnObjectSaysItselfThatItIsSuspended(t *testing.T) {
	for _, suspended := range []bool{false, true} {
		cluster := furnished(t)
		var k kustomizev1.Kustomization
		if err := cluster.client.Get(t.Context(), client.ObjectKey{Namespace: "apps", Name: "shop"}, &k); err != nil {
			t.Fatal(err)
		}
		k.Spec.Suspend, k.Spec.Patches = suspended, []kustomize.Patch{{Patch: "a: 1\n\nb: 2\n"}}
		if err := cluster.client.Update(t.Context(), &k); err != nil {
			t.Fatal(err)
		}
		w := askOwner(t, cluster, "/api/v1/objects/Kustomization/apps/shop")
		var got ObjectDetail
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Suspended != suspended {
			t.Errorf("want %t: %v %.300s", suspended, err, w.Body)
		}
	}
}

// Lists come from caches, which keep no kind of an object: how it is suspended depends on it.
func TestAListSaysWhichArtifactGeneratorsAreSuspended(t *testing.T) {
	disabled := metav1.ObjectMeta{Name: "a", Annotations: map[string]string{generatorv1.ReconcileAnnotation: generatorv1.DisabledValue}}
	for kind, list := range map[string]client.ObjectList{
		generatorv1.ArtifactGeneratorKind: &generatorv1.ArtifactGeneratorList{Items: []generatorv1.ArtifactGenerator{{ObjectMeta: disabled}}},
		kustomizev1.KustomizationKind:     &kustomizev1.KustomizationList{Items: []kustomizev1.Kustomization{{ObjectMeta: disabled}}},
	} {
		of := furnished(t).kinds[kind].GroupVersionKind
		rows, err := rowsOf(of, list)
		if err != nil || len(rows) != 1 || rows[0].Suspended != (kind == generatorv1.ArtifactGeneratorKind) {
			t.Errorf("%s: %v %+v", of, err, rows)
		}
	}
}

// The YAML of an AlertProvider had the incoming webhook of its room, that of a MetricTemplate its headers, and that of a Kustomization the
// Secrets that it patches in.
func TestTheYAMLOfAnObjectShowsNoCredential(t *testing.T) {
	cluster := furnished(t)
	meta := metav1.ObjectMeta{Namespace: "apps", Name: "a"}
	alerts := &flaggerv1.AlertProvider{ObjectMeta: meta, Spec: flaggerv1.AlertProviderSpec{
		Type: "slack", Address: "https://hooks.slack.com/services/s3cret", Proxy: "http://eve:s3cret@proxy"}}
	alerts.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "s3cret"}
	metric := &flaggerv1.MetricTemplate{ObjectMeta: meta, Spec: flaggerv1.MetricTemplateSpec{Provider: flaggerv1.MetricTemplateProvider{
		Type: "prometheus", Address: "http://prometheus/?token=s3cret", Headers: map[string][]string{"Authorization": {"Bearer s3cret"}}}}}
	patched := builder.Kustomization("apps", "a")
	patched.Spec.Patches = []kustomize.Patch{{Patch: "kind: Secret\nmetadata:\n  name: token\nstringData:\n  token: s3cret\n"}}
	for kind, tc := range map[string]struct {
		object client.Object
		shown  string
	}{
		"AlertProvider": {alerts, "https://hooks.slack.com/***"}, "MetricTemplate": {metric, "http://prometheus/?token=***"},
		"Kustomization": {patched, "name: a"},
	} {
		if err := cluster.client.Create(t.Context(), tc.object); err != nil {
			t.Fatal(err)
		}
		w := askOwner(t, cluster, "/api/v1/objects/"+kind+"/apps/a")
		var got ObjectDetail
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(w.Body.String(), "s3cret") || !strings.Contains(got.YAML, tc.shown) {
			t.Errorf("%s:\n%s", kind, got.YAML)
		}
	}
}

// The timeline of a release had nothing of what its ReplicaSets and pods tell: a quota that is used up, an image that cannot be pulled.
func TestATimelineTellsOfTheTargetAndItsPods(t *testing.T) {
	cluster := furnished(t)
	primary := builder.Deployment("apps", "podinfo-primary", "podinfo:1")
	primary.OwnerReferences = []metav1.OwnerReference{
		{APIVersion: "flagger.app/v1beta1", Kind: "Canary", Name: "podinfo", Controller: new(true)}}
	objects := []client.Object{primary}
	for reason, of := range map[string]corev1.ObjectReference{
		"ScalingReplicaSet": {Kind: "Deployment", Name: "podinfo"}, "FailedCreate": {Kind: "ReplicaSet", Name: "podinfo-7d4b9c8f6"},
		"BackOff": {Kind: "Pod", Name: "podinfo-7d4b9c8f6-x2x5k"}, "Pulled": {Kind: "Pod", Name: "podinfo-primary-7d4b9c8f6-x2x5k"},
		"OfAnother": {Kind: "Pod", Name: "podinfo-api-7d4b9c8f6-x2x5k"}, "OfABareOne": {Kind: "Pod", Name: "podinfo"},
	} {
		of.Namespace = "apps"
		objects = append(objects, &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: strings.ToLower(reason)},
			InvolvedObject: of, Reason: reason, LastTimestamp: metav1.Now()})
	}
	for _, object := range objects {
		if err := cluster.client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	w := askOwner(t, cluster, "/api/v1/timeline?key=Deployment/apps/podinfo")
	var got Timeline
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, e := range got.Items {
		reasons = append(reasons, e.Reason+" "+e.Kind)
	}
	slices.Sort(reasons)
	if want := []string{"BackOff Pod", "FailedCreate ReplicaSet", "Pulled Pod", "ScalingReplicaSet Deployment"}; !slices.Equal(reasons, want) {
		t.Errorf("got %q, want %q", reasons, want)
	}
}
