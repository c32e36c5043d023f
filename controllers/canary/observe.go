// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/metric"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/canary/workload"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/resourceversion"
)

// observer reads what a decision on a canary is made of.
type observer struct {
	minInterval     time.Duration
	routing         *routing
	workloads       *workload.Manager
	status          *statusCheck
	rehearsal       *routeDryRun
	checker         *metric.Checker
	watcher         *dynamicWatcher
	contentions     *contentions
	queries         *queries
	sampler         *sampler
	comparisons     *comparisons
	transitions     *transitions
	notifier        *notifier
	alerts          *alertChecks
	targetConflicts targetConflicts
}

// observed is what one reconcile saw, and what it acts with.
type observed struct {
	// prev is the state that the status records.
	prev canary.State
	canary.Observation
	workloads *workload.Workloads
	router    router.Router
	remarks   []remark
	// pending means that answers are still to come.
	pending bool
	// refused is the terminal error by which no release could be measured. All else is
	// maintained.
	refused error
}

// maxRounds bounds how often one answer may lead to another question.
const maxRounds = 10

// observe reads only. A check that is due is measured.
func (o *observer) observe(ctx context.Context, c *flaggerv1.Canary, now time.Time) (*observed, error) {
	plan, routes, err := o.plan(c)
	if err != nil {
		return nil, err
	}
	if err := o.targetConflicts.check(ctx, c); err != nil {
		return nil, err
	}
	unmeasurable, refused := o.checkMetrics(ctx, c, plan)
	if refused != nil && isNew(c) {
		return nil, reconciler.Waiting(refused, installDelay)
	}
	if err := o.rehearsal.check(ctx, c); err != nil {
		return nil, err
	}
	if err := o.status.check(ctx, c); err != nil {
		return nil, err
	}
	workloads, err := o.workloads.Observe(ctx, c)
	routeObjects, gateways := o.routing.objects(c, routes), o.routing.gateways(c, routes)
	needed := append(workloadObjects(workloads), routeObjects...)
	alerts := o.alerts.check(ctx, c)
	dependErr := o.watcher.depend(ctx, client.ObjectKeyFromObject(c), needed, slices.Concat(objectsOf(gateways), alerts.on)...)
	if dependErr != nil && (err == nil || errors.Is(dependErr, router.ErrNotInstalled)) {
		err = dependErr
	}
	if err != nil {
		return nil, err
	}
	seen := &observed{prev: stateOf(c, o.transitions.last(c)), workloads: workloads, router: routes, refused: refused}
	seen.remarks = slices.Concat(portRemarks(c, workloads.PortRemark), o.gatewayRemarks(ctx, gateways), specRemarks(plan),
		alertRemarks(alerts.unheard))
	o.notifier.warnRemarks(c, seen.remarks)
	seen.Observation = canary.Observation{
		Names: o.names(c), Plan: plan,
		Target: workloads.Target, Primary: workloads.Primary, Snapshots: workloads.Saved,
		Command: o.command(c), Recognised: recognised(c, workloads), Edited: workloads.Edited, Unmeasurable: unmeasurable,
		Unrecorded: !o.status.isRecorded(c.UID),
	}
	if err := seen.readRoute(ctx, c); err != nil {
		return nil, err
	}
	if why := o.contentions.about(routeObjects); why != "" {
		// Whatever they say now, users are not where they should be for long.
		seen.RoutePending, seen.RouteRefused, seen.RouteReason = true, true, why
	}
	seen.Alarm = o.sampler.alarm(c, seen.prev.Applied)
	seen.JudgeResult = o.comparisons.result(c, seen.prev, plan)
	return seen, o.answerQuestions(ctx, c, seen, now)
}

// answerQuestions has metrics measured and webhooks called until the decision needs no
// further answer, or one that is not there yet.
func (o *observer) answerQuestions(ctx context.Context, c *flaggerv1.Canary, seen *observed, now time.Time) error {
	for range maxRounds {
		q := canary.Due(seen.prev, seen.Observation, now)
		if q.None() {
			return nil
		}
		if !o.queries.ask(ctx, c, seen, q) {
			seen.pending = true
			return nil
		}
	}
	return fmt.Errorf("deciding on canary %s.%s: one question leads to another", c.Name, c.Namespace)
}

// command is what a person wants and was not carried out yet.
func (o *observer) command(c *flaggerv1.Canary) *flaggerv1.CanaryCommand {
	value, ok := c.Annotations[flaggerv1.CommandAnnotation]
	if !ok {
		return nil
	}
	command, err := flaggerv1.ParseCommand(value)
	if err != nil {
		o.notifier.warnOnce(c, aboutCommand, err)
		return nil
	}
	if last := c.Status.LastCommand; last != nil && last.Same(command) {
		return nil
	}
	return &command
}

// plan reads the spec; what cannot be honoured is a terminal error.
func (o *observer) plan(c *flaggerv1.Canary) (canary.Plan, router.Router, error) {
	routes, err := o.routing.routerOf(c)
	if err != nil {
		return canary.Plan{}, nil, err
	}
	if err := routes.Supports(c); err != nil {
		return canary.Plan{}, nil, err
	}
	plan, err := canary.NewPlan(c, canary.PlanSettings{MinInterval: o.minInterval, Provider: o.routing.defaultProvider})
	if err != nil {
		return canary.Plan{}, nil, reconcile.TerminalError(err)
	}
	return plan, routes, nil
}

func (o *observer) names(c *flaggerv1.Canary) canary.Names {
	return canary.Names{Namespace: c.Namespace, Canary: c.Name, Target: c.Spec.TargetRef.Name,
		Kind: c.Spec.TargetRef.Kind, Identity: c.Spec.TargetRef.Identity(), Provider: o.routing.providerOf(c)}
}

// isNew reports whether nothing was made for a canary yet.
func isNew(c *flaggerv1.Canary) bool {
	return c.Status.Phase == "" || c.Status.Phase == flaggerv1.CanaryPhaseInitializing
}

// checkMetrics says why a release could not be measured, which keeps it from beginning: for
// good, which is an error as well, or because of what is missing. One that is under way is
// judged by its checks instead: a metric that was broken meanwhile fails them, and users
// are taken off the canary.
func (o *observer) checkMetrics(ctx context.Context, c *flaggerv1.Canary, plan canary.Plan) (why string, refused error) {
	if c.Status.UnderWay() || c.Spec.Analysis == nil || c.SkipAnalysis() {
		return "", nil
	}
	err := o.measurable(ctx, c)
	if plan.Impossible != "" {
		err = reconcile.TerminalError(errors.New(plan.Impossible))
	}
	switch {
	case err == nil:
		return "", nil
	case errors.Is(err, reconcile.TerminalError(nil)):
		return reconciler.ConditionMessage(err), err
	default:
		return err.Error(), nil
	}
}

// measurable reports why the metrics cannot be measured, or the counters not be read that the judge compares.
func (o *observer) measurable(ctx context.Context, c *flaggerv1.Canary) error {
	if err := o.checker.Supports(ctx, c); err != nil || c.Spec.Analysis.Judge == nil {
		return err
	}
	_, err := countersOf(o.checker)(ctx, c)
	return err
}

// errStale means that the cache has not seen the last write of an earlier process yet. Writing
// on top of it would be a conflict, which is retried without a word.
var errStale = errors.New("status was overtaken")

// statusCheck makes sure that the status is the last one that an earlier process wrote.
// What this one wrote since is waited for before a canary is reconciled. It keeps which
// canaries were checked, and of which all is recorded that was done, until they are gone.
type statusCheck struct {
	live     client.Reader
	checked  sync.Map // by UID
	recorded sync.Map // by UID
}

// acts notes that something is about to be done that the status does not say yet.
func (s *statusCheck) acts(uid types.UID) { s.recorded.Delete(uid) }

// record notes that the status says what was done last.
func (s *statusCheck) record(uid types.UID) { s.recorded.Store(uid, true) }

// isRecorded reports whether the status says what was done last. After a restart nobody knows.
func (s *statusCheck) isRecorded(uid types.UID) bool {
	_, ok := s.recorded.Load(uid)
	return ok
}

func (s *statusCheck) check(ctx context.Context, c *flaggerv1.Canary) error {
	if _, ok := s.checked.Load(c.UID); ok {
		return nil
	}
	latest := &flaggerv1.Canary{}
	if err := s.live.Get(ctx, client.ObjectKeyFromObject(c), latest); err != nil {
		return fmt.Errorf("reading canary %s.%s: %w", c.Name, c.Namespace, err)
	}
	if resourceversion.Older(c.ResourceVersion, latest.ResourceVersion) {
		return errStale
	}
	s.checked.Store(c.UID, true)
	return nil
}

func (s *statusCheck) forget(uid types.UID) {
	s.checked.Delete(uid)
	s.recorded.Delete(uid)
}

// stateOf is the status as the state machine reads it, with the precise time of the
// last transition.
func stateOf(c *flaggerv1.Canary, at time.Time) canary.State {
	status := c.Status.DeepCopy()
	return canary.State{
		Target:       status.Target,
		Phase:        status.Phase,
		FailedChecks: status.FailedChecks,
		Weight:       status.CanaryWeight,
		Fallback:     status.Fallback,
		Iterations:   status.Iterations,
		Applied:      status.Applied(),
		Promoted:     status.Promoted(),
		At:           at,
		Hold:         status.Hold,
		LastCommand:  status.LastCommand,
		Cookies: canary.Cookies{
			Canary:   status.SessionAffinityCookie,
			Previous: status.PreviousSessionAffinityCookie,
			Primary:  status.PrimarySessionAffinityCookie,
		},
		History: status.History,
	}
}

// readRoute reads the live weights. A route that does not exist yet, or that no
// gateway has accepted, has none.
func (s *observed) readRoute(ctx context.Context, c *flaggerv1.Canary) error {
	weights, err := s.router.Weights(ctx, c)
	if errors.Is(err, router.ErrNotAccepted) || apierrors.IsNotFound(err) {
		s.RoutePending = true
		if notAccepted := (*router.NotAccepted)(nil); errors.As(err, &notAccepted) {
			s.RouteReason, s.RouteRefused = notAccepted.Why, notAccepted.Refused
		}
		return nil
	}
	if err != nil {
		return err
	}
	s.Weights = weights
	if !s.Plan.ABTest || !s.Plan.Routed || weights.Canary == 0 {
		return nil
	}
	all, err := s.router.Weights(ctx, forEveryone(c))
	s.Everyone = err == nil && all.Canary == weights.Canary
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
