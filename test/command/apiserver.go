// SPDX-License-Identifier: Apache-2.0

package command

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// APIServer is an API server that answers each path with an object, and everything
// else with 404. It returns its URL, for --server. Requests other than GET are appended
// to requests, with their body, and answered as their path is.
func APIServer(t *testing.T, objects map[string]any) (url string, requests *[]string) {
	t.Helper()
	requests = &[]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		object, ok := objects[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			object = map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": http.StatusNotFound}
		}
		if r.Method != http.MethodGet {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			*requests = append(*requests, r.Method+" "+r.URL.Path+" "+string(body))
		}
		if err := json.NewEncoder(w).Encode(object); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, requests
}

// Group is what an API server says of the kinds of a group, in the paths that a client
// asks for them: resource names by kind.
func Group(group, version string, resources map[string]string) map[string]any {
	list := []any{}
	for kind, resource := range resources {
		list = append(list, map[string]any{"name": resource, "kind": kind, "namespaced": true, "verbs": []string{"get", "list", "patch"}})
	}
	of := map[string]any{"groupVersion": group + "/" + version, "version": version}
	described := map[string]any{"name": group, "versions": []any{of}, "preferredVersion": of}
	return map[string]any{
		"/api":           map[string]any{"kind": "APIVersions", "versions": []string{"v1"}},
		"/apis":          map[string]any{"kind": "APIGroupList", "apiVersion": "v1", "groups": []any{described}},
		"/apis/" + group: described,
		"/apis/" + group + "/" + version: map[string]any{
			"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group + "/" + version, "resources": list,
		},
	}
}
