package scan

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"golang.org/x/time/rate"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

func TestAHostTakesSoManyRequestsAndNoMore(t *testing.T) {
	h := new(hosts).of(endpoint{host: "registry.example.com"}, start)
	for n := range namespaceBurst {
		if wait, err := h.turn(start, caller{}); wait != 0 || err != nil {
			t.Fatalf("request %d of the burst: %s, %v", n, wait, err)
		}
	}
	for n := 1; n <= int(namespaceRate*maxDelay.Seconds()); n++ {
		wait, err := h.turn(start, caller{})
		if want := time.Duration(n) * time.Second / namespaceRate; (wait-want).Abs() > time.Millisecond || err != nil {
			t.Fatalf("request %d after the burst waits %s, want %s: %v", n, wait, want, err)
		}
	}
	for range 3 { // a place that is given up is nobody's
		var limited *RateLimited
		if _, err := h.turn(start, caller{}); !errors.As(err, &limited) || limited.After > maxDelay+time.Second/namespaceRate+time.Millisecond {
			t.Fatalf("beyond the longest delay: %v", err)
		}
	}
	if wait, err := h.turn(start.Add(maxDelay+time.Second), caller{}); wait != 0 || err != nil {
		t.Errorf("when all are through: %s, %v", wait, err)
	}
	if wait, err := new(hosts).of(endpoint{host: "other.example.com"}, start).turn(start, caller{}); wait != 0 || err != nil {
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
			h := new(hosts).of(endpoint{host: "registry.example.com"}, start)
			h.pause(start, start.Add(tc.pause), caller{})
			wait, err := h.turn(start, caller{})
			if wait != tc.wait || (err != nil) != tc.refused {
				t.Errorf("got %s, %v", wait, err)
			}
		})
	}
}

func TestARequestWaitsForItsTurn(t *testing.T) {
	client := newClient(t)
	host := serve(t, newRegistry(t, "1"))
	client.hosts.of(endpoint{host: host}, client.clock.Now()).bucket = rate.NewLimiter(100, 1) // a ping is the first
	to := target(t, imagev1.ImageRepositorySpec{Image: host + "/" + image})
	if _, err := client.Tags(context.Background(), to, Access{}); err != nil {
		t.Fatal(err)
	}
	if waited := value(t, client.metrics.waits.WithLabelValues(host)); waited <= 0 || waited > 0.1 {
		t.Errorf("waited %vs", waited)
	}
	client.hosts.of(endpoint{host: host}, client.clock.Now()).bucket = rate.NewLimiter(1, 1)
	client.hosts.of(endpoint{host: host}, client.clock.Now()).bucket.AllowN(client.clock.Now(), 1)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	through := &gate{next: http.DefaultTransport, clock: client.clock, hosts: &client.hosts, metrics: client.metrics}
	response, err := through.RoundTrip(request)
	if err == nil {
		_ = response.Body.Close()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("whoever leaves while it waits gets %v", err)
	}
}
