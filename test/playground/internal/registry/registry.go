// SPDX-License-Identifier: Apache-2.0

// Package registry is an OCI registry that survives a restart.
//
// It is go-containerregistry's registry with two additions. That one keeps
// blobs on disk but manifests and tags in memory: this one writes each
// accepted manifest down, and pushes them all again when it starts. And that
// one cuts a tag list at the asked page size without saying that there is
// more: this one adds the Link header that the distribution specification
// wants, without which a client believes that an image with 1001 tags has
// 1000.
package registry

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/registry"
)

// Registry is the handler; see New.
type Registry struct {
	inner     http.Handler
	manifests journal
	writes    sync.Mutex // the journal and the registry accept pushes in the same order
}

// New serves what dir holds, and keeps in it what is pushed.
func New(dir string, logger *log.Logger) (*Registry, error) {
	blobs := filepath.Join(dir, "blobs")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return nil, fmt.Errorf("making the registry's folder: %w", err)
	}
	r := &Registry{
		inner: registry.New(
			registry.WithBlobHandler(registry.NewDiskBlobHandler(blobs)),
			registry.WithReferrersSupport(true),
			registry.Logger(logger),
		),
		manifests: journal{path: filepath.Join(dir, "manifests.jsonl")},
	}
	if err := r.manifests.replay(r.repeat); err != nil {
		return nil, fmt.Errorf("reading the registry's manifests: %w", err)
	}
	return r, nil
}

// ServeHTTP implements http.Handler.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch {
	case isManifest(req.URL.Path) && (req.Method == http.MethodPut || req.Method == http.MethodDelete):
		r.change(w, req)
	case req.Method == http.MethodGet && strings.HasSuffix(req.URL.Path, "/tags/list"):
		r.listTags(w, req)
	default:
		r.inner.ServeHTTP(w, req)
	}
}

// isManifest recognises /v2/<name>/manifests/<reference>.
func isManifest(path string) bool {
	parts := strings.Split(path, "/")
	return len(parts) >= 5 && parts[len(parts)-2] == "manifests"
}

// change lets the registry judge a push or a deletion, writes it down if it
// was accepted, and only then answers.
func (r *Registry) change(w http.ResponseWriter, req *http.Request) {
	entry, err := newEntry(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.writes.Lock()
	defer r.writes.Unlock()
	answer := r.repeat(entry)
	if answer.Code < 300 {
		if err := r.manifests.append(entry); err != nil {
			http.Error(w, err.Error(), http.StatusInsufficientStorage)
			return
		}
	}
	copyAnswer(w, answer)
}

// repeat hands an entry to the registry as the request it was made from.
func (r *Registry) repeat(e entry) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	r.inner.ServeHTTP(answer, e.request())
	return answer
}

// listTags pages as the distribution specification says: at most n tags after
// the tag last, and a Link to the next page if there is one.
func (r *Registry) listTags(w http.ResponseWriter, req *http.Request) {
	all := req.Clone(req.Context())
	all.URL.RawQuery = ""
	answer := httptest.NewRecorder()
	r.inner.ServeHTTP(answer, all)
	if answer.Code != http.StatusOK {
		copyAnswer(w, answer)
		return
	}
	var list struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &list); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	page, err := newPage(req.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	slices.Sort(list.Tags)
	var more bool
	if list.Tags, more = page.of(list.Tags); more {
		w.Header().Set("Link", page.next(req.URL.Path, list.Tags[len(list.Tags)-1]))
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list) // a client that left does not matter
}

func copyAnswer(w http.ResponseWriter, answer *httptest.ResponseRecorder) {
	for key, values := range answer.Header() {
		w.Header()[key] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // a client that left does not matter
}
