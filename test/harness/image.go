// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
)

// PushImage pushes an image without layers whose config carries the labels, and
// returns its digest.
func (p *Playground) PushImage(ctx context.Context, repository, tag string, labels map[string]string) (string, error) {
	config := v1.Config{Labels: map[string]string{"tag": tag}}
	for k, v := range labels {
		config.Labels[k] = v
	}
	img, err := mutate.Config(empty.Image, config)
	if err != nil {
		return "", err
	}
	return p.Push(ctx, repository, tag, img)
}

// Manifests is an artifact of one file, as `flux push artifact` makes it of a folder.
func Manifests(file, manifests, revision string) (v1.Image, error) {
	return Artifact(map[string]string{file: manifests}, revision)
}

// Artifact is an artifact of files (path to content), as `flux push artifact` makes it of a folder.
func Artifact(contents map[string]string, revision string) (v1.Image, error) {
	var layer bytes.Buffer
	zip := gzip.NewWriter(&layer)
	files := tar.NewWriter(zip)
	var err error
	for _, file := range slices.Sorted(maps.Keys(contents)) {
		if err == nil {
			err = files.WriteHeader(&tar.Header{Name: file, Mode: 0o600, Size: int64(len(contents[file]))})
		}
		if err == nil {
			_, err = files.Write([]byte(contents[file]))
		}
	}
	if err := errors.Join(err, files.Close(), zip.Close()); err != nil {
		return nil, err
	}
	const mediaType = "application/vnd.cncf.flux.content.v1.tar+gzip"
	image, err := mutate.Append(empty.Image, mutate.Addendum{Layer: static.NewLayer(layer.Bytes(), mediaType), MediaType: mediaType})
	if err != nil {
		return nil, err
	}
	return mutate.Annotations(image, map[string]string{"org.opencontainers.image.revision": revision}).(v1.Image), nil
}

// Push pushes img as repository:tag to the playground's registry and returns
// its digest.
func (p *Playground) Push(ctx context.Context, repository, tag string, img v1.Image) (string, error) {
	ref, err := name.NewTag(fmt.Sprintf("%s/%s:%s", p.Registry, repository, tag), name.Insecure)
	if err != nil {
		return "", err
	}
	if err := remote.Write(ref, img, remote.WithContext(ctx)); err != nil {
		return "", fmt.Errorf("pushing %s: %w", ref, err)
	}
	digest, err := img.Digest()
	return digest.String(), err
}
