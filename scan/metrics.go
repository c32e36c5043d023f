package scan

import (
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics count what registries are asked, by host.
type Metrics struct {
	requests *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	waits    *prometheus.CounterVec
	scans    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec

	mu    sync.Mutex
	known map[string]bool // hosts that have series
}

// maxHosts bounds the hosts that have series of their own: a server may name
// others without end, and a series never goes.
const maxHosts = 500

// host is the label of a host, or of all that are too many.
func (m *Metrics) host(name string) string {
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

// What came of a scan, in metrics.
const (
	outcomeListed      = "listed"       // the registry sent tags that are new
	outcomeUnchanged   = "unchanged"    // the registry sent the tags that are known
	outcomeNotModified = "not_modified" // the registry said 304
	outcomeShared      = "shared"       // another object had just asked
	outcomeFailed      = "failed"
)

// NewMetrics registers the metrics of this package.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
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
		scans: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_registry_scans_total",
			Help: "Scans by host and outcome: listed, unchanged, not_modified (304), shared (another object had just asked) or failed.",
		}, []string{"host", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sluice_registry_scan_duration_seconds",
			Help:    "Time to list all tags of an image, by host.",
			Buckets: prometheus.ExponentialBuckets(0.01, 3, 9),
		}, []string{"host"}),
	}
	return m, errors.Join(registry.Register(m.requests), registry.Register(m.bytes), registry.Register(m.waits),
		registry.Register(m.scans), registry.Register(m.seconds))
}

func (m *Metrics) scanned(host, outcome string, took time.Duration) {
	host = m.host(host)
	m.scans.WithLabelValues(host, outcome).Inc()
	m.seconds.WithLabelValues(host).Observe(took.Seconds())
}
