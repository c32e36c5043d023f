package reconciler

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/sluice-cd/sluice/internal/errand"
)

// send runs the controller as an errand. A run that takes longer than a moment ends
// where it is, records included, and the worker is free; nothing else happens to the
// object until then.
func (r *runner[T]) send(ctx context.Context, req reconcile.Request, obj T) (reconcile.Result, error) {
	order := errand.Order{Object: req.NamespacedName, Host: r.kind.Host(ctx, obj)}
	got, err := r.desk.Run(ctx, order, func(ctx context.Context) (any, error) { return r.run(ctx, req, obj) })
	if errors.Is(err, errand.ErrPending) {
		return reconcile.Result{}, nil
	}
	result, _ := got.(reconcile.Result)
	return result, err
}

// underWay reports whether a run of the object is under way, which is followed by
// another one. That of an object that goes is cut short.
func (r *runner[T]) underWay(req reconcile.Request, obj T, err error) bool {
	if !r.desk.Busy(req.NamespacedName) {
		return false
	}
	if apierrors.IsNotFound(err) || err == nil && !obj.GetDeletionTimestamp().IsZero() {
		r.desk.Stop(req.NamespacedName)
	}
	return true
}

// queue is that of a controller.
type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// returning brings objects back whose run took longer than a moment.
func (r *runner[T]) returning(b *builder.Builder) *builder.Builder {
	return b.WatchesRawSource(source.Func(func(_ context.Context, q queue) error {
		r.desk.Tell(func(late errand.Late) { r.came(q, late) })
		return nil
	}))
}

// came does with what a late run returned what the framework does with that of a
// worker's.
func (r *runner[T]) came(q queue, late errand.Late) {
	req := reconcile.Request{NamespacedName: late.Object}
	result, _ := late.Value.(reconcile.Result)
	switch {
	case late.Err != nil:
		if !errors.Is(late.Err, reconcile.TerminalError(nil)) {
			q.AddRateLimited(req)
		}
		r.logs(&req).Error(late.Err, "Reconciler error")
	default:
		q.Forget(req)
		if result.RequeueAfter > 0 {
			q.AddAfter(req, result.RequeueAfter)
		}
	}
	if late.Again {
		q.Add(req)
	}
}

// limiter does not take the end of a worker's part in a run for the success of the
// run: the delay of an object that fails late, time after time, grows as well.
type limiter struct {
	workqueue.TypedRateLimiter[reconcile.Request]
	away func(types.NamespacedName) bool
}

// Forget implements workqueue.TypedRateLimiter.
func (l limiter) Forget(req reconcile.Request) {
	if !l.away(req.NamespacedName) {
		l.TypedRateLimiter.Forget(req)
	}
}
