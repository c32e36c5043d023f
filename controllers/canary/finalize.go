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
	if !c.Spec.RevertOnDeletion {
		return nil
	}
	if err := r.terminating(ctx, c); err != nil {
		return err
	}
	r.ease(c)
	routes, routeErr := r.route(c)
	pair, err := r.kit.Look(ctx, c)
	if errors.Is(err, reconcile.TerminalError(nil)) {
		return nil // a target that could not be taken over needs nothing back
	}
	if err != nil {
		return err
	}
	if routeErr == nil {
		if err := r.feed.depend(ctx, client.ObjectKeyFromObject(c), dependencies(pair, c, routes)); err != nil {
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

// terminating shows that the canary is on its way out. The runner writes no
// status for objects that go.
func (r *Reconciler) terminating(ctx context.Context, c *flaggerv1.Canary) error {
	if c.Status.Phase == flaggerv1.CanaryPhaseTerminating {
		return nil
	}
	before := c.DeepCopy()
	c.Status.Phase = flaggerv1.CanaryPhaseTerminating
	r.setPromoted(c)
	if err := r.live.Status().Patch(ctx, c, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("recording termination: %w", err)
	}
	r.teller.Event(c, reconciler.Event{Type: corev1.EventTypeNormal, Reason: reasonSynced,
		Message: fmt.Sprintf("Terminating canary %s.%s", c.Name, c.Namespace)})
	return nil
}
