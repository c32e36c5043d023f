// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/sluice-cd/sluice/internal/registry/registrytest"
)

// artifact is an image with a layer at a registry whose answers change.
func artifact(t *testing.T, pushed remote.Taggable, change func(*http.Request, *httptest.ResponseRecorder)) Image {
	t.Helper()
	spec := Spec{Image: registrytest.Serve(t, altered(registrytest.New(t), change)) + "/" + image}
	ref, err := name.NewTag(spec.Image + ":1")
	if err != nil {
		t.Fatal(err)
	}
	switch pushed := pushed.(type) {
	case v1.ImageIndex:
		err = remote.WriteIndex(ref, pushed)
	case v1.Image:
		err = remote.Write(ref, pushed)
	}
	if err != nil {
		t.Fatal(err)
	}
	return imageOf(t, spec, In(registrytest.Namespace))
}

func honest(*http.Request, *httptest.ResponseRecorder) {}

func TestTheLayersOfAnArtifactAreThoseOfItsDigest(t *testing.T) {
	lied := strings.Repeat("x", 1<<20)
	tests := map[string]struct {
		change func(*http.Request, *httptest.ResponseRecorder)
		want   string // of the error; empty is none
	}{
		"an honest registry": {change: honest},
		"another manifest under the digest": {func(r *http.Request, a *httptest.ResponseRecorder) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/sha256:") {
				a.Body.Reset()
				a.Body.WriteString(`{"schemaVersion":2,"layers":[]}`)
				a.Header().Del("Content-Length")
			}
		}, "reading the manifest of"},
		"another layer of the same size": {func(r *http.Request, a *httptest.ResponseRecorder) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/sha256:") {
				n := a.Body.Len()
				a.Body.Reset()
				a.Body.WriteString(lied[:n])
			}
		}, "reading the layer"},
		"a layer without end": {func(r *http.Request, a *httptest.ResponseRecorder) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/sha256:") {
				a.Body.WriteString(lied)
				a.Header().Del("Content-Length")
			}
		}, "reading the layer"},
		"half a layer": {func(r *http.Request, a *httptest.ResponseRecorder) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/sha256:") {
				a.Body.Truncate(a.Body.Len() / 2)
				a.Header().Del("Content-Length")
			}
		}, "reading the layer"},
	}
	pushed := made(t, "linux", "amd64", "")
	digest, err := pushed.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for title, tc := range tests {
		t.Run(title, func(t *testing.T) {
			client, image := newClient(t), artifact(t, pushed, tc.change)
			manifest, err := client.Manifest(context.Background(), image, digest.String())
			if err == nil {
				var data []byte
				data, err = client.Layer(context.Background(), image, manifest.Layers[0])
				if err == nil && int64(len(data)) != manifest.Layers[0].Size {
					t.Errorf("the layer has %d bytes", len(data))
				}
			}
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("the error is %v, want %q", err, tc.want)
			}
		})
	}
}

func TestOfAnIndexTheManifestForLinuxIsRead(t *testing.T) {
	wanted := mutate.Annotations(made(t, "linux", "amd64", ""), map[string]string{"it": "is"}).(v1.Image)
	entry := func(image v1.Image, platform *v1.Platform) mutate.IndexAddendum {
		return mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}}
	}
	amd64, arm64 := &v1.Platform{OS: "linux", Architecture: "amd64"}, &v1.Platform{OS: "linux", Architecture: "arm64"}
	for title, tc := range map[string]struct {
		index v1.ImageIndex
		want  string // of the error
	}{
		"of several":          {mutate.AppendManifests(empty.Index, entry(made(t, "linux", "arm64", ""), arm64), entry(wanted, amd64)), ""},
		"of one for any":      {mutate.AppendManifests(empty.Index, entry(wanted, nil)), ""},
		"of none that fits":   {mutate.AppendManifests(empty.Index, entry(wanted, arm64)), "its index has no manifest for linux/amd64"},
		"of one with nothing": {mutate.IndexMediaType(empty.Index, types.OCIImageIndex), "its index has no manifest"},
	} {
		t.Run(title, func(t *testing.T) {
			digest, err := tc.index.Digest()
			if err != nil {
				t.Fatal(err)
			}
			manifest, err := newClient(t).Manifest(context.Background(), artifact(t, tc.index, honest), digest.String())
			switch {
			case tc.want != "":
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("the error is %v", err)
				}
			case err != nil:
				t.Error(err)
			case manifest.Annotations["it"] != "is":
				t.Errorf("it is another one: %v", manifest.Annotations)
			}
		})
	}
}
