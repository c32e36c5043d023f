// SPDX-License-Identifier: Apache-2.0

package command

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
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
		if name, one := strings.CutPrefix(r.URL.Query().Get("fieldSelector"), "metadata.name="); one {
			object = named(t, object, name)
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

// named is a list of those of its objects that have a name, which a field selector asks for.
func named(t *testing.T, list any, name string) any {
	t.Helper()
	var all map[string]any
	text, err := json.Marshal(list)
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		t.Error(err)
	}
	items, is := all["items"].([]any)
	if !is {
		return list
	}
	found := []any{}
	for _, item := range items {
		object, _ := item.(map[string]any)
		if meta, _ := object["metadata"].(map[string]any); meta["name"] == name {
			found = append(found, item)
		}
	}
	all["items"] = found
	return all
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
