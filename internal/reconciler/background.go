// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/background"
)

const (
	// maxBackground bounds the runs of one kind that go on outside of the workers or
	// wait there for a slot.
	maxBackground = 16384
	// busyDelay is how soon an object comes back for which there is no room.
	busyDelay = time.Second
)

// inBackground runs the controller as a background task. A run that takes longer
// than a worker waits goes on to its end, the status patch included; the object comes
// back for its result, and nothing else happens to it until then.
func (r *runner[T]) inBackground(
	ctx context.Context, req reconcile.Request, obj T, run func(context.Context) (reconcile.Result, error),
) (reconcile.Result, error) {
	task := background.Request[types.NamespacedName]{Key: req.NamespacedName, Namespace: req.Namespace, Host: r.kind.Host(ctx, obj)}
	result, err := r.tasks.Run(ctx, task, run)
	switch {
	case errors.Is(err, background.ErrPending):
		return reconcile.Result{}, nil
	case errors.Is(err, background.ErrBusy):
		return reconcile.Result{RequeueAfter: busyDelay}, nil
	}
	return result, err
}

// isRunning reports whether a run of the object is under way, which another one then
// follows. The run of an object that is being deleted is cut short.
func (r *runner[T]) isRunning(req reconcile.Request, obj T, err error) bool {
	if !r.tasks.Repeat(req.NamespacedName) {
		return false
	}
	if apierrors.IsNotFound(err) || err == nil && !obj.GetDeletionTimestamp().IsZero() {
		r.tasks.Cancel(req.NamespacedName)
	}
	return true
}

// afterBackground hands the result of a late run to the framework, as a worker does.
func (r *runner[T]) afterBackground(req reconcile.Request, late background.Result[reconcile.Result]) (reconcile.Result, error) {
	if late.Again {
		r.wake.Wake(req.NamespacedName)
	}
	if errors.Is(late.Err, context.Canceled) { // before it had a slot
		return reconcile.Result{}, nil
	}
	return late.Value, late.Err
}

// limiter does not take a worker's letting go of a run for the success of the run: the
// retry delay of an object whose runs fail late, time after time, grows as well.
type limiter struct {
	workqueue.TypedRateLimiter[reconcile.Request]
	running func(types.NamespacedName) bool
}

// Forget implements workqueue.TypedRateLimiter.
func (l limiter) Forget(req reconcile.Request) {
	if !l.running(req.NamespacedName) {
		l.TypedRateLimiter.Forget(req)
	}
}
