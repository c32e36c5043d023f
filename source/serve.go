package source

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/opencontainers/go-digest"
)

// latestName is an alias of a source's newest artifact, for people.
const latestName = "latest" + archiveSuffix

// Publish lets the [Opener] read an artifact's files from their view.
func (s *Store) Publish(key Key, artifact *meta.Artifact, v *View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	views := slices.DeleteFunc(slices.Clone(s.views[key]), func(p published) bool { return p.digest == artifact.Digest })
	views = append([]published{{artifact.Digest, v}}, views...)
	s.views[key] = views[:min(len(views), keptArtifacts)]
}

// Published is the view of an artifact that this process made, or nil. The
// digest is all that counts: equal digests are equal files.
func (s *Store) Published(digest string) *View {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, views := range s.views {
		for _, p := range views {
			if p.digest == digest {
				return p.view
			}
		}
	}
	return nil
}

// Holds reports whether the artifact is in the store with the digest it claims.
// The bytes are read once in the life of a process, and looked after by size
// from then on.
func (s *Store) Holds(artifact *meta.Artifact) bool {
	file, ok := s.open(artifact)
	if !ok {
		return false
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil || artifact.Size != nil && info.Size() != *artifact.Size {
		return false
	}
	s.mu.Lock()
	seen := s.sound[artifact.Path]
	s.mu.Unlock()
	if seen == artifact.Digest {
		return true
	}
	expected, err := digest.Parse(artifact.Digest)
	if err != nil {
		return false
	}
	verifier := expected.Verifier()
	if _, err := io.Copy(verifier, file); err != nil || !verifier.Verified() {
		return false
	}
	s.mu.Lock()
	s.sound[artifact.Path] = artifact.Digest
	s.mu.Unlock()
	return true
}

// open opens the file of an artifact, if it is one of the store's.
func (s *Store) open(artifact *meta.Artifact) (*os.File, bool) {
	if artifact == nil || !isArchive(artifact.Path) {
		return nil, false
	}
	file, err := os.Open(filepath.Join(s.root, filepath.FromSlash(artifact.Path)))
	return file, err == nil
}

// isArchive reports whether a path may lead to an archive in the store.
func isArchive(name string) bool {
	return filepath.IsLocal(filepath.FromSlash(name)) && path.Clean(name) == name &&
		strings.HasSuffix(name, archiveSuffix) && !strings.HasPrefix(path.Base(name), ".")
}

// Remove deletes all artifacts of a source.
func (s *Store) Remove(key Key) error {
	s.mu.Lock()
	delete(s.views, key)
	for at := range s.sound {
		if path.Dir(at) == key.dir() {
			delete(s.sound, at)
		}
	}
	s.mu.Unlock()
	if err := os.RemoveAll(filepath.Join(s.root, filepath.FromSlash(key.dir()))); err != nil {
		return fmt.Errorf("removing artifacts of %s: %w", key.dir(), err)
	}
	return nil
}

// ServeHTTP serves artifacts by their path, and nothing else: no index of what
// there is, since whoever may have an artifact has its URL from the API server.
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	file, err := s.find(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/gzip")
	http.ServeContent(w, r, "", info.ModTime(), file)
}

var errNoArtifact = errors.New("no such artifact")

// find opens the artifact at a path, or the newest by its alias.
func (s *Store) find(name string) (*os.File, error) {
	if !isArchive(name) {
		return nil, errNoArtifact
	}
	target := filepath.Join(s.root, filepath.FromSlash(name))
	if path.Base(name) == latestName {
		found := archives(filepath.Dir(target))
		if len(found) == 0 {
			return nil, errNoArtifact
		}
		target = found[0]
	}
	return os.Open(target)
}
