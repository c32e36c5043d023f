// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestRunsAreMeasuredAsFluxDoesUntilTheObjectIsGone(t *testing.T) {
	registry := prometheus.NewRegistry()
	for range 2 {
		if err := registerMetrics(registry); err != nil {
			t.Fatal(err)
		}
	}
	b := newTestEnv(t, scripted{func(*kustomizev1.Kustomization) (Result, error) { return Result{Reason: "Fine"}, nil }}, app(), nil)
	b.runner.name = "Measured"
	if _, err := b.reconcile(); err != nil {
		t.Fatal(err)
	}
	if n, err := testutil.GatherAndCount(registry, "gotk_reconcile_duration_seconds"); err != nil || n == 0 {
		t.Errorf("%d series, %v", n, err)
	}
	before, _ := testutil.GatherAndCount(registry)
	if err := b.client.Delete(context.Background(), app()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.reconcile(); err != nil {
		t.Fatal(err)
	}
	if after, _ := testutil.GatherAndCount(registry); after != before-1 {
		t.Errorf("%d series, there were %d", after, before)
	}
}
