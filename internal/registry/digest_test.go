// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/sluice-cd/sluice/internal/registry/registrytest"
)

// altered changes the answers of a registry.
func altered(next http.Handler, change func(*http.Request, *httptest.ResponseRecorder)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorder := httptest.NewRecorder()
		next.ServeHTTP(recorder, r)
		change(r, recorder)
		for key, values := range recorder.Header() {
			w.Header()[key] = values
		}
		w.WriteHeader(recorder.Code)
		_, _ = io.Copy(w, recorder.Body)
	})
}

func TestADigestIsFoundWhateverARegistrySaysOfIt(t *testing.T) {
	tests := map[string]struct {
		change func(*http.Request, *httptest.ResponseRecorder)
		want   error // nil: the digest is found
	}{
		"as registries do": {func(*http.Request, *httptest.ResponseRecorder) {}, nil},
		"no header with the digest": {func(_ *http.Request, a *httptest.ResponseRecorder) {
			a.Header().Del("Docker-Content-Digest")
		}, nil},
		"no length and no type": {func(_ *http.Request, a *httptest.ResponseRecorder) {
			a.Header().Del("Docker-Content-Digest")
			a.Header().Del("Content-Length")
		}, nil},
		"a header that is no digest": {func(_ *http.Request, a *httptest.ResponseRecorder) {
			a.Header().Set("Docker-Content-Digest", "latest")
		}, nil},
		"no HEAD": {func(r *http.Request, a *httptest.ResponseRecorder) {
			if r.Method == http.MethodHead {
				a.Code = http.StatusMethodNotAllowed
			}
		}, nil},
		"no HEAD, said as a proxy does that has no route for it": {func(r *http.Request, a *httptest.ResponseRecorder) {
			if r.Method == http.MethodHead {
				a.Code = http.StatusNotFound
			}
		}, nil},
		"no HEAD, said as a firewall does": {func(r *http.Request, a *httptest.ResponseRecorder) {
			if r.Method == http.MethodHead {
				a.Code = http.StatusForbidden
			}
		}, nil},
		"no HEAD, said as a server does that stumbles over it": {func(r *http.Request, a *httptest.ResponseRecorder) {
			if r.Method == http.MethodHead {
				a.Code = http.StatusInternalServerError
			}
		}, nil},
		"no HEAD, said as a proxy does whose server stumbles over it": {func(r *http.Request, a *httptest.ResponseRecorder) {
			if r.Method == http.MethodHead {
				a.Code = http.StatusBadGateway
			}
		}, nil},
		"not for everybody": {func(r *http.Request, a *httptest.ResponseRecorder) {
			if strings.Contains(r.URL.Path, "/manifests/") {
				a.Code = http.StatusForbidden
			}
		}, ErrUnauthorized},
		"not there": {func(r *http.Request, a *httptest.ResponseRecorder) {
			if strings.Contains(r.URL.Path, "/manifests/") {
				a.Code = http.StatusNotFound
			}
		}, ErrNotFound},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			registry := registrytest.New(t)
			want := publish(t, registrytest.Serve(t, registry)+"/"+image+":1", empty.Image)
			spec := Spec{Image: registrytest.Serve(t, altered(registry, tc.change)) + "/" + image}
			got, err := newClient(t).Digest(context.Background(), imageOf(t, spec, Access{}), "1")
			if tc.want != nil {
				if !errors.Is(err, tc.want) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || got != want {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
}

// What is found out about a digest is kept, so that a registry must not say of
// somebody's image what it likes.
func TestWhatHasAnotherDigestIsNotBelieved(t *testing.T) {
	const lie = `{"os":"windows","architecture":"riscv64"}`
	replace := func(part, with, kind string) func(*http.Request, *httptest.ResponseRecorder) {
		return func(r *http.Request, a *httptest.ResponseRecorder) {
			if strings.Contains(r.URL.Path, part) && r.Method == http.MethodGet {
				a.Body = bytes.NewBufferString(with)
				a.Header().Del("Content-Length")
				if kind != "" {
					a.Header().Set("Content-Type", kind)
				}
			}
		}
	}
	tests := map[string]func(*http.Request, *httptest.ResponseRecorder){
		"another configuration":                     replace("/blobs/", lie, ""),
		"another configuration, and much more":      replace("/blobs/", lie+strings.Repeat(" ", 1<<20), ""),
		"another manifest":                          replace("/manifests/", `{"schemaVersion":2,"manifests":[]}`, ""),
		"another manifest that says to be very old": replace("/manifests/", `{"schemaVersion":1}`, string(types.DockerManifestSchema1Signed)),
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			registry := registrytest.New(t)
			digest := publish(t, registrytest.Serve(t, registry)+"/"+image+":1", made(t, "linux", "amd64", ""))
			spec := Spec{Image: registrytest.Serve(t, altered(registry, change)) + "/" + image}
			if got, err := newClient(t).Platforms(context.Background(), imageOf(t, spec, Access{}), digest); err == nil && len(got.Known) > 0 {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestAManifestIsBounded(t *testing.T) {
	registry := altered(registrytest.New(t), func(r *http.Request, a *httptest.ResponseRecorder) {
		if strings.Contains(r.URL.Path, "/manifests/") {
			a.Code, a.Body = http.StatusOK, bytes.NewBufferString(strings.Repeat(" ", maxManifest+1))
		}
	})
	spec := Spec{Image: registrytest.Serve(t, registry) + "/" + image}
	_, err := newClient(t).Platforms(context.Background(), imageOf(t, spec, Access{}), "sha256:"+strings.Repeat("0", 64))
	if !errors.Is(err, ErrBudget) {
		t.Errorf("got %v", err)
	}
}

func TestAnIndexThatSaysNothingHasItsImagesAsked(t *testing.T) {
	silent := func(of ...mutate.Appendable) v1.ImageIndex {
		index := v1.ImageIndex(empty.Index)
		for _, one := range of {
			index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: one})
		}
		return index
	}
	attested := mutate.AppendManifests(silent(made(t, "linux", "arm64", "")), mutate.IndexAddendum{
		Add: made(t, "darwin", "arm64", ""), Descriptor: v1.Descriptor{Annotations: map[string]string{referenceType: "attestation-manifest"}},
	})
	tests := map[string]struct {
		pushed v1.ImageIndex
		want   []string
	}{
		"images": {
			silent(made(t, "linux", "amd64", ""), made(t, "linux", "arm64", "")),
			[]string{"linux/amd64", "linux/arm64"},
		},
		"an index of an index":      {silent(silent(made(t, "linux", "amd64", ""))), []string{"linux/amd64"}},
		"an attestation beside one": {attested, []string{"linux/arm64"}},
		"nothing":                   {silent(), nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			wantPlatforms(t, tc.pushed, tc.want)
		})
	}
}
