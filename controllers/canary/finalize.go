package canary

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/canary/router"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// Finalize implements [reconciler.Finalizer]: users go back to the target, once
// it has its pods again. Without spec.revertOnDeletion it lets go at once.
func (r *Reconciler) Finalize(ctx context.Context, c *flaggerv1.Canary) error {
	if !c.Spec.RevertOnDeletion || c.Status.Phase == flaggerv1.CanaryPhaseTerminated {
		return nil
	}
	settle(c)
	if err := r.end(ctx, c, flaggerv1.CanaryPhaseTerminating); err != nil {
		return err
	}
	r.ease(c)
	if err := r.revert(ctx, c); err != nil {
		return err
	}
	return r.end(ctx, c, flaggerv1.CanaryPhaseTerminated)
}

// revert gives back what the canary took.
func (r *Reconciler) revert(ctx context.Context, c *flaggerv1.Canary) error {
	pair, err := r.workloads.Observe(ctx, c)
	if errors.Is(err, reconcile.TerminalError(nil)) {
		// A target that could not be taken over needs nothing back; one that was, and is
		// another's or unknown by now, is not to be touched. But its users have to get
		// away from a primary that is about to go.
		if err := pair.RestoreServices(ctx); err != nil {
			return err
		}
		return finalizeAll(ctx, r.writtenRoutes(c))
	}
	if err != nil {
		return err
	}
	routes := r.allRoutes(c)
	things := workloadThings(pair)
	for _, of := range routes {
		things = append(things, r.routeThings(of.canary, of.router)...)
	}
	if err := r.feed.depend(ctx, client.ObjectKeyFromObject(c), things); err != nil {
		return err
	}
	why, err := pair.RevertTarget(ctx)
	if err != nil {
		return err
	}
	if why != "" {
		return errWaiting{fmt.Sprintf("waiting for %s.%s before its users return: %s", c.Spec.TargetRef.Name, c.Namespace, why)}
	}
	if err := pair.RevertApex(ctx); err != nil {
		return err
	}
	return finalizeAll(ctx, routes)
}

// routesOf are the routes of a canary as a spec of it names them.
type routesOf struct {
	canary *flaggerv1.Canary
	router router.Router
}

func finalizeAll(ctx context.Context, routes []routesOf) error {
	for _, of := range routes {
		if err := of.router.Finalize(ctx, of.canary); err != nil {
			return err
		}
	}
	return nil
}

// writtenRoutes are the routes that were written last, none if that was never noted.
func (r *Reconciler) writtenRoutes(c *flaggerv1.Canary) []routesOf {
	if c.Status.Routing == nil {
		return nil
	}
	written := c.WithRouting(c.Status.Routing)
	routes, err := r.route(written)
	if err != nil {
		return nil // this version does not know the provider
	}
	return []routesOf{{written, routes}}
}

// allRoutes are the routes that were written last, and those that the spec names now
// if these are others: they may have been written before that was noted. Of a provider
// that is not known none were.
func (r *Reconciler) allRoutes(c *flaggerv1.Canary) []routesOf {
	all := r.writtenRoutes(c)
	routes, err := r.route(c)
	if err == nil && !reflect.DeepEqual(c.Status.Routing, c.RoutingBy(provider.Of(c, r.Provider).Name)) {
		all = append(all, routesOf{c, routes})
	}
	return all
}

// end shows how far a canary is that goes. The runner writes no status for such.
func (r *Reconciler) end(ctx context.Context, c *flaggerv1.Canary, phase flaggerv1.CanaryPhase) error {
	if c.Status.Phase == phase {
		return nil
	}
	before := c.DeepCopy()
	c.Status.Phase = phase
	r.setPromoted(c)
	if err := r.live.Status().Patch(ctx, c, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("recording termination: %w", err)
	}
	r.teller.Event(c, reconciler.Event{Type: corev1.EventTypeNormal, Reason: flaggerv1.EventSynced,
		Message: fmt.Sprintf("%s canary %s.%s", phase, c.Name, c.Namespace)})
	return nil
}
