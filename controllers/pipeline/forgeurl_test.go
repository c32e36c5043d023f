// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/test/make"
)

// The address of an API is the pipeline's word. The credential of the GitRepository is
// that of whoever owns it, and must not go there.
func TestAnAPIElsewhereGetsThePipelinesOwnCredentialAlone(t *testing.T) {
	var mu sync.Mutex
	said := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		said[r.Header.Get("Authorization")] = true
		w.WriteHeader(http.StatusNotFound)
	}))
	defer server.Close()
	at := gitserver.New(t).Repo("acme/fleet")
	at.Commit("main", gitserver.Files{"staging/app.yaml": marked, "production/app.yaml": marked})
	e := newEnvAt(t, sourcev1.GitRepositorySpec{URL: at.URL}, at.Head,
		proposes(), func(p *sluicev1.Pipeline) { p.Spec.Forge.URL = server.URL + "/api/v1" })
	e.Forges = forge.NewClients(forge.Options{})
	must(t, e.Client.Create(t.Context(), make.Secret("apps", "source", map[string]string{"username": "git", "password": "of-the-source"})))
	must(t, e.Client.Create(t.Context(), make.Secret("apps", "own", map[string]string{"token": "of-the-pipeline"})))
	var repo sourcev1.GitRepository
	e.get("fleet", &repo)
	repo.Spec.SecretRef = &meta.LocalObjectReference{Name: "source"}
	e.update(&repo)

	_, err := e.Reconcile(t.Context(), e.pipeline)
	if err == nil || !strings.Contains(err.Error(), "spec.forge.secretRef: spec.forge.url needs a Secret of the pipeline") || len(said) > 0 {
		t.Fatalf("%v, and the API was told %v", err, said)
	}
	e.pipeline.Spec.Forge.SecretRef = &meta.LocalObjectReference{Name: "own"}
	_, err = e.Reconcile(t.Context(), e.pipeline) // the API knows no such repository
	mu.Lock()
	defer mu.Unlock()
	if len(said) != 1 || !said["token of-the-pipeline"] {
		t.Errorf("the API was told %v: %v", said, err)
	}
}
