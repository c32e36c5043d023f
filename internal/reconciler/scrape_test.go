// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetricsOfObjectsAreShownByTheLeader(t *testing.T) {
	desc := prometheus.NewDesc("objects", "Objects.", nil, nil)
	s := &Scraped{descs: []*prometheus.Desc{desc}, log: logr.Discard(), collect: func(_ context.Context, to chan<- prometheus.Metric) error {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, 1)
		return errors.New("the rest could not be listed")
	}}
	shown := func(want int) {
		t.Helper()
		if got := testutil.CollectAndCount(s); got != want {
			t.Errorf("%d series, want %d", got, want)
		}
	}
	shown(0)
	ctx, resign := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Start(ctx) }()
	for s.leading.Load() == nil {
		runtime.Gosched()
	}
	shown(1)
	resign()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	shown(0)
}
