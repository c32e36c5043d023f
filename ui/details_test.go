// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
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
