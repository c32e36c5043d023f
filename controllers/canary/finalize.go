// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/workload"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// reverter gives back what a deleted canary took.
type reverter struct {
	status    client.Client
	workloads *workload.Manager
	routing   *routing
	watcher   *dynamicWatcher
	recorder  reconciler.Recorder
	clock     clock.PassiveClock
}

// Finalize implements [reconciler.Finalizer]: users go back to the target, once
// it has its pods again. Without spec.revertOnDeletion it lets go at once.
func (r *Reconciler) Finalize(ctx context.Context, c *flaggerv1.Canary) error {
	if !c.Spec.RevertOnDeletion || c.Status.Phase == flaggerv1.CanaryPhaseTerminated {
		return nil
	}
	restoreProvider(c)
	if err := r.reverter.enter(ctx, c, flaggerv1.CanaryPhaseTerminating); err != nil {
		return err
	}
	r.stopMeasuring(c.UID)
	if err := r.reverter.revert(ctx, c); err != nil {
		return err
	}
	return r.reverter.enter(ctx, c, flaggerv1.CanaryPhaseTerminated)
}

// returnDelay is when to look again at a target that starts, of which watches tell as well.
const returnDelay = 10 * time.Second

// revert makes the target serve its users again.
func (f *reverter) revert(ctx context.Context, c *flaggerv1.Canary) error {
	workloads, err := f.workloads.Observe(ctx, c)
	if errors.Is(err, reconcile.TerminalError(nil)) {
		// A target that could not be taken over needs nothing back; one that was, and is
		// another's or unknown by now, is not to be touched. But its users have to get
		// away from a primary that is about to go.
		if err := workloads.RestoreServices(ctx); err != nil {
			return err
		}
		return finalizeRoutes(ctx, f.routing.written(c))
	}
	if err != nil {
		return err
	}
	routes, objects := f.routing.writtenAndWanted(c), workloadObjects(workloads)
	for _, named := range routes {
		objects = append(objects, f.routing.objects(named.canary, named.router)...)
	}
	if err := f.watcher.depend(ctx, client.ObjectKeyFromObject(c), objects); err != nil {
		return err
	}
	why, err := workloads.RevertTarget(ctx)
	if err != nil {
		return err
	}
	if why != "" {
		err := notReady(fmt.Sprintf("waiting for %s.%s before its users return: %s", c.Spec.TargetRef.Name, c.Namespace, why))
		if f.clock.Since(c.DeletionTimestamp.Time) < c.ProgressDeadline() {
			return reconciler.Pending(err, returnDelay) // pods take a while, as in every release
		}
		return err
	}
	if err := workloads.RevertApex(ctx); err != nil {
		return err
	}
	return finalizeRoutes(ctx, routes)
}

// enter shows how far the end of a canary is. The runner writes no status for such.
func (f *reverter) enter(ctx context.Context, c *flaggerv1.Canary, phase flaggerv1.CanaryPhase) error {
	if c.Status.Phase == phase {
		return nil
	}
	before := c.DeepCopy()
	c.Status.Phase = phase
	setPromoted(c, f.clock.Now())
	if err := f.status.Status().Patch(ctx, c, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("recording termination: %w", err)
	}
	f.recorder.Event(c, reconciler.Event{Type: corev1.EventTypeNormal, Reason: flaggerv1.EventSynced,
		Message: fmt.Sprintf("%s canary %s.%s", phase, c.Name, c.Namespace)})
	return nil
}
