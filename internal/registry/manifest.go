// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/sluice-cd/sluice/internal/bounded"
)

// errWrongDigest means that what a registry sent for a digest has another one.
var errWrongDigest = errors.New("the registry sent something else than was asked for")

// Digest returns the digest of the manifest or index that tag points to now, as
// algorithm:hex. A registry that does not say it, which the distribution
// specification leaves open, or that knows no HEAD, sends the manifest instead.
func (c *Client) Digest(ctx context.Context, image Image, tag string) (string, error) {
	ref := image.Repository.Tag(tag)
	var digest string
	err := c.pull(ctx, image, func(ctx context.Context, puller *remote.Puller) error {
		head, err := puller.Head(ctx, ref)
		if err == nil {
			digest = head.Digest.String()
			return nil
		}
		if ctx.Err() != nil || !answersNoHead(err) {
			return err
		}
		got, err := puller.Get(ctx, ref)
		if err == nil {
			digest = got.Digest.String()
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("looking up the digest of %s: %w", ref, err)
	}
	return digest, nil
}

// answersNoHead reports whether the error of a HEAD is that the registry answered it without
// the headers that are needed, or does not know the method. Proxies and firewalls
// that do not pass HEAD on say so with any refusal, such as 403 and 404, and servers
// that stumble over it with 500, or 502 by the proxy in front. Those that are
// unavailable, or slow, are not asked for more.
func answersNoHead(err error) bool {
	var refused *transport.Error
	if errors.As(err, &refused) {
		switch code := refused.StatusCode; code {
		case http.StatusUnauthorized, http.StatusRequestTimeout:
			return false
		default:
			return code >= 400 && code <= http.StatusBadGateway
		}
	}
	var limited *RateLimited
	var unreachable *url.Error
	return !errors.As(err, &limited) && !errors.As(err, &unreachable)
}

const (
	// MaxLookUps bounds the manifests that are read of one index that does not say what
	// its images are made for, its own among them.
	MaxLookUps = 20
	// maxNesting bounds indexes in indexes.
	maxNesting = 3
)

// Platforms are what an image or an index can run on.
type Platforms struct {
	// Known are os/arch or os/arch/variant, in ascending order.
	Known []string
	// Unread is how many images and indexes of the index were not asked, since there
	// are more than [MaxLookUps] that it says no platform of, or they nest too deep.
	// They may be for any.
	Unread int
}

// Platforms returns what the manifest or index with the digest can run on. An index
// that does not say so has its images asked, [MaxLookUps] at most. An artifact without
// platforms, such as a chart or a signature, has none.
func (c *Client) Platforms(ctx context.Context, image Image, digest string) (Platforms, error) {
	ref := image.Repository.Digest(digest)
	var found Platforms
	err := c.pull(ctx, image, func(ctx context.Context, puller *remote.Puller) error {
		look := platformCollector{puller: puller, repository: image.Repository, left: MaxLookUps}
		if err := look.read(ctx, digest, 0); err != nil {
			return err
		}
		found = look.found
		return nil
	})
	if err != nil {
		return Platforms{}, fmt.Errorf("looking up the platforms of %s: %w", ref, err)
	}
	slices.Sort(found.Known)
	found.Known = slices.Compact(found.Known)
	return found, nil
}

// platformCollector collects what an image is made for.
type platformCollector struct {
	puller     *remote.Puller
	repository name.Repository
	left       int // manifests to read
	found      Platforms
}

// unknown is how builders mark the entries of an index that are no images, such
// as attestations.
const unknown = "unknown"

// referenceType is the annotation of such entries.
const referenceType = "vnd.docker.reference.type"

// read reads a manifest or index.
func (p *platformCollector) read(ctx context.Context, digest string, depth int) error {
	if p.left == 0 || depth > maxNesting {
		p.found.Unread++
		return nil
	}
	p.left--
	desc, err := p.puller.Get(ctx, p.repository.Digest(digest))
	if err != nil {
		return err
	}
	if desc.MediaType.IsSchema1() {
		return nil // its digest is that of a part of it, and so of nothing that could be checked
	}
	if err := verify(desc.Manifest, digest); err != nil {
		return fmt.Errorf("reading the manifest: %w", err)
	}
	if isIndex(desc) {
		return p.index(ctx, desc.Manifest, depth)
	}
	return p.image(ctx, desc.Manifest)
}

// isIndex reports whether a manifest is an index. Not every server says so: proxies add
// a charset to its media type, and servers of files call it JSON. Then it is what has
// manifests of its own.
func isIndex(desc *remote.Descriptor) bool {
	said, _, _ := strings.Cut(string(desc.MediaType), ";")
	switch is := types.MediaType(strings.ToLower(strings.TrimSpace(said))); {
	case is.IsIndex():
		return true
	case is.IsImage():
		return false
	}
	var manifest struct {
		Manifests []json.RawMessage `json:"manifests"`
	}
	return json.Unmarshal(desc.Manifest, &manifest) == nil && manifest.Manifests != nil
}

func (p *platformCollector) index(ctx context.Context, manifest []byte, depth int) error {
	index, err := v1.ParseIndexManifest(bytes.NewReader(manifest))
	if err != nil {
		return errors.New("reading the index: it is none")
	}
	for _, entry := range index.Manifests {
		switch has := entry.Platform; {
		case has != nil && has.OS == unknown, entry.Annotations[referenceType] != "":
		case has != nil && has.OS != "":
			p.found.Known = append(p.found.Known, platformName(has.OS, has.Architecture, has.Variant))
		case entry.MediaType.IsIndex() || entry.MediaType.IsImage():
			if err := p.read(ctx, entry.Digest.String(), depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxConfig bounds the configuration of an image, which is JSON of a few KiB.
const maxConfig = 8 << 20

// image reads the configuration of an image, which is the only place where a
// manifest without an index says what it is made for.
func (p *platformCollector) image(ctx context.Context, content []byte) error {
	manifest, err := v1.ParseManifest(bytes.NewReader(content))
	if err != nil {
		return errors.New("reading the manifest: it is none")
	}
	if !manifest.Config.MediaType.IsConfig() {
		return nil
	}
	layer, err := p.puller.Layer(ctx, p.repository.Digest(manifest.Config.Digest.String()))
	if err != nil {
		return err
	}
	blob, err := layer.Compressed()
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	defer blob.Close()
	data, err := bounded.ReadAll(blob, maxConfig, fmt.Errorf("it has more than %d bytes", maxConfig))
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	if err := verify(data, manifest.Config.Digest.String()); err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	var config struct{ OS, Architecture, Variant string }
	if err := json.Unmarshal(data, &config); err != nil {
		return errors.New("reading the configuration: it is none")
	}
	if config.OS != "" {
		p.found.Known = append(p.found.Known, platformName(config.OS, config.Architecture, config.Variant))
	}
	return nil
}

// verify reports whether content, all of it, has a digest: what is known of a digest
// is used for long, and a registry may send anything.
func verify(content []byte, digest string) error {
	want, err := v1.NewHash(digest)
	if err != nil {
		return fmt.Errorf("%w: %q is no digest", errWrongDigest, digest)
	}
	hasher, err := v1.Hasher(want.Algorithm)
	if err != nil {
		return fmt.Errorf("%w: %q is no digest", errWrongDigest, digest)
	}
	_, _ = hasher.Write(content) // a hash never fails
	if hex.EncodeToString(hasher.Sum(nil)) != want.Hex {
		return fmt.Errorf("%w: not %s", errWrongDigest, digest)
	}
	return nil
}

func platformName(os, arch, variant string) string {
	name := os + "/" + arch
	if variant != "" {
		name += "/" + variant
	}
	return name
}
