// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/sluice-cd/sluice/internal/bounded"
)

// errManifest means that what a digest names is nothing that has layers.
var errManifest = errors.New("it is no artifact")

// defaultPlatform is that of the manifest which is read of an index of several: the one
// that go-containerregistry takes, and so Flux.
var defaultPlatform = v1.Platform{OS: "linux", Architecture: "amd64"}

// Manifest returns the manifest of the artifact with a digest: its annotations, and the
// layers that [Client.Layer] reads. Of an index it is that of the first manifest which is
// for linux/amd64, or for no platform. What the registry sends has the digest, or is an
// error.
func (c *Client) Manifest(ctx context.Context, image Image, digest string) (*v1.Manifest, error) {
	ref := image.Repository.Digest(digest)
	var manifest *v1.Manifest
	err := c.pull(ctx, image, func(ctx context.Context, puller *remote.Puller) (err error) {
		manifest, err = readManifest(ctx, puller, image, digest, maxNesting)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the manifest of %s: %w", ref, err)
	}
	return manifest, nil
}

// readManifest follows indexes to a manifest, so many at most.
func readManifest(ctx context.Context, puller *remote.Puller, image Image, digest string, indexes int) (*v1.Manifest, error) {
	got, err := puller.Get(ctx, image.Repository.Digest(digest))
	if err != nil {
		return nil, err
	}
	if got.MediaType.IsSchema1() {
		return nil, fmt.Errorf("%w: its manifest has schema 1; push it with a newer tool", errManifest)
	}
	if err := verify(got.Manifest, digest); err != nil {
		return nil, err
	}
	if !isIndex(got) {
		manifest, err := v1.ParseManifest(bytes.NewReader(got.Manifest))
		if err != nil {
			return nil, fmt.Errorf("%w: its manifest cannot be read", errManifest)
		}
		return manifest, nil
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(got.Manifest))
	if err != nil || indexes == 0 {
		return nil, fmt.Errorf("%w: its index cannot be read, or is in too many others", errManifest)
	}
	for _, entry := range index.Manifests {
		if (entry.MediaType.IsImage() || entry.MediaType.IsIndex()) &&
			(entry.Platform == nil || entry.Platform.Satisfies(defaultPlatform)) {
			return readManifest(ctx, puller, image, entry.Digest.String(), indexes-1)
		}
	}
	return nil, fmt.Errorf("%w: its index has no manifest for %s", errManifest, defaultPlatform.String())
}

// Layer returns the bytes of a layer of a manifest, as they are. They have the size and
// the digest that the manifest says; nothing else is read. The caller has found the size
// bearable.
func (c *Client) Layer(ctx context.Context, image Image, layer v1.Descriptor) ([]byte, error) {
	ref := image.Repository.Digest(layer.Digest.String())
	var data []byte
	err := c.pull(ctx, image, func(ctx context.Context, puller *remote.Puller) error {
		found, err := puller.Layer(ctx, ref)
		if err != nil {
			return err
		}
		blob, err := found.Compressed()
		if err != nil {
			return err
		}
		defer blob.Close()
		data, err = readLayer(blob, layer)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the layer %s: %w", ref, err)
	}
	return data, nil
}

// readLayer reads a layer whole, and checks what the registry sent.
func readLayer(blob io.Reader, layer v1.Descriptor) ([]byte, error) {
	if layer.Size < 0 {
		return nil, fmt.Errorf("%w: its manifest says a size of %d", errManifest, layer.Size)
	}
	wrongSize := fmt.Errorf("%w: it has not the %d bytes that its manifest says", errWrongDigest, layer.Size)
	data, err := bounded.ReadAll(blob, layer.Size, wrongSize) // memory grows with what comes: the size may be a lie
	switch {
	case err != nil:
		return nil, err
	case int64(len(data)) != layer.Size:
		return nil, wrongSize
	}
	return data, verify(data, layer.Digest.String())
}
