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
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/canary/workload"
)

// errOvertaken means that the cache has not seen the last status yet. Writing on
// top of it would be a conflict, which is retried without a word.
var errOvertaken = errors.New("status was overtaken")

// look is what one reconcile saw, and what it acts with.
type look struct {
	canary *flaggerv1.Canary
	// routed is the canary as its router is to see it.
	routed *flaggerv1.Canary
	prev   canary.State
	seen   canary.Observation
	pair   *workload.Workloads
	router router.Router
	// waits means that answers are still to come.
	waits bool
	// next is the phase that the step leads to.
	next flaggerv1.CanaryPhase
}

// maxRounds bounds how often one answer may lead to another question.
const maxRounds = 10

// observe reads only. A check that is due is measured.
func (r *Reconciler) observe(ctx context.Context, c *flaggerv1.Canary, now time.Time) (*look, error) {
	plan, routes, err := r.plan(c)
	if err != nil {
		return nil, err
	}
	unmeasurable, err := r.checkMetrics(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := r.rehearse(ctx, c); err != nil {
		return nil, err
	}
	if err := r.checkStatus(ctx, c); err != nil {
		return nil, err
	}
	pair, err := r.workloads.Observe(ctx, c)
	if dependErr := r.feed.depend(ctx, client.ObjectKeyFromObject(c), r.dependencies(pair, c, routes)); dependErr != nil && (err == nil || errors.Is(dependErr, router.ErrNotInstalled)) {
		err = dependErr
	}
	if err != nil {
		return nil, err
	}
	l := &look{canary: c, prev: r.state(c), pair: pair, router: routes}
	l.seen = canary.Observation{
		Names: r.names(c), Plan: plan,
		Target: pair.Target, Primary: pair.Primary, Snapshots: pair.Saved,
		Command: r.command(c), Recognised: recognised(c, pair), Edited: pair.Edited, Unmeasurable: unmeasurable,
	}
	if err := l.readRoute(ctx); err != nil {
		return nil, err
	}
	if why := r.fights.on(r.routeThings(c, routes)); why != "" {
		// Whatever they say now, users are not where they should be for long.
		l.seen.RoutePending, l.seen.RouteRefused, l.seen.RouteReason = true, true, why
	}
	l.seen.Alarm = r.sampler.alarm(c, l.prev.Applied)
	return l, r.enquire(l, now)
}

// enquire gets the answers that a decision needs, as far as they are there.
func (r *Reconciler) enquire(l *look, now time.Time) error {
	for range maxRounds {
		q := canary.Due(l.prev, l.seen, now)
		if q.None() {
			return nil
		}
		if !r.probe.ask(l, q) {
			l.waits = true
			return nil
		}
	}
	return fmt.Errorf("deciding on canary %s.%s: one question leads to another", l.canary.Name, l.canary.Namespace)
}

// command is what a person wants and was not carried out yet.
func (r *Reconciler) command(c *flaggerv1.Canary) *flaggerv1.CanaryCommand {
	value, ok := c.Annotations[flaggerv1.CommandAnnotation]
	if !ok {
		return nil
	}
	command, err := flaggerv1.ParseCommand(value)
	if err != nil {
		r.warnOnce(c, err)
		return nil
	}
	if last := c.Status.LastCommand; last != nil && last.Same(command) {
		return nil
	}
	return &command
}

// plan reads the spec; what cannot be honoured is a terminal error.
func (r *Reconciler) plan(c *flaggerv1.Canary) (canary.Plan, router.Router, error) {
	limits := r.limits()
	routes, err := r.route(c)
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
		Kind: c.Spec.TargetRef.Kind, Identity: c.Spec.TargetRef.Identity(), Provider: provider.Of(c, r.Provider).Name}
}

// checkMetrics keeps a release from beginning that could not be measured: for good,
// which is an error, or because of what is missing. One that is under way is judged
// by its checks instead: a metric that was broken meanwhile fails them, and users are
// taken off the canary.
func (r *Reconciler) checkMetrics(ctx context.Context, c *flaggerv1.Canary) (missing string, err error) {
	if c.Status.UnderWay() || c.Spec.Analysis == nil || c.SkipAnalysis() {
		return "", nil
	}
	if err := r.teller.alerts.Check(ctx, c); err != nil {
		r.warnOnce(c, err) // nobody will hear of it, which is no reason not to release
	}
	err = r.checker.Supports(ctx, c)
	if err != nil && !errors.Is(err, reconcile.TerminalError(nil)) {
		return err.Error(), nil
	}
	return "", err
}

// checkStatus makes sure that the status is the last one that an earlier process
// wrote. What this one wrote since is waited for before a canary is looked at.
func (r *Reconciler) checkStatus(ctx context.Context, c *flaggerv1.Canary) error {
	if _, known := r.checked.Load(c.UID); known {
		return nil
	}
	latest := &flaggerv1.Canary{}
	if err := r.live.Get(ctx, client.ObjectKeyFromObject(c), latest); err != nil {
		return fmt.Errorf("reading canary %s.%s: %w", c.Name, c.Namespace, err)
	}
	if !equality.Semantic.DeepEqual(latest.Status, c.Status) {
		return errOvertaken
	}
	r.checked.Store(c.UID, true)
	return nil
}

// state is the status as the machine reads it.
func (r *Reconciler) state(c *flaggerv1.Canary) canary.State {
	return canary.State{
		Target:       c.Status.Target,
		Phase:        c.Status.Phase,
		FailedChecks: c.Status.FailedChecks,
		Weight:       c.Status.CanaryWeight,
		Fallback:     c.Status.Fallback.DeepCopy(),
		Iterations:   c.Status.Iterations,
		Applied:      c.Status.Applied(),
		Promoted:     c.Status.Promoted(),
		At:           r.ticks.precise(c),
		Hold:         c.Status.Hold.DeepCopy(),
		LastCommand:  c.Status.LastCommand.DeepCopy(),
		Cookies: canary.Cookies{
			Canary:   c.Status.SessionAffinityCookie,
			Previous: c.Status.PreviousSessionAffinityCookie,
			Primary:  c.Status.PrimarySessionAffinityCookie,
		},
		History: c.Status.DeepCopy().History,
	}
}

// readRoute reads the live weights. A route that does not exist yet, or that no
// gateway has accepted, has none.
func (l *look) readRoute(ctx context.Context) error {
	weights, err := l.router.Weights(ctx, l.canary)
	if errors.Is(err, router.ErrNotAccepted) || apierrors.IsNotFound(err) {
		l.seen.RoutePending = true
		if verdict := (*router.NotAccepted)(nil); errors.As(err, &verdict) {
			l.seen.RouteReason, l.seen.RouteRefused = verdict.Why, verdict.Refused
		}
		return nil
	}
	if err != nil {
		return err
	}
	l.seen.Weights = weights
	if !l.seen.Plan.ABTest || !l.seen.Plan.Routed || weights.Canary == 0 {
		return nil
	}
	all, err := l.router.Weights(ctx, forEveryone(l.canary))
	l.seen.Everyone = err == nil && all.Canary == weights.Canary
	return client.IgnoreNotFound(err)
}

// forEveryone is a canary as its router sees it that is not for chosen users, nor for
// those only whom no cookie binds.
func forEveryone(c *flaggerv1.Canary) *flaggerv1.Canary {
	copied := c.DeepCopy()
	if a := copied.Spec.Analysis; a != nil {
		a.Match, a.SessionAffinity = nil, nil
	}
	return copied
}
