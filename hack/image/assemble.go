// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// nonroot is the user and group of the process; manifests name the same.
const nonroot = "65532"

// source is what the image says about where it comes from.
type source struct {
	version, revision string
	created           time.Time
	dirty             bool // the checkout has what the revision has not
}

// labels are the annotations that the OCI image specification defines, as labels of
// each image and annotations of the index.
func (s source) labels() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       "sluice",
		"org.opencontainers.image.description": "GitOps releases for Kubernetes: from a pushed image to a promoted canary",
		"org.opencontainers.image.source":      "https://github.com/sluice-cd/sluice",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.version":     s.version,
		"org.opencontainers.image.revision":    s.revision,
		"org.opencontainers.image.created":     s.created.Format(time.RFC3339),
	}
}

// build is the binary for a platform.
type build struct {
	platform v1.Platform
	binary   []byte
}

// assemble makes an index with an image for each build. What goes in decides every
// byte of what comes out.
func assemble(s source, builds []build) (v1.ImageIndex, error) {
	certificates, err := layer(s, file{"etc/ssl/certs/ca-certificates.crt", 0o644, roots()},
		file{"etc/passwd", 0o644, []byte("nonroot:x:" + nonroot + ":" + nonroot + "::/:/sbin/nologin\n")})
	if err != nil {
		return nil, err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	index = mutate.Annotations(index, s.labels()).(v1.ImageIndex)
	for _, b := range builds {
		binary, err := layer(s, file{"usr/local/bin/sluice", 0o755, b.binary})
		if err != nil {
			return nil, err
		}
		img, err := image(s, b.platform, certificates, binary)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &b.platform}})
	}
	return index, nil
}

func image(s source, platform v1.Platform, layers ...v1.Layer) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.ConfigFile(img, &v1.ConfigFile{
		OS: platform.OS, Architecture: platform.Architecture,
		Created: v1.Time{Time: s.created},
		RootFS:  v1.RootFS{Type: "layers"},
		Config: v1.Config{
			Entrypoint: []string{"/usr/local/bin/sluice"},
			User:       nonroot + ":" + nonroot,
			Env:        []string{"PATH=/usr/local/bin"},
			Labels:     s.labels(),
		},
	})
	if err != nil {
		return nil, err
	}
	for _, l := range layers {
		img, err = mutate.Append(img, mutate.Addendum{Layer: l,
			History: v1.History{Created: v1.Time{Time: s.created}, CreatedBy: "hack/image"}})
		if err != nil {
			return nil, err
		}
	}
	return img, nil
}

// file is a regular file of root's that everybody may read.
type file struct {
	name    string // without a leading slash
	mode    int64
	content []byte
}

// layer is a gzipped archive of files with the commit's time.
func layer(s source, files ...file) (v1.Layer, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, f := range files {
		header := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content)), ModTime: s.created, Format: tar.FormatPAX}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
}

// roots are the certificate authorities that Mozilla trusts without conditions, as
// PEM.
func roots() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue // a file of certificates cannot say on which terms one is trusted
		}
		_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a buffer takes everything
	}
	return out.Bytes()
}
