package scan

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
)

// Metrics count what registries are asked, by host.
type Metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// NewMetrics registers the metrics of this package.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_registry_requests_total",
			Help: "Requests to registries and their token servers, by host and status; the status of a request that got no answer is 'error'.",
		}, []string{"host", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sluice_registry_scan_duration_seconds",
			Help:    "Time to list all tags of an image, by host.",
			Buckets: prometheus.ExponentialBuckets(0.01, 3, 9),
		}, []string{"host"}),
	}
	return m, errors.Join(registry.Register(m.requests), registry.Register(m.seconds))
}

func (m *Metrics) scanned(host string, took time.Duration) {
	m.seconds.WithLabelValues(host).Observe(took.Seconds())
}

// RateLimited is the error of a registry that asks to be left alone for a while.
type RateLimited struct {
	Host  string
	After time.Duration
}

// Error implements error.
func (e *RateLimited) Error() string {
	return fmt.Sprintf("%s limits the rate of requests; next attempt in %s", e.Host, e.After)
}

// counting counts requests, and turns 429 into [RateLimited] before anybody
// retries it.
type counting struct {
	next    http.RoundTripper
	clock   clock.PassiveClock
	metrics *Metrics
}

// RoundTrip implements http.RoundTripper.
func (t *counting) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		t.metrics.requests.WithLabelValues(req.URL.Host, "error").Inc()
		return nil, err
	}
	t.metrics.requests.WithLabelValues(req.URL.Host, strconv.Itoa(resp.StatusCode)).Inc()
	if resp.StatusCode == http.StatusTooManyRequests {
		_ = resp.Body.Close() // its text says no more than the header
		return nil, &RateLimited{Host: req.URL.Host, After: retryAfter(resp.Header.Get("Retry-After"), t.clock.Now())}
	}
	return resp, nil
}

// Bounds of the delay that a registry may ask for.
const (
	minRetryAfter     = time.Second
	defaultRetryAfter = time.Minute
	maxRetryAfter     = time.Hour
)

// retryAfter reads a Retry-After header: seconds or an HTTP date (RFC 9110,
// section 10.2.3).
func retryAfter(header string, now time.Time) time.Duration {
	after := defaultRetryAfter
	if seconds, err := strconv.Atoi(header); err == nil {
		after = time.Duration(min(max(seconds, 0), int(maxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		after = at.Sub(now)
	}
	return min(max(after, minRetryAfter), maxRetryAfter)
}
