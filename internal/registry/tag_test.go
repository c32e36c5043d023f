// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/sluice-cd/sluice/internal/registry/registrytest"
)

// writable is an image of a registry without credentials, which is written to.
func writable(t *testing.T, repository string) Image {
	t.Helper()
	parsed, err := name.NewRepository(repository)
	if err != nil {
		t.Fatal(err)
	}
	return Image{Repository: parsed, Access: In(registrytest.Namespace), Timeout: time.Minute, Write: true}
}

// The images of an index that is copied were left behind once they were taken for one
// image of this platform.
func TestAnIndexIsCopiedWhole(t *testing.T) {
	host := registrytest.Serve(t, registrytest.New(t))
	inner, err := random.Index(64, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	from, to := writable(t, host+"/team/app"), writable(t, host+"/deploy/app")
	if err := remote.WriteIndex(from.Repository.Tag("1"), inner); err != nil {
		t.Fatal(err)
	}
	digest, err := inner.Digest()
	if err != nil {
		t.Fatal(err)
	}
	client := newClient(t)
	if err := client.Copy(t.Context(), from, to, digest.String()); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Digest(t.Context(), to, "production"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a copy has a tag: %v", err)
	}
	if err := client.Tag(t.Context(), to, digest.String(), "production"); err != nil {
		t.Fatal(err)
	}
	if got, err := client.Digest(t.Context(), to, "production"); err != nil || got != digest.String() {
		t.Errorf("the tag is at %s, %v", got, err)
	}
	manifest, err := inner.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range manifest.Manifests {
		image, err := remote.Image(to.Repository.Digest(entry.Digest.String()))
		if err != nil {
			t.Fatal(err)
		}
		layers, err := image.Layers()
		if err != nil || len(layers) != 1 {
			t.Fatalf("%d layers, %v", len(layers), err)
		}
		if found, err := remote.Layer(to.Repository.Digest(digestOf(t, layers[0]).String())); err != nil ||
			digestOf(t, found) != digestOf(t, layers[0]) {
			t.Errorf("a layer is missing: %v", err)
		}
	}
}

func digestOf(t *testing.T, layer v1.Layer) v1.Hash {
	t.Helper()
	digest, err := layer.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func TestWhatIsTooLargeIsNotCopied(t *testing.T) {
	host := registrytest.Serve(t, registrytest.New(t))
	from, to := writable(t, host+"/team/app"), writable(t, host+"/deploy/app")
	many, err := random.Index(8, 1, maxCopied)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(from.Repository.Tag("1"), many); err != nil {
		t.Fatal(err)
	}
	digest, err := many.Digest()
	if err != nil {
		t.Fatal(err)
	}
	err = newClient(t).Copy(t.Context(), from, to, digest.String())
	if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "more than 200 manifests") {
		t.Errorf("got %v", err)
	}
	for name, sizes := range map[string][]int64{"one blob": {maxCopy + 1}, "all together": {maxCopy, 1}, "a negative size": {-1}} {
		var blobs []v1.Descriptor
		for _, size := range sizes {
			blobs = append(blobs, v1.Descriptor{Size: size})
		}
		if err := (&contents{bytes: maxCopy}).add(blobs); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A session that may only read was used to write.
func TestASessionThatWritesIsOneOfItsOwn(t *testing.T) {
	image := writable(t, "registry.example.com/app")
	reads := image
	reads.Write = false
	if image.ID() == reads.ID() {
		t.Error("both have one session")
	}
}
