// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// ErrTooLarge means that something has more than is copied. Nothing of it was.
var ErrTooLarge = errors.New("too large to be copied")

const (
	// maxCopy bounds what one copy transfers, in bytes.
	maxCopy = 10 << 30
	// maxCopied bounds its manifests and indexes.
	maxCopied = 200
)

// Copy has the repository of to hold what the one of from has by a digest: a manifest with
// its blobs, or an index with all that it lists. It has no tag there yet. Blobs that are
// there are not sent again, so that a copy that was interrupted goes on. to must ask for
// the right to write.
func (c *Client) Copy(ctx context.Context, from, to Image, digest string) error {
	err := c.pull(ctx, from, func(ctx context.Context, puller *remote.Puller) error {
		content := contents{puller: puller, repository: from.Repository, bytes: maxCopy, manifests: maxCopied}
		if err := content.measure(ctx, digest, 0); err != nil {
			return err
		}
		got, err := puller.Get(ctx, from.Repository.Digest(digest))
		if err != nil {
			return err
		}
		var whole remote.Taggable
		if got.MediaType.IsIndex() {
			whole, err = got.ImageIndex()
		} else {
			whole, err = got.Image()
		}
		if err != nil {
			return err
		}
		return c.push(ctx, to, func(ctx context.Context, pusher *remote.Pusher) error {
			return pusher.Push(ctx, to.Repository.Digest(digest), whole)
		})
	})
	if err != nil {
		return fmt.Errorf("copying %s to %s: %w", from.Repository.Digest(digest), to.Repository, err)
	}
	return nil
}

// Tag points a tag at a manifest or index that its repository has. Whatever it pointed at
// before stays, without it. image must ask for the right to write.
func (c *Client) Tag(ctx context.Context, image Image, digest, tag string) error {
	ref := image.Repository.Tag(tag)
	err := c.pull(ctx, image, func(ctx context.Context, puller *remote.Puller) error {
		got, err := puller.Get(ctx, image.Repository.Digest(digest))
		if err != nil {
			return err
		}
		return c.push(ctx, image, func(ctx context.Context, pusher *remote.Pusher) error { return pusher.Put(ctx, ref, got) })
	})
	if err != nil {
		return fmt.Errorf("pointing %s at %s: %w", ref, digest, err)
	}
	if c.tagged != nil {
		c.tagged(ref.Name())
	}
	return nil
}

// push is [Client.Call] for what go-containerregistry writes.
func (c *Client) push(ctx context.Context, image Image, call func(context.Context, *remote.Pusher) error) error {
	return c.Call(ctx, image, func(ctx context.Context, session http.RoundTripper) error {
		pusher, err := remote.NewPusher(remote.WithTransport(session))
		if err != nil {
			return err
		}
		return call(ctx, pusher)
	})
}

// contents adds up what a copy transfers.
type contents struct {
	puller     *remote.Puller
	repository name.Repository
	bytes      int64 // that may come
	manifests  int   // that may come
}

// measure reads a manifest or index and what it lists, and reports whether that is within
// bounds. That blobs have the size that manifests say is checked when they are read.
func (c *contents) measure(ctx context.Context, digest string, depth int) error {
	if c.manifests--; c.manifests < 0 || depth > maxNesting {
		return fmt.Errorf("%w: it has more than %d manifests, or indexes in indexes", ErrTooLarge, maxCopied)
	}
	got, err := c.puller.Get(ctx, c.repository.Digest(digest))
	switch {
	case err != nil:
		return err
	case got.MediaType.IsSchema1():
		return errors.New("its manifest has schema 1, which is not copied: build it with a newer tool")
	}
	if err := verify(got.Manifest, digest); err != nil {
		return fmt.Errorf("reading the manifest: %w", err)
	}
	if !got.MediaType.IsIndex() {
		manifest, err := v1.ParseManifest(bytes.NewReader(got.Manifest))
		if err != nil {
			return errors.New("reading the manifest: it is none")
		}
		return c.add(append(manifest.Layers, manifest.Config))
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(got.Manifest))
	if err != nil {
		return errors.New("reading the index: it is none")
	}
	for _, entry := range index.Manifests {
		if !entry.MediaType.IsIndex() && !entry.MediaType.IsImage() {
			err = c.add([]v1.Descriptor{entry})
		} else {
			err = c.measure(ctx, entry.Digest.String(), depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *contents) add(blobs []v1.Descriptor) error {
	for _, blob := range blobs {
		if blob.Size < 0 || blob.Size > c.bytes {
			return fmt.Errorf("%w: it has more than %d GiB", ErrTooLarge, maxCopy>>30)
		}
		c.bytes -= blob.Size
	}
	return nil
}
