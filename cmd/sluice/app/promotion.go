// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	// Windows of pipelines are in time zones, and images without a base have no files of
	// them.
	_ "time/tzdata"

	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/sluice-cd/sluice/canary/metric"
	"github.com/sluice-cd/sluice/controllers/freeze"
	"github.com/sluice-cd/sluice/controllers/pipeline"
	"github.com/sluice-cd/sluice/promotion/forge"
)

func (w *wiring) promotion(ctx context.Context) error {
	forges, err := w.forges()
	if err != nil {
		return err
	}
	registries, err := w.registries()
	if err != nil {
		return err
	}
	pipelines := &pipeline.Reconciler{
		Client: w.mgr.GetClient(), Live: w.mgr.GetAPIReader(), Writer: w.writer, Mirrors: w.mirrors, Clock: w.clock,
		ServesSources: w.flags.serves("source"), Sources: &w.pushed,
		Access: w.access(), Forges: forges, Registry: registries, KubeConfigs: w.kubeConfigs(), Checker: w.checker(),
	}
	freezes := &freeze.Reconciler{Client: w.mgr.GetClient(), Live: w.mgr.GetAPIReader(), Clock: w.clock}
	return errors.Join(pipelines.SetupWithManager(ctx, w.mgr, w.options), freezes.SetupWithManager(w.mgr, w.options))
}

// checker measures the metrics of pipelines. It reads MetricTemplates and their Secrets
// one at a time, when they are needed.
func (w *wiring) checker() *metric.Checker {
	f := &w.flags.canary
	options := []metric.Option{
		metric.WithField(pipeline.MetricsField), metric.WithAPIServer(w.mgr.GetConfig()), metric.WithGuard(w.guard), metric.WithMemory(w.memory),
	}
	if w.flags.noCrossNamespace {
		options = append(options, metric.WithoutCrossNamespaceRefs())
	}
	return metric.NewChecker(w.mgr.GetAPIReader(), f.metricsServer, w.clock, options...)
}

// forges reach the APIs of Git servers, for all controllers, so that they share limits. Tokens of GitHub Apps have a cache of their own:
// those of clouds must not push them out.
func (w *wiring) forges() (*forge.Clients, error) {
	if w.clients != nil {
		return w.clients, nil
	}
	tokens, err := w.flags.identity.cache("sluice_forge_token_")
	if err != nil {
		return nil, err
	}
	w.clients = forge.NewClients(forge.Options{Guard: w.guard, Clock: w.clock, Tokens: tokens})
	return w.clients, metrics.Registry.Register(w.clients)
}
