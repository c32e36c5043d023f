// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// hostMetrics count what registries are asked, by host.
type hostMetrics struct {
	requests *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	waits    *prometheus.CounterVec

	mu    sync.Mutex
	known map[string]bool // hosts that have series
}

// maxHosts bounds the hosts that have series of their own: a server may name
// others without end, and a series never goes.
const maxHosts = 500

// host is the label of a host, or of all that are too many.
func (m *hostMetrics) host(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.known[name]:
	case len(m.known) >= maxHosts:
		return "other"
	default:
		m.known[name] = true
	}
	return name
}

func newMetrics() *hostMetrics {
	return &hostMetrics{
		known: map[string]bool{},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_registry_requests_total",
			Help: "Requests to registries and their token servers, by host and status; the status of a request that got no answer is 'error'.",
		}, []string{"host", "status"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_registry_received_bytes_total",
			Help: "Bytes read from the answers of registries and their token servers, by host.",
		}, []string{"host"}),
		waits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_registry_limiter_wait_seconds_total",
			Help: "Time that requests waited for their turn, by host.",
		}, []string{"host"}),
	}
}

// Describe implements prometheus.Collector.
func (c *Client) Describe(to chan<- *prometheus.Desc) {
	for _, metric := range []*prometheus.CounterVec{c.metrics.requests, c.metrics.bytes, c.metrics.waits} {
		metric.Describe(to)
	}
}

// Collect implements prometheus.Collector.
func (c *Client) Collect(to chan<- prometheus.Metric) {
	for _, metric := range []*prometheus.CounterVec{c.metrics.requests, c.metrics.bytes, c.metrics.waits} {
		metric.Collect(to)
	}
}

// HostLabel is the label of a host in metrics, or of all that are too many.
func (c *Client) HostLabel(host string) string { return c.metrics.host(host) }
