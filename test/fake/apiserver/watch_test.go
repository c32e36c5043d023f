// SPDX-License-Identifier: Apache-2.0

package apiserver_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-cd/sluice/test/fake/apiserver"
)

func TestADeletionBetweenAListAndItsWatchIsSeen(t *testing.T) {
	const path = "/api/v1/namespaces/ns/configmaps/a"
	s := apiserver.New(t)
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"namespace": "ns", "name": "a"},
	}}
	s.Put(path, u)
	listed := s.Get(path).GetResourceVersion()
	s.Delete(path)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		s.Config().Host+"/api/v1/namespaces/ns/configmaps?watch=true&resourceVersion="+listed, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var event struct {
		Type   string                    `json:"type"`
		Object unstructured.Unstructured `json:"object"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&event); err != nil || event.Type != "DELETED" || event.Object.GetName() != "a" {
		t.Errorf("got %s of %q, %v", event.Type, event.Object.GetName(), err)
	}
}
