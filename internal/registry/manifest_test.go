// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/sluice-cd/sluice/internal/registry/registrytest"
)

// made returns an image for a platform.
func made(t *testing.T, os, arch, variant string) v1.Image {
	t.Helper()
	image, err := random.Image(16, 1)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config.OS, config.Architecture, config.Variant = os, arch, variant
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return image
}

func index(t *testing.T, platforms ...*v1.Platform) v1.ImageIndex {
	t.Helper()
	index := v1.ImageIndex(empty.Index)
	for _, platform := range platforms {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: made(t, "linux", "amd64", ""), Descriptor: v1.Descriptor{Platform: platform},
		})
	}
	return index
}

func TestPlatforms(t *testing.T) {
	artifact := mutate.ConfigMediaType(made(t, "linux", "amd64", ""), "application/vnd.cncf.helm.config.v1+json")
	tests := map[string]struct {
		pushed any
		want   []string
	}{
		"an image says it in its configuration": {made(t, "linux", "arm64", ""), []string{"linux/arm64"}},
		"a variant is a part of it":             {made(t, "linux", "arm", "v7"), []string{"linux/arm/v7"}},
		"an index lists them": {
			index(t, &v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}, &v1.Platform{OS: "linux", Architecture: "amd64"}),
			[]string{"linux/amd64", "linux/arm64/v8"}},
		"attestations in an index are none": {
			index(t, &v1.Platform{OS: "linux", Architecture: "amd64"}, &v1.Platform{OS: "unknown", Architecture: "unknown"}),
			[]string{"linux/amd64"}},
		"a chart has none": {mutate.MediaType(artifact, types.OCIManifestSchema1), nil},
	}
	for title, tc := range tests {
		t.Run(title, func(t *testing.T) {
			wantPlatforms(t, tc.pushed, tc.want)
		})
	}
}

// wantPlatforms checks for which platforms what was pushed is made.
func wantPlatforms(t *testing.T, pushed any, want []string) {
	t.Helper()
	spec := Spec{Image: registrytest.Serve(t, registrytest.New(t)) + "/" + image}
	digest := publish(t, spec.Image+":1", pushed)
	got, err := newClient(t).Platforms(context.Background(), imageOf(t, spec, Access{}), digest)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Platforms{Known: want}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAnIndexThatIsNotReadToItsEndSaysSo(t *testing.T) {
	many := v1.ImageIndex(empty.Index)
	for i := range MaxLookUps + 3 {
		many = mutate.AppendManifests(many, mutate.IndexAddendum{Add: made(t, "linux", "arm", fmt.Sprint("v", i))})
	}
	deep := index(t, nil)
	for range maxNesting + 1 {
		deep = mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: deep})
	}
	for name, tc := range map[string]struct {
		pushed v1.ImageIndex
		known  int
		unread int
	}{
		"more images than are asked": {many, MaxLookUps - 1, 4},
		"indexes in indexes":         {deep, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			spec := Spec{Image: registrytest.Serve(t, registrytest.New(t)) + "/" + image}
			digest := publish(t, spec.Image+":1", tc.pushed)
			got, err := newClient(t).Platforms(t.Context(), imageOf(t, spec, Access{}), digest)
			if err != nil || len(got.Known) != tc.known || got.Unread != tc.unread {
				t.Errorf("got %v and %v, want %d platforms and %d not read", got, err, tc.known, tc.unread)
			}
		})
	}
}

// publish pushes an image or an index and returns its digest.
func publish(t *testing.T, image string, what any) string {
	t.Helper()
	ref, err := name.NewTag(image)
	if err != nil {
		t.Fatal(err)
	}
	var hash v1.Hash
	switch what := what.(type) {
	case v1.Image:
		err = remote.Write(ref, what)
		hash, _ = what.Digest()
	case v1.ImageIndex:
		err = remote.WriteIndex(ref, what)
		hash, _ = what.Digest()
	}
	if err != nil {
		t.Fatal(err)
	}
	return hash.String()
}

// TestTheTypeThatAServerGivesAnIndex has servers that do not say what a manifest is as
// the distribution specification asks for.
func TestTheTypeThatAServerGivesAnIndex(t *testing.T) {
	pushed := index(t, &v1.Platform{OS: "linux", Architecture: "arm64"})
	for name, contentType := range map[string]string{
		"with a charset":        "application/vnd.oci.image.index.v1+json; charset=utf-8",
		"in other letters":      "application/vnd.OCI.image.index.v1+JSON",
		"as any JSON":           "application/json",
		"as a file":             "application/octet-stream",
		"as text, with charset": "text/plain;charset=UTF-8",
		"none":                  "",
	} {
		t.Run(name, func(t *testing.T) {
			next := registrytest.New(t)
			host := registrytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/") {
					w = typed{w, contentType}
				}
				next.ServeHTTP(w, r)
			}))
			spec := Spec{Image: host + "/" + image}
			digest := publish(t, spec.Image+":1", pushed)
			got, err := newClient(t).Platforms(t.Context(), imageOf(t, spec, Access{}), digest)
			if diff := cmp.Diff(Platforms{Known: []string{"linux/arm64"}}, got); err != nil || diff != "" {
				t.Errorf("error %v, %s", err, diff)
			}
		})
	}
}

// typed answers with a content type of its own.
type typed struct {
	http.ResponseWriter
	contentType string
}

// WriteHeader implements http.ResponseWriter.
func (w typed) WriteHeader(status int) {
	w.Header()["Content-Type"] = []string{w.contentType}
	if w.contentType == "" {
		w.Header()["Content-Type"] = nil // none is guessed
	}
	w.ResponseWriter.WriteHeader(status)
}

func TestAnUnknownDigestHasNoPlatforms(t *testing.T) {
	spec := Spec{Image: registrytest.Serve(t, registrytest.New(t, "1")) + "/" + image}
	hash, err := random.Image(16, 1)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := hash.Digest()
	if err != nil {
		t.Fatal(err)
	}
	_, err = newClient(t).Platforms(context.Background(), imageOf(t, spec, Access{}), digest.String())
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestSignaturesAreFoundTheWayTagsAre(t *testing.T) {
	host := registrytest.Serve(t, registrytest.Guarded(registrytest.New(t, "1")))
	reader := registrytest.Reader(registrytest.DockerConfig("good", host, "ann", "pw"))
	spec := Spec{Image: host + "/" + image, SecretRef: "good"}
	client := newClient(t)
	access, err := client.Access(context.Background(), reader, named(spec))
	if err != nil {
		t.Fatal(err)
	}
	to := imageOf(t, spec, access)
	if _, err := remote.Head(to.Repository.Tag("1"), client.Remote(to)...); err != nil {
		t.Error(err)
	}
}
