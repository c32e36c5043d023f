// SPDX-License-Identifier: Apache-2.0

package outbox

import "github.com/prometheus/client_golang/prometheus"

// metrics of an outbox.
type metrics struct {
	waiting   prometheus.Gauge
	delivered prometheus.Counter
	dropped   *prometheus.CounterVec
}

func newMetrics() metrics {
	return metrics{
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sluice_outbox_waiting", Help: "Messages that wait to be delivered."}),
		delivered: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sluice_outbox_delivered_total", Help: "Messages that were delivered."}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_outbox_dropped_total", Help: "Messages that were not delivered: failed, or full if there was no room."},
			[]string{"reason"}),
	}
}

// Collectors are the metrics of the outbox, to be registered.
func (o *Outbox) Collectors() []prometheus.Collector {
	return []prometheus.Collector{o.metrics.waiting, o.metrics.delivered, o.metrics.dropped}
}
