// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"crypto/x509"
	"errors"
	"io"
	"testing"
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
