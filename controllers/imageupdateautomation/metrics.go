package imageupdateautomation

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	pushConflicts = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "sluice_push_conflicts_total",
		Help: "Pushes of image updates that lost a race against another writer of the branch.",
	})
	commitDuration = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "sluice_image_commit_duration_seconds",
		Help:    "Time from seeing that a policy chose another image to having pushed the commit that writes it.",
		Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
	})
)

// registerMetrics tolerates a second manager in the same process, as tests make.
func registerMetrics(registry prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{pushConflicts, commitDuration} {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(c); err != nil && !errors.As(err, &already) {
			return err
		}
	}
	return nil
}
