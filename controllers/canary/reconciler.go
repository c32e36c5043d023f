// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/canary/workload"
	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/wake"
	"github.com/sluice-cd/sluice/notify/alert"
)

// Reconciler serves Canaries.
type Reconciler struct {
	// Provider routes the traffic of canaries that name none.
	Provider string
	// MetricsServer is the URL of the Prometheus of canaries that name none.
	MetricsServer string
	// MinInterval is the shortest time between two checks; zero is
	// [flaggerv1.MinAnalysisInterval].
	MinInterval time.Duration
	// Workload are the settings for copies of workloads.
	Workload workload.Options
	// IngressClass and IngressAnnotations are those of [router.Deps].
	IngressClass, IngressAnnotations string
	// Mesh is the cluster with the control plane of the service mesh, where routes are
	// written; nil is the one that the workloads run in. The manager starts it.
	Mesh cluster.Cluster
	// Alerts are the settings of chat rooms, by Flagger's flags. Reader, Clock, Log,
	// Failed and NoCrossNamespaceRefs are filled in.
	Alerts alert.Options
	// EventWebhook gets the events of canaries that have no event hook.
	EventWebhook string
	// NoCrossNamespaceRefs refuses MetricTemplates, AlertProviders and Upstreams of
	// other namespaces, and hosts of a mesh that are not of the Canary's own.
	NoCrossNamespaceRefs bool
	// Guard decides where canaries, their metrics, webhooks and alerts may point; nil
	// lets them point anywhere.
	Guard *outbound.Guard
	// Memory is shared with all else that is read from outside; nil is without bound.
	Memory *budget.Budget
	// Log gets errors of what runs in the background.
	Log logr.Logger
	// Version is a label of the metric flagger_info.
	Version string
	// Clock ticks between samples, and says when to ask again what asks for that; nil is the real one.
	Clock clock.WithTicker
	// Registry gets the metrics; nil is controller-runtime's.
	Registry prometheus.Registerer

	// wake starts reconciles from the watches, the queries and the sampler.
	wake        wake.Source
	clock       clock.PassiveClock
	observer    *observer
	recorder    *statusRecorder
	reverter    *reverter
	notifier    *notifier
	contentions *contentions
	metrics     *metrics
}

// installDelay is when to look again for a kind that the cluster does not know, which
// nothing tells when somebody installs it, and for an object that somebody has to make.
const installDelay = 15 * time.Second

// takenDelay is when to look again whether the place of a copy is free, or pods of others
// are gone. Copies of ConfigMaps and Secrets are not watched, nor are pods.
const takenDelay = 30 * time.Second

// failed is the verdict on a revision, which only another revision changes.
func failed(message string) error {
	return reconciler.WithReason(string(flaggerv1.CanaryPhaseFailed), errors.New(message))
}

// notReady is a state that keeps a canary from working, and that others mend.
func notReady(message string) error {
	return reconciler.WithReason(flaggerv1.NotReadyReason, errors.New(message))
}

// Reconcile implements [reconciler.Controller].
func (r *Reconciler) Reconcile(ctx context.Context, c *flaggerv1.Canary) (reconciler.Result, error) {
	result, err := r.reconcile(ctx, c)
	if errors.Is(err, router.ErrNotInstalled) || errors.Is(err, object.ErrMissing) {
		err = reconciler.Waiting(err, installDelay)
	}
	if waitsForPlace(err) {
		err = reconciler.Waiting(err, takenDelay)
	}
	result.About = map[string]string{flaggerv1.EventState: releaseState(c.Status.Phase, err)}
	return result, err
}

// waitsForPlace reports whether others are in the way of a copy, or of its users, and may
// be gone by themselves.
func waitsForPlace(err error) bool {
	return errors.Is(err, workload.ErrShared) || errors.Is(err, workload.ErrTaken) && !errors.Is(err, reconcile.TerminalError(nil))
}

// reconcile observes, decides, performs and records.
func (r *Reconciler) reconcile(ctx context.Context, c *flaggerv1.Canary) (reconciler.Result, error) {
	now := r.clock.Now()
	restoreProvider(c)
	seen, err := r.observer.observe(ctx, c, now)
	if err != nil {
		r.stopMeasuring(c.UID)
		return r.leaveUnjudged(ctx, c, err)
	}
	decided, err := canary.Decide(seen.prev, seen.Observation, now)
	if err != nil {
		return reconciler.Result{}, reconcile.TerminalError(err)
	}
	r.observer.status.acts(c.UID)
	if err := r.perform(ctx, c, seen, decided); err != nil {
		return r.refusedMidway(ctx, c, seen, decided, err)
	}
	result, err := r.recorder.record(ctx, c, seen, decided)
	if measure := result.Recorded; measure != nil {
		result.Recorded = func() {
			measure()
			r.observer.status.record(c.UID)
		}
	}
	return result, err
}

// perform notes in the status what routes are made by, also if it fails, and carries out
// what was decided. A gateway that writes the status of its route at the same moment is
// no reason to report a failure.
func (r *Reconciler) perform(ctx context.Context, c *flaggerv1.Canary, seen *observed, decided canary.Decision) error {
	recordCookies(c, decided.State.Cookies)
	before := c.Status.Routing
	r.observer.routing.noteRoutes(c, seen.router)
	p := performer{workloads: seen.workloads, router: seen.router, routed: routedAs(c, decided.State), notify: func(hook flaggerv1.HookType) {
		r.notifier.hooks.Notify(c, hook, decided.State.Phase)
	}}
	key := client.ObjectKeyFromObject(c)
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		return p.perform(withCanary(ctx, key), decided.Actions)
	})
	if errors.Is(err, router.ErrRefused) {
		err = errors.Join(err, r.keepRoutes(withCanary(ctx, key), c, before, decided))
	}
	r.notifier.warnOfContention(c, r.contentions.takeReports(key))
	return err
}

// routedAs is a canary as its router is to see it: all users are on the canary while the
// primary cannot answer.
func routedAs(c *flaggerv1.Canary, state canary.State) *flaggerv1.Canary {
	if state.Fallback != nil {
		return forEveryone(c)
	}
	return c
}

// stopMeasuring stops finding things out for a canary that needs nothing.
func (r *Reconciler) stopMeasuring(uid types.UID) {
	r.observer.queries.forget(uid)
	r.observer.sampler.forget(uid)
	r.observer.comparisons.forget(uid)
}

// Reason implements [reconciler.Controller].
func (r *Reconciler) Reason(err error) string {
	switch {
	case waitsForPlace(err), errors.Is(err, object.ErrMissing):
		return flaggerv1.NotReadyReason
	case errors.Is(err, router.ErrNotInstalled):
		return flaggerv1.NotInstalledReason
	case errors.Is(err, reconcile.TerminalError(nil)):
		return flaggerv1.InvalidSpecReason
	default:
		return flaggerv1.ReconciliationFailedReason
	}
}
