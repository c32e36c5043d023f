package canary

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/metric"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/canary/workload"
)

// errOvertaken means that the cache has not seen the last status yet. Writing on
// top of it would be a conflict, which is retried without a word.
var errOvertaken = errors.New("status was overtaken")

// look is what one reconcile saw, and what it acts with.
type look struct {
	canary *flaggerv1.Canary
	seen   canary.Seen
	pair   *workload.Pair
	router router.Router
	took   time.Duration // by the measurements
}

// observe reads only. A check that is due is measured.
func (r *Reconciler) observe(ctx context.Context, c *flaggerv1.Canary, now time.Time) (*look, error) {
	plan, routes, err := r.plan(c)
	if err != nil {
		return nil, err
	}
	if err := r.checkMetrics(ctx, c); err != nil {
		return nil, err
	}
	if err := r.checkStatus(ctx, c); err != nil {
		return nil, err
	}
	pair, err := r.kit.Look(ctx, c)
	r.watched.set(client.ObjectKeyFromObject(c), dependencies(c, pair.Configs))
	if err != nil {
		return nil, err
	}
	l := &look{canary: c, pair: pair, router: routes}
	l.seen = canary.Seen{
		Names: r.names(c), Plan: plan, State: r.state(c),
		Target: pair.Target, Primary: pair.Primary, Saved: pair.Saved,
	}
	if err := l.readRoute(ctx); err != nil {
		return nil, err
	}
	l.seen.Measured = r.measure(ctx, c, canary.Due(l.seen, now).Metrics)
	l.took = r.clock.Since(now)
	return l, nil
}

// plan reads the spec; what cannot be honoured is a terminal error.
func (r *Reconciler) plan(c *flaggerv1.Canary) (canary.Plan, router.Router, error) {
	limits := r.limits()
	routes, err := router.New(canary.ProviderOf(c, limits), router.Deps{Client: r.live})
	if err != nil {
		return canary.Plan{}, nil, err
	}
	if err := routes.Supports(c); err != nil {
		return canary.Plan{}, nil, err
	}
	plan, err := canary.NewPlan(c, limits)
	if err != nil {
		return canary.Plan{}, nil, reconcile.TerminalError(err)
	}
	return plan, routes, nil
}

func (r *Reconciler) limits() canary.Limits {
	return canary.Limits{MinInterval: r.MinInterval, Provider: r.Provider}
}

func (r *Reconciler) names(c *flaggerv1.Canary) canary.Names {
	return canary.Names{Namespace: c.Namespace, Canary: c.Name, Target: c.Spec.TargetRef.Name,
		Kind: c.Spec.TargetRef.Kind, Provider: canary.ProviderOf(c, r.limits())}
}

// checkMetrics keeps a release from beginning that could never be measured. One
// that is under way is judged by its checks instead: a metric that was broken
// meanwhile fails them, and users are taken off the canary.
func (r *Reconciler) checkMetrics(ctx context.Context, c *flaggerv1.Canary) error {
	switch c.Status.Phase {
	case flaggerv1.CanaryPhaseProgressing, flaggerv1.CanaryPhaseWaitingPromotion,
		flaggerv1.CanaryPhasePromoting, flaggerv1.CanaryPhaseFinalising:
		return nil
	}
	if c.Spec.Analysis == nil || c.SkipAnalysis() {
		return nil
	}
	return r.checker.Supports(ctx, c)
}

// checkStatus makes sure that the status is the last one written.
func (r *Reconciler) checkStatus(ctx context.Context, c *flaggerv1.Canary) error {
	latest := &flaggerv1.Canary{}
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(c), latest); err != nil {
		return fmt.Errorf("reading canary %s.%s: %w", c.Name, c.Namespace, err)
	}
	if !equality.Semantic.DeepEqual(latest.Status, c.Status) {
		return errOvertaken
	}
	return nil
}

// state is the status as the machine reads it.
func (r *Reconciler) state(c *flaggerv1.Canary) canary.State {
	return canary.State{
		Phase:        c.Status.Phase,
		FailedChecks: c.Status.FailedChecks,
		Weight:       c.Status.CanaryWeight,
		Iterations:   c.Status.Iterations,
		Applied:      c.Status.LastAppliedSpec,
		Promoted:     c.Status.LastPromotedSpec,
		At:           r.ticks.precise(c),
	}
}

// readRoute reads the live weights. A route that does not exist yet, or that no
// gateway has accepted, has none.
func (l *look) readRoute(ctx context.Context) error {
	weights, err := l.router.Weights(ctx, l.canary)
	if errors.Is(err, router.ErrNotAccepted) || apierrors.IsNotFound(err) {
		l.seen.RoutePending = true
		return nil
	}
	if err != nil {
		return err
	}
	l.seen.Weights = canary.Weights(weights)
	return nil
}

// measure measures what is due. A metric that cannot be measured fails its check,
// whatever the reason: nobody knows whether the canary is any good.
func (r *Reconciler) measure(ctx context.Context, c *flaggerv1.Canary, due []canary.Metric) []canary.Measurement {
	measured := make([]canary.Measurement, 0, len(due))
	for i := range due {
		spec := c.Spec.Analysis.Metrics[i]
		m := canary.Measurement{Name: spec.Name}
		value, err := r.checker.Check(ctx, c, spec)
		switch {
		case errors.Is(err, metric.ErrNoValues):
			m.NoValues = true
		case err != nil:
			m.Err = err.Error()
		default:
			m.Value = value
			r.metrics.measured(c, spec.Name, value)
		}
		measured = append(measured, m)
	}
	return measured
}
