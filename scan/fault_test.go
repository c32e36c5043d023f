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
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/registry/registrytest"
)

// body answers a list with text, as a registry of which something is broken.
func body(text string, header map[string]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		for key, value := range header {
			w.Header().Set(key, value)
		}
		_, _ = io.WriteString(w, text)
	})
}

// cut sends less than it says.
func cut() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"name":"app","tags":["1","2"`)
		if flusher, ok := w.(http.Flusher); ok {
			flusher.Flush()
		}
		panic(http.ErrAbortHandler)
	})
}

// Whatever a registry does, the scan ends in time with an error, and the tags that
// are known stay.
func TestFaults(t *testing.T) {
	link := func(to string) map[string]string { return map[string]string{"Link": "<" + to + `>; rel="next"`} }
	const good = `{"name":"app","tags":["1"]}`
	var limited *registry.RateLimited
	tests := map[string]struct {
		registry http.Handler
		want     error
		text     string
	}{
		"401": {status(401, nil), registry.ErrUnauthorized, ""},
		"403": {status(403, nil), registry.ErrUnauthorized, ""},
		"404": {status(404, nil), registry.ErrNotFound, ""},
		"429": {status(429, nil), nil, "limits the rate"},
		"500": {status(500, nil), nil, "500"},
		"503 with a time": {
			status(503, http.Header{"Retry-After": {"9"}}),
			nil,
			"limits the rate of requests, and is asked again when it allows",
		},
		"400 whatever the page size":   {status(400, nil), nil, "400"},
		"half a page":                  {body(`{"name":"app","tags":["1","2"`, nil), errPage, ""},
		"a connection that is cut":     {cut(), nil, "unexpected EOF"},
		"garbage":                      {body("\x00\xff{]", nil), errPage, ""},
		"a page for people":            {body("<html>Log in", nil), errPage, ""},
		"an answer to something else":  {body(`{"errors":[]}`, nil), errPage, ""},
		"numbers for tags":             {body(`{"name":"app","tags":["1",2]}`, nil), errPage, ""},
		"a next page that is this one": {body(good, link("/v2/team/app/tags/list?x")), errPage, "circle"},
		"a next page elsewhere":        {body(good, link("http://169.254.169.254/latest")), errPage, "another host"},
		"a Link that is none":          {body(good, map[string]string{"Link": "next"}), errPage, ""},
		"a body without an end":        {endless(), ErrBudget, ""},
		"silence":                      {silent(t), registry.ErrTimeout, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := target(t, imagev1.ImageRepositorySpec{Image: registrytest.Serve(t, tc.registry) + "/" + image, MaxTags: 1000})
			to.Timeout = 3 * time.Second
			if name == "silence" {
				to.Timeout = 100 * time.Millisecond
			}
			_, err := newClient(t).Tags(context.Background(), to, registry.Access{})
			if err == nil || tc.want != nil && !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v", err)
			}
			if strings.HasPrefix(name, "429") && !errors.As(err, &limited) {
				t.Errorf("got %v", err)
			}
			if name == "503 with a time" && (!errors.As(err, &limited) || limited.After != 9*time.Second) {
				t.Errorf("got %v, to be asked again after %+v", err, limited)
			}
		})
	}
}

func endless() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		_, _ = io.WriteString(w, `{"name":"`)
		for junk := strings.Repeat("x", 1<<16); r.Context().Err() == nil; {
			if _, err := io.WriteString(w, junk); err != nil {
				return
			}
		}
	})
}

func TestThePageSizeIsWhatTheRegistryTakes(t *testing.T) {
	tests := map[string]struct {
		most       int // page size that the registry allows; 0: none at all
		wantAsked  []string
		wantSecond []string
	}{
		"a thousand":     {1000, []string{"1000"}, []string{"1000"}},
		"a hundred":      {100, []string{"1000", "500", "250", "125", "62"}, []string{"62"}},
		"no size at all": {0, []string{"1000", "500", "250", "125", "62", ""}, []string{""}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var asked []string
			host := registrytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v2/" {
					return
				}
				n := r.URL.Query().Get("n")
				asked = append(asked, n)
				if size, err := strconv.Atoi(n); err == nil && size > tc.most {
					w.WriteHeader(http.StatusBadRequest)
					return
				}
				_, _ = io.WriteString(w, `{"tags":["1"]}`)
			}))
			client, to := newClient(t), target(t, imagev1.ImageRepositorySpec{Image: host + "/" + image})
			for _, want := range [][]string{tc.wantAsked, tc.wantSecond} {
				asked = nil
				if _, err := client.Tags(context.Background(), to, registry.Access{}); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, asked); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestAHostThatLimitsRequestsIsLeftAlone(t *testing.T) {
	var asked atomic.Int64
	host := registrytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	s := patient(t, NewStore())
	for i := range 3 {
		to := target(t, imagev1.ImageRepositorySpec{Image: fmt.Sprintf("%s/app-%d", host, i)})
		_, err := s.Scan(context.Background(), Request{Key: object(fmt.Sprint(i)), Target: to})
		var limited *registry.RateLimited
		if !errors.As(err, &limited) || limited.After <= 50*time.Second {
			t.Errorf("got %v", err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("it was asked %d times", n)
	}
}

// Whatever the JSON, the tags are those that encoding/json finds.
func FuzzDecodePage(f *testing.F) {
	for _, seed := range []string{
		`{"name":"a","tags":["1","2"]}`, `{"tags":null}`, `{"tags":[]}`, `{"tags":["\u0031","a\"b"]}`,
		`{"tags":["1",2]}`, `{"tags":["1" , "2"],"x":{"tags":["3"]}}`, `{"tags":{"a":"b"}}`, `{"tags":[["a"]]}`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got tagBuffer
		err := decodePage(body, &got)
		var want struct {
			Tags []string `json:"tags"`
		}
		wantErr := json.Unmarshal(body, &want)
		if err == nil && wantErr != nil {
			t.Fatalf("%q: encoding/json says %v", body, wantErr)
		}
		if err != nil || strings.Count(strings.ToLower(string(body)), `tags"`) != 1 {
			return
		}
		var known tagBuffer
		for _, tag := range want.Tags {
			known.add([]byte(tag))
		}
		if string(got.text) != string(known.text) || !slices.Equal(got.ends, known.ends) {
			t.Fatalf("%q: got %q, want %q", body, got.text, known.text)
		}
	})
}
