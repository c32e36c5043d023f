// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// connect makes a client of an API server that answers with handler, as a command does.
func connect(t *testing.T, handler http.HandlerFunc) client.Client {
	t.Helper()
	t.Setenv("KUBECONFIG", "")
	t.Setenv("HOME", t.TempDir())
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	cmd := &cobra.Command{}
	k := AddFlags(cmd, "test")
	if err := cmd.PersistentFlags().Set("server", server.URL); err != nil {
		t.Fatal(err)
	}
	c, err := k.Client()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWithoutCRDsAllCommandsSayToInstallThem(t *testing.T) {
	const want = "the cluster does not serve Canary: install the CRDs of config/crd"
	c := connect(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/api":
			_, _ = io.WriteString(w, `{"kind":"APIVersions","versions":["v1"]}`)
		case "/apis":
			_, _ = io.WriteString(w, `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`)
		case "/api/v1":
			_, _ = io.WriteString(w, `{"kind":"APIResourceList","groupVersion":"v1","resources":[]}`)
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
		}
	})
	if err := List(t.Context(), c, &flaggerv1.CanaryList{}); err == nil || err.Error() != want {
		t.Errorf("a list: %v", err)
	}
	if err := Get(t.Context(), c, client.ObjectKey{
		Namespace: "apps",
		Name:      "podinfo",
	}, &flaggerv1.Canary{}); err == nil || err.Error() != want {
		t.Errorf("one object: %v", err)
	}
}

func TestAnAPIServerThatRefusesDiscoveryLacksNoCRDs(t *testing.T) {
	c := connect(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) })
	err := List(t.Context(), c, &flaggerv1.CanaryList{})
	if err == nil || strings.Contains(err.Error(), "install the CRDs") {
		t.Errorf("got %v", err)
	}
	if IsUnserved(errors.New("another")) {
		t.Error("any error is taken for missing CRDs")
	}
}
