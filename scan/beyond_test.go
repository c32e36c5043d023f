// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/registry/registrytest"
)

// Registries that send no more than they are asked for, and do not say that there is
// more.
func TestAFullPageWithoutALinkIsNotTheEnd(t *testing.T) {
	tests := map[string]struct {
		tags    int
		deaf    bool // to where the page begins
		refuses bool // to say what comes after
		want    int
	}{
		"what comes after it is asked for":          {tags: 2500, want: 2500},
		"nothing comes after it":                    {tags: 2000, want: 2000},
		"it is the only one":                        {tags: 1000, want: 1000},
		"the same comes again":                      {tags: 1000, deaf: true, want: 1000},
		"it is not understood":                      {tags: 1000, refuses: true, want: 1000},
		"a page that is not full is the end anyway": {tags: 999, want: 999},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			all := numbered(0, tc.tags)
			host := registrytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v2/" {
					return
				}
				from, query := 0, r.URL.Query()
				if last := query.Get("last"); last != "" && !tc.deaf {
					if tc.refuses {
						w.WriteHeader(http.StatusBadRequest)
						return
					}
					from, _ = slices.BinarySearch(all, last+"!")
				}
				n, _ := strconv.Atoi(query.Get("n"))
				page := all[from:min(from+n, len(all))]
				if len(page) == 0 {
					_, _ = io.WriteString(w, `{"name":"app","tags":null}`)
					return
				}
				_, _ = io.WriteString(w, `{"name":"app","tags":["`+strings.Join(page, `","`)+`"]}`)
			}))
			to := target(t, imagev1.ImageRepositorySpec{Image: host + "/" + image, MaxTags: tc.tags})
			got, err := newClient(t).Tags(context.Background(), to, registry.Access{})
			if err != nil || got.Len() != tc.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// A list that could not be read to its end is none, or policies would choose from half
// of it.
func TestAFullPageWhoseNextIsRefusedForAMomentIsNoList(t *testing.T) {
	for _, status := range []int{
		http.StatusUnauthorized, http.StatusProxyAuthRequired, http.StatusRequestTimeout,
		http.StatusTooEarly, http.StatusTooManyRequests, http.StatusBadGateway,
	} {
		host := registrytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/v2/":
			case r.URL.Query().Has("last"):
				w.WriteHeader(status)
			default:
				_, _ = io.WriteString(w, `{"name":"app","tags":["`+strings.Join(numbered(0, 1000), `","`)+`"]}`)
			}
		}))
		to := target(t, imagev1.ImageRepositorySpec{Image: host + "/" + image, MaxTags: 1000})
		if got, err := newClient(t).Tags(t.Context(), to, registry.Access{}); err == nil {
			t.Errorf("%d: %d tags count as all", status, got.Len())
		}
	}
}
