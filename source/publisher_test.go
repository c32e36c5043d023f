// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/source"
)

// snapshot is one of files in memory.
func snapshot(t *testing.T, revision string, files map[string]string) source.Snapshot {
	t.Helper()
	return source.Snapshot{
		Key: key, Name: revision, Revision: "main@" + revision,
		Open: func(*budget.Grant) (source.Files, error) {
			content, err := tree.FromStrings(files)
			if err != nil {
				return nil, err
			}
			return source.FilesOf(content)
		},
	}
}

func TestAnArtifactIsCurrentForAsLongAsNothingChanges(t *testing.T) {
	files := map[string]string{"a.yaml": "a: 1\n"}
	tests := map[string]struct {
		change func(s *source.Snapshot, recorded *source.Recorded, store *source.Store)
		want   bool
	}{
		"nothing changed":  {change: func(*source.Snapshot, *source.Recorded, *source.Store) {}, want: true},
		"another revision": {change: func(s *source.Snapshot, _ *source.Recorded, _ *source.Store) { s.Revision = "main@2" }},
		"other ignore rules": {
			change: func(s *source.Snapshot, _ *source.Recorded, _ *source.Store) { s.Ignore = ptr.To("*.md") },
		},
		"ignore rules that were taken away": {
			change: func(_ *source.Snapshot, r *source.Recorded, _ *source.Store) { r.Ignore = ptr.To("*.md") },
		},
		"the archive is gone": {
			change: func(_ *source.Snapshot, _ *source.Recorded, store *source.Store) { _ = store.Remove(key) },
		},
		"no artifact yet": {change: func(_ *source.Snapshot, r *source.Recorded, _ *source.Store) { r.Artifact = nil }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			store, _ := serve(t, t.TempDir())
			p := source.Publisher{Store: store}
			s := snapshot(t, "1", files)
			artifact, err := p.Publish(t.Context(), s, source.Recorded{})
			if err != nil {
				t.Fatal(err)
			}
			recorded := source.Recorded{Artifact: artifact}
			tc.change(&s, &recorded, store)
			if got := p.IsCurrent(s, recorded); got != tc.want {
				t.Errorf("IsCurrent = %v, want %v", got, tc.want)
			}
		})
	}
}

// What was changed on the disk was made anew without a word.
func TestAFileThatSomebodyChangedIsTold(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(file string, s *source.Snapshot) error
		want   string
	}{
		"of the same size": {func(file string, _ *source.Snapshot) error {
			content, err := os.ReadFile(file)
			if err == nil {
				content[len(content)/2] ^= 1
				err = os.WriteFile(file, content, 0o600)
			}
			return err
		}, "failed to verify integrity of artifact: artifact does not match its digest sha256:"},
		"a shorter one": {func(file string, _ *source.Snapshot) error { return os.Truncate(file, 1) }, ": it has 1 bytes, not "},
		"nothing":       {func(string, *source.Snapshot) error { return nil }, ""},
		"one that is gone, as after a restart without a disk": {func(file string, _ *source.Snapshot) error { return os.Remove(file) }, ""},
		"one that another would take the place of": {func(file string, s *source.Snapshot) error {
			s.Ignore = ptr.To("*.md")
			return os.Truncate(file, 1)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			store, _ := serve(t, dir)
			s := snapshot(t, "1", map[string]string{"a.yaml": "a: 1\n"})
			artifact, err := (&source.Publisher{Store: store}).Publish(t.Context(), s, source.Recorded{})
			if err != nil {
				t.Fatal(err)
			}
			if err := tc.change(filepath.Join(dir, filepath.FromSlash(artifact.Path)), &s); err != nil {
				t.Fatal(err)
			}
			restarted, _ := serve(t, dir)
			events := (&source.Publisher{Store: restarted}).Damage(s, source.Recorded{Artifact: artifact})
			switch {
			case tc.want == "" && len(events) == 0:
			case tc.want == "" || len(events) != 1:
				t.Errorf("told %+v", events)
			case events[0].Reason != "ArtifactVerificationFailed" || events[0].Type != "Warning" || !strings.Contains(events[0].Message, tc.want):
				t.Errorf("told %+v, want %s", events[0], tc.want)
			}
		})
	}
}

func TestPublishKeepsTheTimeOfAnArtifactThatWasOnlyMissing(t *testing.T) {
	then := metav1.NewTime(time.Unix(1000, 0))
	tests := map[string]struct {
		files    map[string]string
		revision string
		want     bool
	}{
		"the same files at the same revision": {map[string]string{"a.yaml": "a: 1\n"}, "1", true},
		"the same files at another revision":  {map[string]string{"a.yaml": "a: 1\n"}, "2", false},
		"other files at the same revision":    {map[string]string{"a.yaml": "a: 2\n"}, "1", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			store, _ := serve(t, t.TempDir())
			p := source.Publisher{Store: store}
			before, err := p.Publish(t.Context(), snapshot(t, "1", map[string]string{"a.yaml": "a: 1\n"}), source.Recorded{})
			if err != nil {
				t.Fatal(err)
			}
			before.LastUpdateTime = then
			after, err := p.Publish(t.Context(), snapshot(t, tc.revision, tc.files), source.Recorded{Artifact: before})
			if err != nil {
				t.Fatal(err)
			}
			if kept := after.LastUpdateTime.Equal(&then); kept != tc.want {
				t.Errorf("it keeps the time: %v, want %v", kept, tc.want)
			}
		})
	}
}

// TestAnEarlierProcessesArtifactIsShared opens the files of an artifact that another
// store on the same directory made.
func TestAnEarlierProcessesArtifactIsShared(t *testing.T) {
	dir := t.TempDir()
	earlier, _ := serve(t, dir)
	s := snapshot(t, "1", map[string]string{"a.yaml": "a: 1\n"})
	artifact, err := (&source.Publisher{Store: earlier}).Publish(t.Context(), s, source.Recorded{})
	if err != nil {
		t.Fatal(err)
	}
	store, _ := serve(t, dir)
	p := source.Publisher{Store: store}
	if p.IsShared(artifact) {
		t.Error("it is shared before anybody shared it")
	}
	if err := p.Share(t.Context(), s, artifact); err != nil || !p.IsShared(artifact) {
		t.Errorf("shared %v, error %v", p.IsShared(artifact), err)
	}
	want := map[string]string{"a.yaml": "a: 1\n"}
	if diff := cmp.Diff(want, contentsOf(t, store.Published(artifact.Digest))); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// TestATarballBecomesAnArtifact publishes what a registry or a bucket hands out.
func TestATarballBecomesAnArtifact(t *testing.T) {
	var data bytes.Buffer
	zip := gzip.NewWriter(&data)
	w := tar.NewWriter(zip)
	for _, f := range []struct{ name, content string }{{"apps/a.yaml", "a: 1\n"}, {"apps/same.yaml", "a: 1\n"}, {"README.md", "no\n"}} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: 0o644, Size: int64(len(f.content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	s := source.Snapshot{Key: key, Name: "sha256-1", Revision: "latest@sha256:1", Ignore: ptr.To("*.md")}
	s.Open = func(*budget.Grant) (source.Files, error) {
		content, err := tree.FromTar(&data, tree.Limits{})
		if err != nil {
			return nil, err
		}
		return source.FilesOf(content)
	}
	store, _ := serve(t, t.TempDir())
	artifact, err := (&source.Publisher{Store: store}).Publish(t.Context(), s, source.Recorded{})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := source.NewOpener(store).Open(t.Context(), "apps", artifact)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"apps/a.yaml": "a: 1\n", "apps/same.yaml": "a: 1\n"}
	if diff := cmp.Diff(want, contentsOf(t, opened)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestPublishingTakesOfTheShareOfItsNamespace(t *testing.T) {
	store, _ := serve(t, t.TempDir())
	memory := budget.New(32 << 20)
	held, err := memory.Acquire(t.Context(), key.Namespace, memory.NamespaceLimit())
	if err != nil {
		t.Fatal(err)
	}
	p := source.Publisher{Store: store, Memory: memory}
	s := snapshot(t, "1", map[string]string{"a.yaml": "a: 1\n"})
	s.Open = func(*budget.Grant) (source.Files, error) {
		t.Error("the files were opened before there was memory for them")
		return nil, fs.ErrClosed
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := p.Publish(ctx, s, source.Recorded{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Publish: error %v", err)
	}
	if err := p.Share(ctx, s, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Share: error %v", err)
	}
	held.Release()
	if _, err := p.Publish(t.Context(), snapshot(t, "1", map[string]string{"a.yaml": "a: 1\n"}), source.Recorded{}); err != nil {
		t.Error(err)
	}
	if _, err := memory.Acquire(t.Context(), key.Namespace, memory.NamespaceLimit()); err != nil {
		t.Errorf("it keeps memory: %v", err)
	}
}

func TestFilesOfFindsNoOtherContent(t *testing.T) {
	content, err := tree.FromStrings(map[string]string{"a.yaml": "a: 1\n"})
	if err != nil {
		t.Fatal(err)
	}
	files, err := source.FilesOf(content)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := files.ReadBlob(tree.BlobHash([]byte("b"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if size, err := files.BlobSize(tree.BlobHash([]byte("a: 1\n"))); err != nil || size != 5 {
		t.Errorf("size %d, error %v", size, err)
	}
}
