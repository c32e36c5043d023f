// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/registry/registrytest"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	builder "github.com/sluice-cd/sluice/test/make"
)

const image = registrytest.Image

// newClient is a client of nothing but its own connections.
func newClient(_ *testing.T) *Client {
	return NewClient(registry.NewClient(clock.RealClock{}), clock.RealClock{})
}

func repository(spec imagev1.ImageRepositorySpec) *imagev1.ImageRepository {
	return builder.ImageRepository("apps", "app", func(r *imagev1.ImageRepository) { r.Spec = spec })
}

func target(t *testing.T, spec imagev1.ImageRepositorySpec) Target {
	t.Helper()
	if spec.Interval.Duration == 0 {
		spec.Interval.Duration = time.Minute
	}
	got, err := NewTarget(repository(spec))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestTags(t *testing.T) {
	tests := map[string]struct {
		tags    []string
		exclude []string
		want    []string
	}{
		"tags come sorted": {
			tags: []string{"2", "10", "1"}, want: []string{"1", "10", "2"}},
		"signatures are left out by default": {
			tags: []string{"1", "1.sig"}, want: []string{"1"}},
		"an exclusion list replaces the default": {
			tags: []string{"1", "1.sig", "1-alpha"}, exclude: []string{"-alpha$"}, want: []string{"1", "1.sig"}},
		"one matching exclusion is enough": {
			tags: []string{"1", "a", "b"}, exclude: []string{"^a$", "^b$"}, want: []string{"1"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			host := registrytest.Serve(t, registrytest.New(t, tc.tags...))
			spec := imagev1.ImageRepositorySpec{Image: host + "/" + image, ExclusionList: tc.exclude}
			got, err := newClient(t).Tags(context.Background(), target(t, spec), registry.Access{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, slices.Collect(got.All())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// status answers every request after the ping with one status.
func status(code int, header http.Header) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		for key, values := range header {
			w.Header()[key] = values
		}
		w.WriteHeader(code)
	})
}

func TestRefusalsAreTold(t *testing.T) {
	tests := map[string]struct {
		registry http.Handler
		want     error
	}{
		"an unknown repository":     {registrytest.New(t), registry.ErrNotFound},
		"no credentials":            {status(http.StatusUnauthorized, nil), registry.ErrUnauthorized},
		"not enough rights":         {status(http.StatusForbidden, nil), registry.ErrUnauthorized},
		"pages in a circle":         {circle(10), errPage},
		"a registry that is broken": {status(http.StatusInternalServerError, nil), nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			spec := imagev1.ImageRepositorySpec{Image: registrytest.Serve(t, tc.registry) + "/" + image}
			_, err := newClient(t).Tags(context.Background(), target(t, spec), registry.Access{})
			if err == nil || tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

// circle serves pages of n tags of which the last links to itself.
func circle(n int) http.Handler {
	page, _ := json.Marshal(remote.Tags{Tags: slices.Repeat([]string{"t"}, n)})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			w.Header().Set("Link", "<"+r.URL.Path+`?last=t>; rel="next"`)
			_, _ = w.Write(page)
		}
	})
}

func TestPagesAreFollowed(t *testing.T) {
	pages := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch last := r.URL.Query().Get("last"); {
		case r.URL.Path == "/v2/":
		case last == "":
			w.Header().Set("Link", fmt.Sprintf(`<%s?last=b&n=2>; rel="next"`, r.URL.Path))
			_, _ = io.WriteString(w, `{"tags":["a","b"]}`)
		default:
			_, _ = io.WriteString(w, `{"tags":["c"]}`)
		}
	})
	spec := imagev1.ImageRepositorySpec{Image: registrytest.Serve(t, pages) + "/" + image}
	got, err := newClient(t).Tags(context.Background(), target(t, spec), registry.Access{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, slices.Collect(got.All())); diff != "" {
		t.Error(diff)
	}
}

func TestAHangingRegistryIsLeft(t *testing.T) {
	done := make(chan struct{})
	host := registrytest.Serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-done:
		}
	}))
	t.Cleanup(func() { close(done) })
	slow := target(t, imagev1.ImageRepositorySpec{Image: host + "/" + image})
	slow.Timeout = 50 * time.Millisecond
	_, err := newClient(t).Tags(context.Background(), slow, registry.Access{})
	if !errors.Is(err, registry.ErrTimeout) {
		t.Errorf("got %v", err)
	}
}

func TestABlipIsRetried(t *testing.T) {
	var asked atomic.Int64
	healthy := registrytest.New(t, "1")
	host := registrytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		healthy.ServeHTTP(w, r)
	}))
	if _, err := newClient(t).Tags(context.Background(), target(t, imagev1.ImageRepositorySpec{
		Image: host + "/" + image,
	}), registry.Access{}); err != nil {
		t.Error(err)
	}
}
