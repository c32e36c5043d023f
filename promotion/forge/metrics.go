// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are of all clients together: a label for each repository would be a label
// that users choose.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics() metrics {
	return metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_forge_requests_total",
			Help: "Requests to the APIs of forges, by provider, HTTP method and status; error is one without an answer.",
		}, []string{"provider", "method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sluice_forge_request_duration_seconds",
			Help:    "How long requests to the APIs of forges take, with the body of the answer.",
			Buckets: []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30},
		}, []string{"provider"}),
	}
}

// observe counts a request; code 0 is one without an answer.
func (m metrics) observe(provider, method string, code int, took time.Duration) {
	status := "error"
	if code != 0 {
		status = strconv.Itoa(code)
	}
	m.requests.WithLabelValues(provider, method, status).Inc()
	m.seconds.WithLabelValues(provider).Observe(took.Seconds())
}

var remainingRequests = prometheus.NewDesc("sluice_forge_rate_limit_remaining",
	"Requests that a forge still allows an identity, as it said last; identity is a digest of the credential.",
	[]string{"host", "identity"}, nil)

// Describe implements prometheus.Collector.
func (c *Clients) Describe(ch chan<- *prometheus.Desc) {
	c.metrics.requests.Describe(ch)
	c.metrics.seconds.Describe(ch)
	ch <- remainingRequests
}

// Collect implements prometheus.Collector.
func (c *Clients) Collect(ch chan<- prometheus.Metric) {
	c.metrics.requests.Collect(ch)
	c.metrics.seconds.Collect(ch)
	c.limits.mu.Lock()
	defer c.limits.mu.Unlock()
	for who, l := range c.limits.list {
		l.mu.Lock()
		if l.remaining >= 0 {
			ch <- prometheus.MustNewConstMetric(remainingRequests, prometheus.GaugeValue, float64(l.remaining), who.host, who.identity)
		}
		l.mu.Unlock()
	}
}
