// SPDX-License-Identifier: Apache-2.0

package git

import "github.com/prometheus/client_golang/prometheus"

var fetchedBytes = prometheus.NewDesc("sluice_git_fetched_bytes_total",
	"Bytes of the packs that were fetched from Git servers.", nil, nil)

// Describe implements prometheus.Collector.
func (m *Mirrors) Describe(ch chan<- *prometheus.Desc) { ch <- fetchedBytes }

// Collect implements prometheus.Collector.
func (m *Mirrors) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(fetchedBytes, prometheus.CounterValue, float64(m.fetched.Load()))
}
