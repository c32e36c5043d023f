// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// refusedMidway goes on measuring a release whose routes were edited into something that
// the API server refuses: else a canary that fails keeps its users until somebody corrects
// the edit. What leads no more users to it is recorded, such as a check that failed.
func (r *Reconciler) refusedMidway(
	ctx context.Context, c *flaggerv1.Canary, seen *observed, decided canary.Decision, err error,
) (reconciler.Result, error) {
	if !c.Status.UnderWay() || !errors.Is(err, router.ErrRefused) {
		return reconciler.Result{}, err
	}
	after := max(seen.Plan.Interval, flaggerv1.MinAnalysisInterval)
	err = reconciler.Waiting(reconciler.WithReason(flaggerv1.InvalidSpecReason, errors.New(err.Error())), after)
	if decided.State.Phase != seen.prev.Phase || decided.State.Weight != seen.prev.Weight {
		return reconciler.Result{}, err
	}
	result, recordErr := r.recorder.record(ctx, c, seen, decided)
	return result, errors.Join(err, recordErr)
}

// keepRoutes goes on noting the routes of before if those that replace them are refused:
// they lead the users still. Who is to leave the canary leaves it by them, too.
func (r *Reconciler) keepRoutes(ctx context.Context, c *flaggerv1.Canary, before *flaggerv1.CanaryRouting, decided canary.Decision) error {
	if before == nil || reflect.DeepEqual(before, c.Status.Routing) {
		return nil
	}
	c.Status.Routing = before
	routes := r.observer.routing.written(c)
	if decided.State.Weight > 0 || len(routes) == 0 {
		return nil
	}
	return routes[0].perform(ctx, []canary.Action{canary.TakeOff{}})
}

// perform carries out what concerns no more than the routes.
func (n namedRoutes) perform(ctx context.Context, actions []canary.Action) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		return performer{router: n.router, routed: n.canary}.perform(ctx, actions)
	})
}

// leaveUnjudged takes users off the canary of a release under way that is refused for
// good: nobody judges it until somebody corrects the refusal, which it returns. Users leave
// by the routes that were written last, whatever the spec says of them now.
func (r *Reconciler) leaveUnjudged(ctx context.Context, c *flaggerv1.Canary, refusal error) (reconciler.Result, error) {
	routing := r.observer.routing
	routes := routing.written(c)
	if !c.Status.UnderWay() || !errors.Is(refusal, reconcile.TerminalError(nil)) || len(routes) == 0 {
		return reconciler.Result{}, refusal
	}
	now, prev := r.clock.Now(), stateOf(c, r.observer.transitions.last(c))
	named := routes[0].canary
	workloads, err := r.observer.workloads.Observe(ctx, released(named, metav1.NewTime(now)))
	if err != nil {
		return reconciler.Result{}, stillOnCanary(refusal, err.Error())
	}
	seen := canary.Observation{Names: r.observer.names(named), Target: workloads.Target, Primary: workloads.Primary}
	seen.Plan.InPlace = provider.ForCanary(named, routing.defaultProvider).Routing == provider.ByPod
	decided := canary.LeaveUnjudged(prev, seen, now)
	if decided.Message != "" {
		return reconciler.Result{}, stillOnCanary(refusal, decided.Message)
	}
	if err := routes[0].perform(withCanary(ctx, client.ObjectKeyFromObject(c)), decided.Actions); err != nil {
		return reconciler.Result{}, stillOnCanary(refusal, err.Error())
	}
	state, result := decided.State, reconciler.Result{}
	c.Status.CanaryWeight, c.Status.Fallback, c.Status.Iterations = state.Weight, state.Fallback, state.Iterations
	if !state.At.Equal(prev.At) {
		c.Status.LastTransitionTime = metav1.NewTime(state.At)
		r.observer.transitions.record(c.UID, state.At)
	}
	for _, e := range decided.Events {
		result.Events = append(result.Events, eventOf(c, e))
	}
	return result, refusal
}

// released is a canary as one that is on its way out: of such a one it does not matter what
// of its target cannot be released.
func released(c *flaggerv1.Canary, now metav1.Time) *flaggerv1.Canary {
	out := c.DeepCopy()
	out.DeletionTimestamp = &now
	return out
}

// stillOnCanary is a refusal that looks again whether users can leave the canary by now.
func stillOnCanary(refusal error, why string) error {
	err := fmt.Errorf("%s; %s", reconciler.ConditionMessage(refusal), why)
	return reconciler.Waiting(reconciler.WithReason(flaggerv1.InvalidSpecReason, err), installDelay)
}
