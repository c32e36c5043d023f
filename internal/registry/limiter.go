// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"k8s.io/utils/clock"
)

// limiter lets requests through one by one as the host allows, and counts them. It
// turns 429 into [RateLimited] before anybody retries it.
type limiter struct {
	next    http.RoundTripper
	route   string
	clock   clock.PassiveClock
	hosts   *hosts
	metrics *hostMetrics
}

// RoundTrip implements http.RoundTripper.
func (t *limiter) RoundTrip(req *http.Request) (*http.Response, error) {
	who, now := callerOf(req.Context()), t.clock.Now()
	h := t.hosts.get(endpoint{req.URL.Host, t.route}, now)
	name := t.metrics.host(req.URL.Host)
	wait, err := h.reserve(now, who)
	if err != nil {
		return nil, err
	}
	if wait > 0 {
		t.metrics.waits.WithLabelValues(name).Add(wait.Seconds())
		if err := sleep(req.Context(), wait); err != nil {
			return nil, err
		}
	}
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		t.metrics.requests.WithLabelValues(name, "error").Inc()
		return nil, err
	}
	t.metrics.requests.WithLabelValues(name, strconv.Itoa(resp.StatusCode)).Inc()
	now = t.clock.Now()
	asked := resp.Header.Get("Retry-After") != ""
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable && asked {
		_ = resp.Body.Close() // its text says no more than the header
		limited := &RateLimited{Host: req.URL.Host, After: retryAfter(resp.Header, now)}
		h.pause(now, now.Add(limited.After), who)
		return nil, limited
	}
	if pause := readQuota(resp.Header, now).pause(); pause > 0 {
		h.pause(now, now.Add(pause), who)
	}
	resp.Body = &countedBody{ReadCloser: resp.Body, metrics: t.metrics, host: name}
	return resp, nil
}

// sleep waits by the real time, whatever the clock of the limiter: that counts what a host allows, and one that stands still,
// as in tests of controllers, would have a request that is over the limit wait for ever.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// countedBody counts the bytes that are read of an answer.
type countedBody struct {
	io.ReadCloser
	metrics *hostMetrics
	host    string
	n       int
}

// Read implements io.Reader.
func (w *countedBody) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.n += n
	return n, err
}

// Close implements io.Closer.
func (w *countedBody) Close() error {
	w.metrics.bytes.WithLabelValues(w.host).Add(float64(w.n))
	w.n = 0
	return w.ReadCloser.Close()
}
