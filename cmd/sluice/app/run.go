// SPDX-License-Identifier: Apache-2.0

// Package app is the process behind `sluice controller`: its flags, its manager, and
// what each controller is given.
//
//	Command -> flags.validate -> run -> kindsWait -> manager -> wiring.all -> Start
//
// The groups of --controllers are served side by side in one process and share what
// is worth sharing: Git mirrors, the artifact store, the guard of outgoing
// connections, the memory budget and the hints between controllers. A group that
// another process serves is found through its objects, so that no group needs another
// one beside it.
//
// What listens: metrics (--metrics-addr), probes (--health-addr), artifacts
// (--storage-addr), webhooks (--receiverAddr) and, if asked for, events of others
// (--events-listen-addr) and profiles (--pprof-addr).
//
// controller-runtime's own lookup of the resource of a kind has a cache of ours before it:
// restmapper.go says why, and what was measured.
package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/kinds"
	"github.com/sluice-cd/sluice/internal/reconciler"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// run serves the groups that f names until ctx ends.
func run(ctx context.Context, config *rest.Config, f *flags) (err error) {
	lock, err := lockStorage(f.storagePath)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.release()) }()
	if err := f.checkListens(); err != nil {
		return err
	}
	limitMemory(ctrl.Log.WithName("setup"))
	f.identity.logFixedFeatures(ctrl.Log.WithName("setup"))
	f.flux.logFixed(ctrl.Log.WithName("setup"))
	f.identity.apply(f.defaultServiceAccount)
	wait, err := newKindsWait(config, f, clock.RealClock{}, ctrl.Log.WithName("setup"))
	if err != nil {
		return err
	}
	if err := wait.until(ctx, f.controllers); err != nil {
		if ctx.Err() != nil {
			return nil // told to end
		}
		return err
	}
	mgr, err := newManager(config, f)
	if err != nil {
		return err
	}
	events, err := recorder(mgr, f)
	if err != nil {
		return err
	}
	guard, err := f.outbound.guard(config)
	if err != nil {
		return err
	}
	memory, err := newMemory()
	if err != nil {
		return err
	}
	w := wiring{mgr: mgr, flags: f, events: events, clock: clock.RealClock{}, guard: guard, memory: memory, options: f.options(events)}
	if err := w.setupAll(ctx); err != nil {
		return err
	}
	if err := addEndpoints(mgr, f); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// newMemory is the budget for what is read from outside, with its metrics.
func newMemory() (*budget.Budget, error) {
	memory := budget.FromMemoryLimit()
	for _, metric := range memory.Collectors() {
		if err := metrics.Registry.Register(metric); err != nil {
			return nil, err
		}
	}
	return memory, nil
}

// addEndpoints adds what kubelets and people ask: probes, and profiles.
func addEndpoints(mgr ctrl.Manager, f *flags) error {
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	return addProfiles(mgr, f.pprofAddr)
}

// recorder tells events to the API server, and to Flux's notification-controller where
// --events-addr names it. Otherwise [wiring.alerts] has them told to Providers.
func recorder(mgr ctrl.Manager, f *flags) (*reconciler.EventSink, error) {
	events, err := reconciler.NewRecorder(mgr.GetConfig(), mgr.GetScheme())
	if err != nil {
		return nil, fmt.Errorf("making the event recorder: %w", err)
	}
	if f.eventsAddr != "" {
		forwarder, err := reconciler.NewForwarder(f.eventsAddr)
		if err != nil {
			return nil, fmt.Errorf("--events-addr: %w", err)
		}
		events.Listen = forwarder.Forward
		if err := mgr.Add(forwarder); err != nil {
			return nil, err
		}
	}
	return events, mgr.Add(events)
}

func newManager(config *rest.Config, f *flags) (ctrl.Manager, error) {
	scheme, err := kinds.Scheme()
	if err != nil {
		return nil, err
	}
	options := ctrl.Options{
		Scheme:                  scheme,
		MapperProvider:          newMapper,
		Metrics:                 metricsserver.Options{BindAddress: f.metricsAddr},
		HealthProbeBindAddress:  f.healthAddr,
		LeaderElection:          f.leaderElect,
		LeaderElectionNamespace: f.namespace,
		Cache:                   cache.Options{DefaultTransform: cache.TransformStripManagedFields()},
		// Secrets and ConfigMaps are read when they are needed: caching them
		// would hold every secret of the cluster in memory.
		Client: client.Options{Cache: &client.CacheOptions{
			DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}},
		}},
	}
	f.lease.apply(&options)
	if err := f.watch.restrict(&options.Cache, f.namespace); err != nil {
		return nil, err
	}
	mgr, err := ctrl.NewManager(config, options)
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	return mgr, nil
}
