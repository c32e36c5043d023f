// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/consistency"
	"github.com/sluice-cd/sluice/internal/wake"
)

// staleDelay is how soon to look again when the cache lags behind our own writes. It
// usually catches up within milliseconds.
const staleDelay = 20 * time.Millisecond

// runner is the reconcile.Reconciler around one Controller.
type runner[T Object] struct {
	client client.Client
	live   client.Reader
	kind   Kind[T]
	ctrl   Controller[T]
	opts   Options
	writes consistency.Store[types.NamespacedName]
	tasks  background.Runner[types.NamespacedName, reconcile.Result]
	wake   *wake.Source
	name   string // of the kind, in metrics

	recoveries recoveries
}

// New returns the reconciler around c, which [Setup] registers. It reads and writes
// objects with its client, and reads live what a conflict left behind.
func New[T Object](of client.Client, live client.Reader, kind Kind[T], c Controller[T], opts Options) reconcile.Reconciler {
	return newRunner(of, live, kind, c, opts)
}

func newRunner[T Object](of client.Client, live client.Reader, kind Kind[T], c Controller[T], opts Options) *runner[T] {
	r := &runner[T]{client: of, live: live, kind: kind, ctrl: c, opts: opts, wake: &wake.Source{}, recoveries: newRecoveries()}
	r.tasks.Patience, r.tasks.PerNamespace = background.DefaultPatience, max(opts.Concurrent, 1)
	r.tasks.Limit, r.tasks.Wake = maxBackground, r.wake.Wake
	return r
}

// Reconcile implements reconcile.Reconciler.
func (r *runner[T]) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	if late, ok := r.tasks.Collect(req.NamespacedName); ok {
		return r.afterBackground(req, late)
	}
	obj := r.kind.New()
	err := r.client.Get(ctx, req.NamespacedName, obj)
	if r.isRunning(req, obj, err) {
		return reconcile.Result{}, nil
	}
	if err != nil {
		if apierrors.IsNotFound(err) {
			r.writes.Clear(req.NamespacedName)
			forgetRuns(r.name, req.NamespacedName)
			r.forget(ctx, req.NamespacedName)
		}
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !r.writes.IsReady(req.NamespacedName, obj.GetResourceVersion()) {
		return reconcile.Result{RequeueAfter: staleDelay}, nil
	}
	if !obj.GetDeletionTimestamp().IsZero() {
		if r.kind.Waits != nil && r.kind.Waits(obj) {
			// It is not cut short by the news that made it begin.
			return r.inBackground(ctx, req, obj, func(ctx context.Context) (reconcile.Result, error) {
				return r.finalize(context.WithoutCancel(ctx), obj)
			})
		}
		return r.finalize(ctx, obj)
	}
	if r.kind.Suspended(obj) {
		log.FromContext(ctx).V(1).Info("reconciliation is suspended")
		return reconcile.Result{}, nil
	}
	if err := r.ensureFinalizer(ctx, obj); err != nil {
		return r.afterConflict(ctx, err)
	}
	if r.kind.Host != nil && (r.kind.Waits == nil || r.kind.Waits(obj)) {
		return r.inBackground(ctx, req, obj, func(ctx context.Context) (reconcile.Result, error) { return r.run(ctx, req, obj) })
	}
	return r.run(ctx, req, obj)
}

// run lets the controller do its work, and records what came of it.
func (r *runner[T]) run(ctx context.Context, req reconcile.Request, obj T) (reconcile.Result, error) {
	before, start := obj.DeepCopyObject().(T), r.opts.Clock.Now()
	written := before // as the API server has it
	var failed error
	result, err := r.ctrl.Reconcile(WithCheckpoint(ctx, func(ctx context.Context) error {
		if failed == nil {
			if _, failed = r.patchStatus(ctx, written, obj); failed == nil {
				written = obj.DeepCopyObject().(T)
			}
		}
		return failed
	}), obj)
	measure(r.name, req.NamespacedName, r.opts.Clock.Now().Sub(start))
	switch {
	case failed != nil:
		return r.afterConflict(ctx, failed)
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return reconcile.Result{}, nil // shutting down says nothing about the object
	}
	return r.record(ctx, statuses[T]{before: before, written: written}, obj, reconcileResult{result, err})
}

// finalizerOf returns the finalizer that obj needs now, or "".
func (r *runner[T]) finalizerOf(obj T) string {
	if r.kind.Finalizer != nil {
		return r.kind.Finalizer(obj)
	}
	if r.cleanUp() != nil {
		return DefaultFinalizer
	}
	return ""
}

// cleanUp returns what the controller does before an object goes, or nil.
func (r *runner[T]) cleanUp() func(context.Context, T) error {
	switch c := r.ctrl.(type) {
	case Finalizer[T]:
		return c.Finalize
	case Cleaner:
		return func(_ context.Context, obj T) error { return c.Clean(client.ObjectKeyFromObject(obj)) }
	}
	return nil
}

// forget tells the controller that an object is gone.
func (r *runner[T]) forget(ctx context.Context, key types.NamespacedName) {
	switch c := r.ctrl.(type) {
	case Forgetter:
		c.Forget(ctx, key)
	case Cleaner:
		if err := c.Clean(key); err != nil {
			log.FromContext(ctx).Error(err, "cleaning up after an object that is gone")
		}
	}
}

// ensureFinalizer adds the finalizer before anything exists that it protects.
func (r *runner[T]) ensureFinalizer(ctx context.Context, obj T) error {
	name := r.finalizerOf(obj)
	if name == "" || controllerutil.ContainsFinalizer(obj, name) {
		return nil
	}
	before := obj.DeepCopyObject().(T)
	controllerutil.AddFinalizer(obj, name)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.client.Patch(ctx, obj, patch); err != nil {
		return fmt.Errorf("adding finalizer to %s: %w", client.ObjectKeyFromObject(obj), err)
	}
	r.writes.WroteAt(client.ObjectKeyFromObject(obj), obj.GetResourceVersion())
	return nil
}

// finalize lets the controller clean up, then drops its finalizer. What takes time is
// [Pending], and holds no worker; what the object waits for is in its conditions.
func (r *runner[T]) finalize(ctx context.Context, obj T) (reconcile.Result, error) {
	held := slices.DeleteFunc([]string{DefaultFinalizer, r.finalizerOf(obj)}, func(name string) bool {
		return name == "" || !controllerutil.ContainsFinalizer(obj, name)
	})
	if len(held) == 0 {
		return reconcile.Result{}, nil
	}
	if cleanUp := r.cleanUp(); cleanUp != nil {
		before := obj.DeepCopyObject().(T)
		if err := cleanUp(ctx, obj); err != nil {
			return r.record(ctx, statuses[T]{before: before, written: before}, obj, reconcileResult{err: fmt.Errorf("deletion waits: %w", err)})
		}
	}
	before := obj.DeepCopyObject().(T)
	for _, name := range held {
		controllerutil.RemoveFinalizer(obj, name)
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	return r.afterConflict(ctx, r.client.Patch(ctx, obj, patch))
}

// afterConflict retries quietly when somebody else wrote the object first: the
// cache was stale, and the next look will see the new version.
func (r *runner[T]) afterConflict(ctx context.Context, err error) (reconcile.Result, error) {
	switch {
	case err == nil || apierrors.IsNotFound(err):
		return reconcile.Result{}, nil
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return reconcile.Result{}, nil // shutting down; whoever starts next does it again
	case apierrors.IsConflict(err):
		log.FromContext(ctx).V(1).Info("object changed while it was reconciled; looking again")
		return reconcile.Result{RequeueAfter: MinRetryDelay}, nil
	}
	return reconcile.Result{}, err
}
