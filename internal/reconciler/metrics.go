// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
)

// durations has the name, the labels and the buckets that Flux's controllers have,
// and with them the dashboards and alerts that people have made.
var durations = prometheus.NewHistogramVec(prometheus.HistogramOpts{
	Name:    "gotk_reconcile_duration_seconds",
	Help:    "Time that one run of an object took, by kind, name and namespace.",
	Buckets: prometheus.ExponentialBuckets(10e-9, 10, 10),
}, []string{"kind", "name", "namespace"})

// registerMetrics tolerates that another kind did so.
func registerMetrics(registry prometheus.Registerer) error {
	var already prometheus.AlreadyRegisteredError
	if err := registry.Register(durations); err != nil && !errors.As(err, &already) {
		return err
	}
	return nil
}

// measure notes how long a run took.
func measure(kind string, key types.NamespacedName, took time.Duration) {
	durations.WithLabelValues(kind, key.Name, key.Namespace).Observe(took.Seconds())
}

// forgetRuns ends the series of an object that is gone.
func forgetRuns(kind string, key types.NamespacedName) {
	durations.DeleteLabelValues(kind, key.Name, key.Namespace)
}
