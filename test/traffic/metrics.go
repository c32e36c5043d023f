// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are the request counts of a gateway, by pod and status, named and
// labelled as the builtin checks of a canary expect.
type Metrics struct {
	// Ledger counts the same requests, if it is not nil.
	Ledger *Ledger

	registry *prometheus.Registry
	seconds  *prometheus.HistogramVec
	unserved *prometheus.CounterVec
}

// NewMetrics returns metrics without any series.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "http_request_duration_seconds",
			Help:    "Time that pods took to answer requests of users.",
			Buckets: prometheus.ExponentialBuckets(0.001, 1.5, 24),
		}, []string{"kubernetes_namespace", "kubernetes_pod_name", "status"}),
		unserved: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_unserved_total",
			Help: "Requests that no pod was there to answer.",
		}, []string{"namespace", "route"}),
	}
	m.registry.MustRegister(m.seconds, m.unserved)
	return m
}

// Answered counts one request that a pod answered.
func (m *Metrics) Answered(namespace, pod string, status int, took time.Duration) {
	m.seconds.WithLabelValues(namespace, pod, strconv.Itoa(status)).Observe(took.Seconds())
	if m.Ledger != nil {
		m.Ledger.answered(pod, status, took)
	}
}

// Unserved counts one request that no pod could answer.
func (m *Metrics) Unserved(namespace, route string) {
	m.unserved.WithLabelValues(namespace, route).Inc()
	if m.Ledger != nil {
		m.Ledger.unserved()
	}
}

// Appeared starts the series of a pod at zero: the first failure of a pod is a
// rise from zero, which a series that starts at one would hide.
func (m *Metrics) Appeared(namespace, pod string) {
	for _, status := range []int{http.StatusOK, http.StatusInternalServerError} {
		m.seconds.WithLabelValues(namespace, pod, strconv.Itoa(status))
	}
}

// Gone ends the series of a pod.
func (m *Metrics) Gone(namespace, pod string) {
	m.seconds.DeletePartialMatch(prometheus.Labels{"kubernetes_namespace": namespace, "kubernetes_pod_name": pod})
}

// Serve lets the Prometheus that reads target files from the folder targets
// scrape the metrics, until ctx ends. The job tells two of them apart.
func (m *Metrics) Serve(ctx context.Context, targets, job string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	file := filepath.Join(targets, job+".json")
	if err := writeTarget(file, listener.Addr().String(), job); err != nil {
		return errors.Join(err, listener.Close())
	}
	server := &http.Server{Handler: promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}), ReadHeaderTimeout: time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	err = server.Serve(listener)
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, os.Remove(file))
}

// writeTarget renames into place, so that Prometheus never reads half a file.
func writeTarget(file, address, job string) error {
	data, err := json.Marshal([]map[string]any{{"targets": []string{address}, "labels": map[string]string{"source": job}}})
	if err != nil {
		return err
	}
	partial := file + ".partial"
	if err := os.WriteFile(partial, data, 0o644); err != nil {
		return fmt.Errorf("writing a scrape target: %w", err)
	}
	return os.Rename(partial, file)
}
