// SPDX-License-Identifier: Apache-2.0

package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// serveGroups serves as many groups as a cluster has with the CRDs of a mesh, of Flux and of
// Flagger, each with a kind.
func serveGroups(w http.ResponseWriter, r *http.Request) {
	groups := metav1.APIGroupList{}
	for i := range 40 {
		name := fmt.Sprintf("group%d.example.com", i)
		version := metav1.GroupVersionForDiscovery{GroupVersion: name + "/v1", Version: "v1"}
		if r.URL.Path == "/apis/"+version.GroupVersion {
			answer(w, metav1.APIResourceList{GroupVersion: version.GroupVersion, APIResources: []metav1.APIResource{{
				Name: "things", SingularName: "thing", Namespaced: true, Kind: "Thing", Verbs: metav1.Verbs{"get"},
			}}})
			return
		}
		groups.Groups = append(groups.Groups, metav1.APIGroup{
			Name: name, Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version,
		})
	}
	switch r.URL.Path {
	case "/apis":
		answer(w, groups)
	case "/api":
		answer(w, metav1.APIVersions{Versions: []string{"v1"}})
	default:
		http.NotFound(w, r)
	}
}

func answer(w http.ResponseWriter, object any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(object)
}

// BenchmarkRESTMapping asks for the resources of kinds of 40 groups that were all asked for before.
func BenchmarkRESTMapping(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(serveGroups))
	defer server.Close()
	config := &rest.Config{Host: server.URL}
	theirs, err := apiutil.NewDynamicRESTMapper(config, server.Client())
	if err != nil {
		b.Fatal(err)
	}
	ours, err := newMapper(config, server.Client())
	if err != nil {
		b.Fatal(err)
	}
	for name, m := range map[string]meta.RESTMapper{"ours": ours, "controller-runtime": theirs} {
		ask := func(i int) {
			kind := schema.GroupKind{Group: fmt.Sprintf("group%d.example.com", i%40), Kind: "Thing"}
			if _, err := m.RESTMapping(kind, "v1"); err != nil {
				b.Fatal(err)
			}
		}
		for i := range 40 {
			ask(i)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				ask(i)
			}
		})
	}
}
