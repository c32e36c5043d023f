// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

var (
	released = source{version: "v1.2.3", revision: "0123abc", created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	amd64    = build{v1.Platform{OS: "linux", Architecture: "amd64"}, []byte("binary for amd64")}
	arm64    = build{v1.Platform{OS: "linux", Architecture: "arm64"}, []byte("binary for arm64")}
)

func TestTwoBuildsHaveOneDigest(t *testing.T) {
	first, second := digest(t, released, amd64, arm64), digest(t, released, amd64, arm64)
	if first != second {
		t.Errorf("one build has the digest %s, the next %s", first, second)
	}
	later := released
	later.created = later.created.Add(time.Second)
	for name, other := range map[string]v1.Hash{
		"another binary":         digest(t, released, amd64, build{arm64.platform, []byte("another")}),
		"the time of the commit": digest(t, later, amd64, arm64),
		"one platform":           digest(t, released, amd64),
	} {
		if other == first {
			t.Errorf("%s: the digest is the same", name)
		}
	}
}

func digest(t *testing.T, s source, builds ...build) v1.Hash {
	t.Helper()
	index, err := assemble(s, builds)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

func TestEachImageRunsItsOwnBinaryAsNobody(t *testing.T) {
	index, err := assemble(released, []build{amd64, arm64})
	if err != nil {
		t.Fatal(err)
	}
	index = written(t, index)
	if err := validate.Index(index); err != nil {
		t.Fatal(err)
	}
	for _, b := range []build{amd64, arm64} {
		images, err := partial.FindImages(index, func(d v1.Descriptor) bool { return d.Platform.Equals(b.platform) })
		if err != nil || len(images) != 1 {
			t.Fatalf("%d images for %s: %v", len(images), b.platform, err)
		}
		config, err := images[0].ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.Config.User != "65532:65532" || config.Architecture != b.platform.Architecture {
			t.Errorf("%s: user %q, architecture %q", b.platform, config.Config.User, config.Architecture)
		}
		files := extract(t, images[0])
		if diff := cmp.Diff(string(b.binary), files[config.Config.Entrypoint[0][1:]]); diff != "" {
			t.Errorf("%s: the entry point (-want +got)\n%s", b.platform, diff)
		}
		if !x509.NewCertPool().AppendCertsFromPEM([]byte(files["etc/ssl/certs/ca-certificates.crt"])) {
			t.Errorf("%s: no certificate authorities", b.platform)
		}
	}
}

// written is what readers of the layout find.
func written(t *testing.T, index v1.ImageIndex) v1.ImageIndex {
	t.Helper()
	dir := t.TempDir()
	if err := write(index, dir); err != nil {
		t.Fatal(err)
	}
	top, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	found, err := partial.FindIndexes(top, func(v1.Descriptor) bool { return true })
	if err != nil || len(found) != 1 {
		t.Fatalf("%d indexes in the layout: %v", len(found), err)
	}
	return found[0]
}

func extract(t *testing.T, img v1.Image) map[string]string {
	t.Helper()
	stream := mutate.Extract(img)
	defer stream.Close()
	files := map[string]string{}
	for r := tar.NewReader(stream); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = string(content)
	}
}

func TestWhatDecidesTheDigestIsTold(t *testing.T) {
	page := fstest.MapFS{"index.html": {Data: []byte("<p>")}, "assets/a.js": {Data: []byte("a")}}
	first, err := hashOfPage(page)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := hashOfPage(page); again != first {
		t.Errorf("one page has two hashes: %s and %s", first, again)
	}
	for name, other := range map[string]fstest.MapFS{
		"another content": {"index.html": {Data: []byte("<p>")}, "assets/a.js": {Data: []byte("b")}},
		"another name":    {"index.html": {Data: []byte("<p>")}, "assets/b.js": {Data: []byte("a")}},
		"one file less":   {"index.html": {Data: []byte("<p>")}},
	} {
		if hash, err := hashOfPage(other); err != nil || hash == first {
			t.Errorf("%s: the hash is %s, %v", name, hash, err)
		}
	}
	if _, err := hashOfPage(fstest.MapFS{".keep": {}}); err == nil || !strings.Contains(err.Error(), "run make ui") {
		t.Errorf("without a page: %v", err)
	}
}

func TestAnImageOfWhatIsNotCommittedSaysSo(t *testing.T) {
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		args = append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"}, args...)
		if out, err := exec.CommandContext(t.Context(), "git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	git("init", "-q")
	git("commit", "-q", "--allow-empty", "-m", "first")
	clean, err := commit(t.Context(), dir)
	if err != nil || clean.dirty || strings.HasSuffix(clean.revision, "-dirty") {
		t.Errorf("of a clean checkout: %+v, %v", clean, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dirty, err := commit(t.Context(), dir)
	if err != nil || !dirty.dirty || dirty.revision != clean.revision+"-dirty" {
		t.Errorf("of one with a new file: %+v, %v", dirty, err)
	}
	if err := dirty.pushable(options{push: "registry.example.com/sluice:v1"}); err == nil || !strings.Contains(err.Error(), "not committed") {
		t.Errorf("pushing it: %v", err)
	}
	for _, o := range []options{{}, {push: "registry.example.com/sluice:v1", allowDirty: true}} {
		if err := dirty.pushable(o); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
