// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/fluxcd/pkg/ssa"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/sluice-cd/sluice/apply/inventory"
)

// recordingServer answers every request with a ConfigMap, and tells of it.
func recordingServer(t *testing.T, saw func(*http.Request, []byte)) *Clients {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		saw(req, body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings"}}`)
	}))
	t.Cleanup(server.Close)
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{{Version: "v1"}, {Group: "apps", Version: "v1"}})
	mapper.Add(schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, meta.RESTScopeNamespace)
	mapper.Add(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, meta.RESTScopeNamespace)
	return NewClients(&rest.Config{Host: server.URL}, mapper, "manager")
}

func settings(t *testing.T, c *client) endpoint {
	t.Helper()
	at, ok, err := c.locate(inventory.Entry{ID: inventory.ID{Namespace: "apps", Name: "settings", Kind: "ConfigMap"}, Version: "v1"})
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	return at
}

func TestAClientSpeaksAsItsServiceAccount(t *testing.T) {
	var user, path string
	clients := recordingServer(t, func(req *http.Request, _ []byte) {
		user, path = req.Header.Get("Impersonate-User"), req.URL.Path
	})
	for want, id := range map[string]Impersonation{
		"":                                  {},
		"system:serviceaccount:apps:deploy": {Namespace: "apps", ServiceAccount: "deploy"},
		"system:serviceaccount:apps:other":  {Namespace: "apps", ServiceAccount: "other"},
	} {
		c, err := clients.identity(id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.get(t.Context(), settings(t, c)); err != nil {
			t.Fatal(err)
		}
		if user != want || path != "/api/v1/namespaces/apps/configmaps/settings" {
			t.Errorf("asked %s as %q, want %q", path, user, want)
		}
		if again, err := clients.identity(id); again != c || err != nil {
			t.Errorf("the client of %v is made again: %v", id, err)
		}
	}
}

func TestAPatchIsOfOneVersion(t *testing.T) {
	var sent []map[string]any
	var query string
	clients := recordingServer(t, func(req *http.Request, body []byte) {
		query = req.URL.RawQuery
		if err := json.Unmarshal(body, &sent); err != nil {
			t.Error(err)
		}
	})
	c, err := clients.identity(Impersonation{})
	if err != nil {
		t.Fatal(err)
	}
	operation := ssa.JSONPatch{Operation: "replace", Path: "/metadata/managedFields"}
	if got, err := c.patch(t.Context(), settings(t, c), "7", []ssa.JSONPatch{operation}); err != nil || got.GetName() != "settings" {
		t.Fatal(got, err)
	}
	var got []string
	for _, s := range sent {
		got = append(got, s["op"].(string)+" "+s["path"].(string))
	}
	if diff := cmp.Diff([]string{"replace /metadata/resourceVersion", "replace /metadata/managedFields"}, got); diff != "" {
		t.Error(diff)
	}
	if sent[0]["value"] != "7" || query != "fieldManager=manager" {
		t.Errorf("the version is %v, the query %s", sent[0]["value"], query)
	}
}

func TestADeletionIsOfWhatWasLookedAt(t *testing.T) {
	var sent map[string]any
	clients := recordingServer(t, func(_ *http.Request, body []byte) {
		if err := json.Unmarshal(body, &sent); err != nil {
			t.Error(err)
		}
	})
	c, err := clients.identity(Impersonation{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.delete(t.Context(), settings(t, c), types.UID("u"), "7"); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
		"preconditions": map[string]any{"uid": "u", "resourceVersion": "7"}}
	if diff := cmp.Diff(want, sent); diff != "" {
		t.Error(diff)
	}
}

func TestWhereAnObjectOfTheInventoryLives(t *testing.T) {
	c, err := recordingServer(t, func(*http.Request, []byte) {}).identity(Impersonation{})
	if err != nil {
		t.Fatal(err)
	}
	deployment := func(version string) inventory.Entry {
		return inventory.Entry{ID: inventory.ID{Namespace: "apps", Name: "podinfo", Group: "apps", Kind: "Deployment"}, Version: version}
	}
	tests := map[string]struct {
		entry inventory.Entry
		want  []string // nil when its kind is gone
	}{
		"at its version":            {deployment("v1"), []string{"apis", "apps", "v1", "namespaces", "apps", "deployments", "podinfo"}},
		"at a version that is gone": {deployment("v1beta1"), []string{"apis", "apps", "v1", "namespaces", "apps", "deployments", "podinfo"}},
		"its kind is gone":          {inventory.Entry{ID: inventory.ID{Name: "x", Group: "example.com", Kind: "Gone"}, Version: "v1"}, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			at, ok, err := c.locate(tc.entry)
			if err != nil || ok != (tc.want != nil) {
				t.Fatal(ok, err)
			}
			if ok {
				if diff := cmp.Diff(tc.want, at.segments()); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}
