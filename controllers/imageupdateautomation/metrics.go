// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

var (
	pushConflicts = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "sluice_push_conflicts_total",
		Help: "Pushes of image updates that lost a race against another writer of the branch.",
	})
	commitDuration = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "sluice_image_commit_duration_seconds",
		Help:    "Time from seeing that a policy chose another image to having pushed the commit that writes it.",
		Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800},
	})
	markers = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "sluice_image_markers",
		Help: "Markers of each automation after its last run: current, outdated, held or skipped.",
	}, []string{"namespace", "name", "state"})
	heldUpdates = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "sluice_image_updates_held",
		Help: "Updates of each automation that were reverted and are not written again.",
	}, []string{"namespace", "name"})
)

// observeMarkers shows what the status says.
func observeMarkers(a *imagev1.ImageUpdateAutomation) {
	counts, skipped := a.Status.Markers, 0
	for _, s := range counts.Skipped {
		skipped += s.Count
	}
	for state, count := range map[string]int{
		"current": counts.Current, "held": counts.Held, "skipped": skipped,
		"outdated": counts.Total - counts.Current - counts.Held - skipped,
	} {
		markers.WithLabelValues(a.Namespace, a.Name, state).Set(float64(count))
	}
	heldUpdates.WithLabelValues(a.Namespace, a.Name).Set(float64(len(a.Status.Held)))
}

// forgetMarkers ends the series of an automation that is gone.
func forgetMarkers(key types.NamespacedName) {
	labels := prometheus.Labels{"namespace": key.Namespace, "name": key.Name}
	markers.DeletePartialMatch(labels)
	heldUpdates.DeletePartialMatch(labels)
}

// registerMetrics tolerates a second manager in the same process, as tests make.
func registerMetrics(registry prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{pushConflicts, commitDuration, markers, heldUpdates} {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(c); err != nil && !errors.As(err, &already) {
			return err
		}
	}
	return nil
}
