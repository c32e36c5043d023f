// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"github.com/prometheus/client_golang/prometheus"
)

// scanMetrics count scans, by host.
type scanMetrics struct {
	scans   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

// Outcomes of a scan, in metrics.
const (
	outcomeListed      = "listed"       // the registry sent tags that are new
	outcomeUnchanged   = "unchanged"    // the registry sent the tags that are known
	outcomeNotModified = "not_modified" // the registry said 304
	outcomeShared      = "shared"       // another object had just asked
	outcomeFailed      = "failed"
)

func newMetrics() *scanMetrics {
	return &scanMetrics{
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
}

// Describe implements prometheus.Collector.
func (c *Client) Describe(to chan<- *prometheus.Desc) {
	c.metrics.scans.Describe(to)
	c.metrics.seconds.Describe(to)
}

// Collect implements prometheus.Collector.
func (c *Client) Collect(to chan<- prometheus.Metric) {
	c.metrics.scans.Collect(to)
	c.metrics.seconds.Collect(to)
}
