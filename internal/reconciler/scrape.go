// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// scrapePatience is how long one scrape waits for the cache, which Prometheus itself waits
// ten seconds for.
const scrapePatience = 5 * time.Second

// Scraped are metrics that are made of the objects in the cache whenever they are asked
// for: what is not there any more has no series, and a restart loses none. A replica that
// does not lead shows none, or everything would be there twice.
type Scraped struct {
	descs   []*prometheus.Desc
	collect Collect
	log     logr.Logger
	leading atomic.Pointer[context.Context] // nil while this process does not
}

// Collect sends the metrics of all objects. It has to read from the cache alone.
type Collect func(ctx context.Context, to chan<- prometheus.Metric) error

// AddScraped registers metrics, which collect makes of objects that mgr serves. It
// tolerates that another manager in the process did so, as in tests.
func AddScraped(mgr ctrl.Manager, collect Collect, descs ...*prometheus.Desc) error {
	s := &Scraped{descs: descs, collect: collect, log: mgr.GetLogger().WithName("metrics")}
	var already prometheus.AlreadyRegisteredError
	if err := metrics.Registry.Register(s); err != nil && !errors.As(err, &already) {
		return err
	}
	return mgr.Add(s)
}

// Start implements manager.Runnable: metrics are shown until ctx ends. The manager starts
// it once this process leads.
func (s *Scraped) Start(ctx context.Context) error {
	s.leading.Store(&ctx)
	<-ctx.Done()
	s.leading.Store(nil)
	return nil
}

// Describe implements prometheus.Collector.
func (s *Scraped) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range s.descs {
		to <- desc
	}
}

// Collect implements prometheus.Collector. A cache that does not answer costs these
// metrics, and no others.
func (s *Scraped) Collect(to chan<- prometheus.Metric) {
	leading := s.leading.Load()
	if leading == nil {
		return
	}
	ctx, cancel := context.WithTimeout(*leading, scrapePatience)
	defer cancel()
	if err := s.collect(ctx, to); err != nil {
		s.log.Error(err, "some metrics of objects are missing in this scrape")
	}
}
