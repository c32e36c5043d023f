package scan

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

// Limits of what one registry host is asked. A registry that says less in its
// headers gets less.
const (
	// hostSlots is how many scans of one host run at once.
	hostSlots = 8
	// hostRate and hostBurst are requests per second, and at once.
	hostRate, hostBurst = 100, 1000
	// maxDelay is the longest a request waits for its turn; beyond that the scan
	// gives up its place and comes back.
	maxDelay = 2 * time.Second
	// maxPageSize is what is asked for first; most registries allow it, some less,
	// and some refuse a number that is too high.
	maxPageSize, minPageSize = 1000, 50
)

// RateLimited is the error of a registry that asks to be left alone for a while.
type RateLimited struct {
	Host  string
	After time.Duration
}

// Error implements error. It does not say how long: each attempt would say
// something else, and every change of a condition is a write and an event.
func (e *RateLimited) Error() string {
	return e.Host + " limits the rate of requests, and is asked again when it allows"
}

// host is what is known of one registry, whatever the image and the credential.
type host struct {
	name  string
	slots chan struct{}

	mu      sync.Mutex
	bucket  *rate.Limiter
	until   time.Time // left alone until then
	late    int       // scans that nobody waits for any more
	perPage int       // 0: the registry refuses every number
}

// hosts makes a host when it is first asked for.
type hosts struct {
	mu   sync.Mutex
	list map[string]*host
}

func (all *hosts) of(name string) *host {
	all.mu.Lock()
	defer all.mu.Unlock()
	h, ok := all.list[name]
	if !ok {
		h = &host{name: name, slots: make(chan struct{}, hostSlots), bucket: rate.NewLimiter(hostRate, hostBurst), perPage: maxPageSize}
		if all.list == nil {
			all.list = map[string]*host{}
		}
		all.list[name] = h
	}
	return h
}

// limited says how long the host is to be left alone, as an error, or nil.
func (h *host) limited(now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if after := h.until.Sub(now); after > 0 {
		return &RateLimited{Host: h.name, After: after}
	}
	return nil
}

// pause leaves the host alone until at.
func (h *host) pause(at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if at.After(h.until) {
		h.until = at
	}
}

// turn takes a request's place in the queue: how long it has to wait, or that it
// is not worth waiting.
func (h *host) turn(now time.Time) (time.Duration, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	wait := h.until.Sub(now)
	if wait > maxDelay {
		return 0, &RateLimited{Host: h.name, After: wait}
	}
	place := h.bucket.ReserveN(now, 1)
	if wait = max(wait, place.DelayFrom(now)); wait > maxDelay {
		place.CancelAt(now)
		return 0, &RateLimited{Host: h.name, After: wait}
	}
	return wait, nil
}

func (h *host) lateBy(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.late += n
}

// slow reports whether the host keeps somebody waiting.
func (h *host) slow() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.late > 0
}

func (h *host) pageSize() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.perPage
}

func (h *host) setPageSize(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.perPage = n
}

// gate lets requests through one by one as the host allows, and counts them. It
// turns 429 into [RateLimited] before anybody retries it.
type gate struct {
	next    http.RoundTripper
	clock   clock.PassiveClock
	hosts   *hosts
	metrics *Metrics
}

// RoundTrip implements http.RoundTripper.
func (t *gate) RoundTrip(req *http.Request) (*http.Response, error) {
	name := req.URL.Host
	h := t.hosts.of(name)
	wait, err := h.turn(t.clock.Now())
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
	now, after := t.clock.Now(), resp.Header.Get("Retry-After")
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable && after != "" {
		_ = resp.Body.Close() // its text says no more than the header
		limited := &RateLimited{Host: name, After: retryAfter(after, now)}
		h.pause(now.Add(limited.After))
		return nil, limited
	}
	if pause := readQuota(resp.Header, now).pause(); pause > 0 {
		h.pause(now.Add(pause))
	}
	resp.Body = &weighed{ReadCloser: resp.Body, metrics: t.metrics, host: name}
	return resp, nil
}

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

// weighed counts the bytes that are read of an answer.
type weighed struct {
	io.ReadCloser
	metrics *Metrics
	host    string
	n       int
}

// Read implements io.Reader.
func (w *weighed) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.n += n
	return n, err
}

// Close implements io.Closer.
func (w *weighed) Close() error {
	w.metrics.bytes.WithLabelValues(w.host).Add(float64(w.n))
	w.n = 0
	return w.ReadCloser.Close()
}
