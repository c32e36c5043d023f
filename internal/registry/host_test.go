// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/sluice-cd/sluice/internal/registry/registrytest"
)

func TestAHostTakesSoManyRequestsAndNoMore(t *testing.T) {
	h := new(hosts).get(endpoint{host: "registry.example.com"}, start)
	for n := range namespaceBurst {
		if wait, err := h.reserve(start, caller{}); wait != 0 || err != nil {
			t.Fatalf("request %d of the burst: %s, %v", n, wait, err)
		}
	}
	for n := 1; n <= int(namespaceRate*maxDelay.Seconds()); n++ {
		wait, err := h.reserve(start, caller{})
		if want := time.Duration(n) * time.Second / namespaceRate; (wait-want).Abs() > time.Millisecond || err != nil {
			t.Fatalf("request %d after the burst waits %s, want %s: %v", n, wait, want, err)
		}
	}
	for range 3 { // a place that is given up is nobody's
		var limited *RateLimited
		if _, err := h.reserve(start, caller{}); !errors.As(err, &limited) ||
			limited.After > maxDelay+time.Second/namespaceRate+time.Millisecond {
			t.Fatalf("beyond the longest delay: %v", err)
		}
	}
	if wait, err := h.reserve(start.Add(maxDelay+time.Second), caller{}); wait != 0 || err != nil {
		t.Errorf("when all are through: %s, %v", wait, err)
	}
	if wait, err := new(hosts).get(endpoint{host: "other.example.com"}, start).reserve(start, caller{}); wait != 0 || err != nil {
		t.Errorf("another host: %s, %v", wait, err)
	}
}

func TestAHostThatAskedForAPauseIsAskedAfterIt(t *testing.T) {
	for name, tc := range map[string]struct {
		pause, wait time.Duration
		refused     bool
	}{
		"a short one is waited for": {pause: time.Second, wait: time.Second},
		"a long one is not":         {pause: time.Minute, refused: true},
		"one that is over is none":  {pause: -time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			h := new(hosts).get(endpoint{host: "registry.example.com"}, start)
			h.pause(start, start.Add(tc.pause), caller{})
			wait, err := h.reserve(start, caller{})
			if wait != tc.wait || (err != nil) != tc.refused {
				t.Errorf("got %s, %v", wait, err)
			}
		})
	}
}

func TestARequestWaitsForItsTurn(t *testing.T) {
	client := newClient(t)
	host := registrytest.Serve(t, registrytest.New(t, "1"))
	client.hosts.get(endpoint{host: host}, client.clock.Now()).bucket = rate.NewLimiter(100, 1) // a ping is the first
	if err := listTags(client, imageOf(t, Spec{Image: host + "/" + image}, Access{})); err != nil {
		t.Fatal(err)
	}
	if waited := value(t, client.metrics.waits.WithLabelValues(host)); waited <= 0 || waited > 0.1 {
		t.Errorf("waited %vs", waited)
	}
	client.hosts.get(endpoint{host: host}, client.clock.Now()).bucket = rate.NewLimiter(1, 1)
	client.hosts.get(endpoint{host: host}, client.clock.Now()).bucket.AllowN(client.clock.Now(), 1)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	through := &limiter{next: http.DefaultTransport, clock: client.clock, hosts: &client.hosts, metrics: client.metrics}
	response, err := through.RoundTrip(request)
	if err == nil {
		_ = response.Body.Close()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("whoever leaves while it waits gets %v", err)
	}
}

// What one credential has used up is no reason to keep another waiting.
func TestAPauseIsOneCredentials(t *testing.T) {
	h := new(hosts).get(endpoint{host: "registry.example.com"}, start)
	h.pause(start, start.Add(time.Hour), caller{namespace: "theirs", credential: "theirs"})
	if err := h.limited(start, caller{namespace: "apps"}); err != nil {
		t.Errorf("an anonymous one: %v", err)
	}
	if err := h.limited(start, caller{namespace: "other", credential: "theirs"}); err == nil {
		t.Error("the same credential is not left alone")
	}
	for range namespaceBurst + namespaceRate*3 {
		_, _ = h.reserve(start, caller{namespace: "theirs"})
	}
	if wait, err := h.reserve(start, caller{namespace: "apps"}); wait != 0 || err != nil {
		t.Errorf("another namespace waits %s: %v", wait, err)
	}
}

// Servers name hosts without end, in redirects and as token servers.
func TestHostsThatNobodyAsksAreForgotten(t *testing.T) {
	all := new(hosts)
	for i := range 100 {
		all.get(endpoint{host: fmt.Sprint(i)}, start)
	}
	paused := all.get(endpoint{host: "paused"}, start)
	paused.pause(start, start.Add(3*time.Hour), caller{})
	all.get(endpoint{host: "now"}, start.Add(2*time.Hour))
	if n := len(all.list); n != 2 {
		t.Errorf("%d are left", n)
	}
	metrics := newClient(t).metrics
	for i := range 2 * maxHosts {
		metrics.host(fmt.Sprint(i))
	}
	if got := metrics.host("one more"); got != "other" {
		t.Errorf("got a series of its own: %s", got)
	}
}
