// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-cd/sluice/internal/registry/registrytest"
)

func TestQuotas(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := map[string]struct {
		header map[string]string
		want   time.Duration
	}{
		"nothing said": {nil, 0},
		"plenty left":  {map[string]string{"RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "76;w=21600"}, 0},
		"nothing left of a sliding window": {
			map[string]string{"RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "0;w=21600"},
			216 * time.Second,
		},
		"nothing left until a reset": {
			map[string]string{"RateLimit-Limit": "100", "RateLimit-Remaining": "0", "RateLimit-Reset": "30"},
			30 * time.Second,
		},
		"little left is spread": {
			map[string]string{"RateLimit-Limit": "100", "RateLimit-Remaining": "2", "RateLimit-Reset": "30"},
			10 * time.Second,
		},
		"a reset at a Unix time": {
			map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": fmt.Sprint(now.Add(time.Minute).Unix())},
			time.Minute,
		},
		"a reset that is over": {
			map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": fmt.Sprint(now.Add(-time.Minute).Unix())},
			0,
		},
		"one field of names and numbers":      {map[string]string{"RateLimit": "limit=100, remaining=0, reset=50"}, 50 * time.Second},
		"one structured field":                {map[string]string{"RateLimit": `"default";r=0;t=30`}, 30 * time.Second},
		"more than an hour is an hour":        {map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": "99999"}, time.Hour},
		"nonsense is nothing said":            {map[string]string{"RateLimit-Remaining": "many", "RateLimit-Reset": "-1"}, 0},
		"a limit with policies after a comma": {map[string]string{"RateLimit-Limit": "10, 10;w=1, 50;w=60", "RateLimit-Remaining": "9"}, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			header := http.Header{}
			for key, value := range tc.header {
				header.Set(key, value)
			}
			if got := readQuota(header, now).pause(); got != tc.want {
				t.Errorf("got %s", got)
			}
		})
	}
}

func FuzzQuota(f *testing.F) {
	f.Add("76;w=21600", "30", `"default";r=0;t=30`)
	f.Add("0", "1767323045", "limit=1, remaining=0, reset=9999999999999")
	f.Fuzz(func(t *testing.T, remaining, reset, combined string) {
		header := http.Header{
			"Ratelimit-Remaining": {remaining},
			"X-Ratelimit-Reset":   {reset},
			"Ratelimit":           {combined},
			"Ratelimit-Limit":     {remaining},
		}
		if pause := readQuota(header, time.Unix(1_767_323_045, 0)).pause(); pause < 0 || pause > maxRetryAfter {
			t.Errorf("pause of %s", pause)
		}
	})
}

func TestATokenIsUsedForAsLongAsItLives(t *testing.T) {
	var tokens, pings atomic.Int64
	open := registrytest.New(t, "1")
	var host string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/token":
			tokens.Add(1)
			_, _ = io.WriteString(w, `{"access_token":"let-me-in","expires_in":300}`)
			return
		case "/v2/":
			pings.Add(1)
		}
		if r.Header.Get("Authorization") == "Bearer let-me-in" {
			open.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="test"`, host))
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(server.Close)
	host = strings.TrimPrefix(server.URL, "http://")
	client, to := newClient(t), imageOf(t, Spec{Image: host + "/" + image}, Access{})
	for range 3 {
		if err := listTags(client, to); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Digest(context.Background(), to, "1"); err != nil {
			t.Fatal(err)
		}
	}
	if tokens.Load() != 1 || pings.Load() != 1 {
		t.Errorf("%d tokens, %d pings", tokens.Load(), pings.Load())
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := map[string]struct {
		header string
		want   time.Duration
	}{
		"nothing is a minute":  {"", time.Minute},
		"nonsense is a minute": {"soon", time.Minute},
		"seconds":              {"30", 30 * time.Second},
		"at once is a second":  {"0", time.Second},
		"the past is a second": {now.Add(-time.Hour).Format(http.TimeFormat), time.Second},
		"never is an hour":     {"999999999999", time.Hour},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := retryAfter(http.Header{"Retry-After": {tc.header}}, now); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestARateLimitIsNotRetried(t *testing.T) {
	client := newClient(t)
	host := registrytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	}))
	err := listTags(client, imageOf(t, Spec{Image: host + "/" + image}, Access{}))
	var limited *RateLimited
	if !errors.As(err, &limited) || limited.After != 7*time.Second || limited.Host != host {
		t.Errorf("got %v", err)
	}
	if n := value(t, client.metrics.requests.WithLabelValues(host, "429")); n != 1 {
		t.Errorf("%v requests", n)
	}
}

func TestBytesThatARegistrySendsAreCounted(t *testing.T) {
	client := newClient(t)
	host := registrytest.Serve(t, registrytest.New(t, "1"))
	to := imageOf(t, Spec{Image: host + "/" + image}, Access{})
	if err := client.Call(context.Background(), to, func(ctx context.Context, session http.RoundTripper) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/v2/"+image+TagListPath, nil)
		if err != nil {
			return err
		}
		response, err := session.RoundTrip(request)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, response.Body)
		return errors.Join(err, response.Body.Close())
	}); err != nil {
		t.Fatal(err)
	}
	if value(t, client.metrics.bytes.WithLabelValues(host)) == 0 {
		t.Error("they were not")
	}
}
