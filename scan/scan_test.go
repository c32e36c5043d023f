package scan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

const image = "team/app"

// serve starts a server and returns its host:port.
func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// newRegistry is a registry with an image of the given tags.
func newRegistry(t *testing.T, tags ...string) http.Handler {
	t.Helper()
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	host := serve(t, handler)
	for _, tag := range tags {
		ref, err := name.NewTag(host + "/" + image + ":" + tag)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, empty.Image); err != nil {
			t.Fatal(err)
		}
	}
	return handler
}

func newClient(t *testing.T) *Client {
	t.Helper()
	metrics, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return NewClient(clock.RealClock{}, metrics)
}

func repository(spec imagev1.ImageRepositorySpec) *imagev1.ImageRepository {
	return &imagev1.ImageRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app"}, Spec: spec}
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
			host := serve(t, newRegistry(t, tc.tags...))
			spec := imagev1.ImageRepositorySpec{Image: host + "/" + image, ExclusionList: tc.exclude}
			got, err := newClient(t).Tags(context.Background(), target(t, spec), Access{})
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
		"an unknown repository":     {newRegistry(t), ErrNotFound},
		"no credentials":            {status(http.StatusUnauthorized, nil), ErrUnauthorized},
		"not enough rights":         {status(http.StatusForbidden, nil), ErrUnauthorized},
		"pages in a circle":         {circle(10), errPage},
		"a registry that is broken": {status(http.StatusInternalServerError, nil), nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			spec := imagev1.ImageRepositorySpec{Image: serve(t, tc.registry) + "/" + image}
			_, err := newClient(t).Tags(context.Background(), target(t, spec), Access{})
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
	spec := imagev1.ImageRepositorySpec{Image: serve(t, pages) + "/" + image}
	got, err := newClient(t).Tags(context.Background(), target(t, spec), Access{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, slices.Collect(got.All())); diff != "" {
		t.Error(diff)
	}
}

func TestAHangingRegistryIsLeft(t *testing.T) {
	done := make(chan struct{})
	host := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-done:
		}
	}))
	t.Cleanup(func() { close(done) })
	slow := target(t, imagev1.ImageRepositorySpec{Image: host + "/" + image})
	slow.Timeout = 50 * time.Millisecond
	_, err := newClient(t).Tags(context.Background(), slow, Access{})
	if !errors.Is(err, ErrTimeout) {
		t.Errorf("got %v", err)
	}
}

func TestARateLimitIsNotRetried(t *testing.T) {
	client := newClient(t)
	host := serve(t, status(http.StatusTooManyRequests, http.Header{"Retry-After": {"7"}}))
	_, err := client.Tags(context.Background(), target(t, imagev1.ImageRepositorySpec{Image: host + "/" + image}), Access{})
	var limited *RateLimited
	if !errors.As(err, &limited) || limited.After != 7*time.Second || limited.Host != host {
		t.Errorf("got %v", err)
	}
	if n := value(t, client.metrics.requests.WithLabelValues(host, "429")); n != 1 {
		t.Errorf("%v requests", n)
	}
}

func value(t *testing.T, counter prometheus.Counter) float64 {
	t.Helper()
	var written dto.Metric
	if err := counter.Write(&written); err != nil {
		t.Fatal(err)
	}
	return written.GetCounter().GetValue()
}

func TestABlipIsRetried(t *testing.T) {
	var asked atomic.Int64
	healthy := newRegistry(t, "1")
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		healthy.ServeHTTP(w, r)
	}))
	if _, err := newClient(t).Tags(context.Background(), target(t, imagev1.ImageRepositorySpec{Image: host + "/" + image}), Access{}); err != nil {
		t.Error(err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := map[string]struct {
		header string
		want   time.Duration
	}{
		"nothing is a minute":            {"", time.Minute},
		"nonsense is a minute":           {"soon", time.Minute},
		"seconds":                        {"30", 30 * time.Second},
		"at once is a second":            {"0", time.Second},
		"the past is a second":           {now.Add(-time.Hour).Format(http.TimeFormat), time.Second},
		"a date":                         {now.Add(time.Minute).Format(http.TimeFormat), time.Minute},
		"never is an hour":               {"999999999999", time.Hour},
		"more than fits a word is a bit": {"99999999999999999999", time.Minute},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := retryAfter(tc.header, now); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}
