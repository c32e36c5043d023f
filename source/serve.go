// SPDX-License-Identifier: Apache-2.0

package source

import (
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

const (
	// maxKept bounds the entries of all views that are kept: some 50 MiB. Of an artifact
	// without a view, consumers read the file.
	maxKept = 500_000
	// entryBytes is about what an entry takes of that.
	entryBytes = 100
	// maxHeld bounds the files of one view that are in memory, in bytes.
	maxHeld = 8 << 20
)

// Publish lets the [Opener] read an artifact's files from their view. Of the views
// of all sources, those published last are kept.
func (s *Store) Publish(key Key, artifact *meta.Artifact, v *View) {
	if v.held > maxHeld {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.published++
	views := slices.DeleteFunc(slices.Clone(s.views[key]), func(p publishedView) bool { return p.digest == artifact.Digest })
	views = append([]publishedView{{artifact.Digest, v, s.published}}, views...)
	s.views[key] = views[:min(len(views), s.Retention.Records)]
	s.bound()
}

// bound drops the oldest views until the rest is few enough. The lock is held.
func (s *Store) bound() {
	kept := 0
	for _, views := range s.views {
		for _, p := range views {
			kept += p.view.size
		}
	}
	for kept > maxKept {
		var oldest Key
		last := s.published
		for key, views := range s.views {
			if p := views[len(views)-1]; p.number < last {
				oldest, last = key, p.number
			}
		}
		if last == s.published {
			return // one is left
		}
		views := s.views[oldest]
		kept -= views[len(views)-1].view.size
		if s.views[oldest] = views[:len(views)-1]; len(views) == 1 {
			delete(s.views, oldest)
		}
	}
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
func (s *Store) Holds(artifact *meta.Artifact) bool { return s.verify(artifact) == nil }

// damaged begins what is known of a file that has not the digest which follows.
const damaged = "damaged "

// verify returns an error for an artifact that is not in the store, which is [ErrArtifactMissing],
// or not with the digest it claims, which is [ErrDigestMismatch]. The bytes are read once in the
// life of a process, and looked after by size from then on.
func (s *Store) verify(artifact *meta.Artifact) error {
	file, ok := s.open(artifact)
	if !ok {
		return ErrArtifactMissing
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if artifact.Size != nil && info.Size() != *artifact.Size {
		return fmt.Errorf("%w %s: it has %d bytes, not %d", ErrDigestMismatch, artifact.Digest, info.Size(), *artifact.Size)
	}
	s.mu.Lock()
	seen := s.verified[artifact.Path]
	s.mu.Unlock()
	switch seen {
	case artifact.Digest:
		return nil
	case damaged + artifact.Digest:
		return fmt.Errorf("%w %s", ErrDigestMismatch, artifact.Digest)
	}
	expected, err := digest.Parse(artifact.Digest)
	if err != nil {
		return err
	}
	verifier := expected.Verifier()
	if _, err := io.Copy(verifier, file); err != nil {
		return err
	}
	if !verifier.Verified() {
		s.mu.Lock()
		s.verified[artifact.Path] = damaged + artifact.Digest // until it is stored anew
		s.mu.Unlock()
		return fmt.Errorf("%w %s", ErrDigestMismatch, artifact.Digest)
	}
	s.mu.Lock()
	s.verified[artifact.Path] = artifact.Digest
	s.mu.Unlock()
	return nil
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
		hasSuffix(name) && !strings.HasPrefix(path.Base(name), ".")
}

// Remove deletes all artifacts of a source.
func (s *Store) Remove(key Key) error {
	s.mu.Lock()
	delete(s.views, key)
	for at := range s.verified {
		if path.Dir(at) == key.dir() {
			delete(s.verified, at)
		}
	}
	s.mu.Unlock()
	if err := os.RemoveAll(filepath.Join(s.root, filepath.FromSlash(key.dir()))); err != nil {
		return fmt.Errorf("removing artifacts of %s: %w", key.dir(), err)
	}
	s.account(key)
	return nil
}

// ServeHTTP serves artifacts by their path, and nothing else: no index of what
// there is and no name that can be guessed. A client that may have an artifact reads its URL
// from the status of the source.
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	file, ok := s.open(&meta.Artifact{Path: strings.TrimPrefix(r.URL.Path, "/")})
	if !ok {
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
