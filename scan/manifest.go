package scan

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Digest returns the digest of the manifest or index that tag points to now, as
// algorithm:hex.
func (c *Client) Digest(ctx context.Context, target Target, access Access, tag string) (string, error) {
	ref := target.Repository.Tag(tag)
	var digest string
	err := c.pull(ctx, target, access, func(ctx context.Context, puller *remote.Puller) error {
		head, err := puller.Head(ctx, ref)
		if err == nil {
			digest = head.Digest.String()
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("looking up the digest of %s: %w", ref, err)
	}
	return digest, nil
}

// Platforms returns what the manifest or index with the digest can run on, as
// os/arch or os/arch/variant, in ascending order. An artifact without platforms,
// such as a chart or a signature, has none.
func (c *Client) Platforms(ctx context.Context, target Target, access Access, digest string) ([]string, error) {
	ref := target.Repository.Digest(digest)
	var found []string
	err := c.pull(ctx, target, access, func(ctx context.Context, puller *remote.Puller) error {
		desc, err := puller.Get(ctx, ref)
		if err != nil {
			return err
		}
		if desc.MediaType.IsIndex() {
			found, err = indexPlatforms(desc.Manifest)
			return err
		}
		found, err = imagePlatform(ctx, puller, desc, target)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking up the platforms of %s: %w", ref, err)
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// unknown is how builders mark the entries of an index that are no images, such
// as attestations.
const unknown = "unknown"

func indexPlatforms(manifest []byte) ([]string, error) {
	index, err := v1.ParseIndexManifest(bytes.NewReader(manifest))
	if err != nil {
		return nil, fmt.Errorf("reading the index: %w", err)
	}
	var found []string
	for _, entry := range index.Manifests {
		if p := entry.Platform; p != nil && p.OS != "" && p.OS != unknown {
			found = append(found, platformName(p.OS, p.Architecture, p.Variant))
		}
	}
	return found, nil
}

// maxConfig bounds the configuration of an image, which is JSON of a few KiB.
const maxConfig = 8 << 20

// imagePlatform reads the configuration of an image, which is the only place
// where a manifest without an index says what it is made for.
func imagePlatform(ctx context.Context, puller *remote.Puller, desc *remote.Descriptor, target Target) ([]string, error) {
	manifest, err := v1.ParseManifest(bytes.NewReader(desc.Manifest))
	if err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	if !manifest.Config.MediaType.IsConfig() {
		return nil, nil
	}
	layer, err := puller.Layer(ctx, target.Repository.Digest(manifest.Config.Digest.String()))
	if err != nil {
		return nil, err
	}
	blob, err := layer.Compressed()
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	defer blob.Close()
	var config struct{ OS, Architecture, Variant string }
	if err := json.NewDecoder(io.LimitReader(blob, maxConfig)).Decode(&config); err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	if config.OS == "" {
		return nil, nil
	}
	return []string{platformName(config.OS, config.Architecture, config.Variant)}, nil
}

func platformName(os, arch, variant string) string {
	name := os + "/" + arch
	if variant != "" {
		name += "/" + variant
	}
	return name
}
