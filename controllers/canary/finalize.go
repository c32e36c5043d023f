package canary

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
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
	routes, routeErr := r.route(c)
	pair, err := r.kit.Look(ctx, c)
	if errors.Is(err, reconcile.TerminalError(nil)) {
		// A target that could not be taken over needs nothing back; one that was, and is
		// another's or unknown by now, is not to be touched.
		return pair.RestoreServices(ctx)
	}
	if err != nil {
		return err
	}
	if routeErr == nil {
		if err := r.feed.depend(ctx, client.ObjectKeyFromObject(c), r.dependencies(pair, c, routes)); err != nil {
			return err
		}
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
	if routeErr != nil {
		return nil // no such routes were ever made
	}
	return routes.Finalize(ctx, c)
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
