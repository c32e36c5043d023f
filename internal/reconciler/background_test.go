// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/wake"
)

// slow is a controller whose runs end with the outcomes that a test sends.
type slow struct {
	outcomes chan reconcileResult
	runs     chan int64 // the generations that runs began with
}

func (s slow) Reconcile(ctx context.Context, obj *kustomizev1.Kustomization) (Result, error) {
	s.runs <- obj.Generation
	select {
	case out := <-s.outcomes:
		return out.result, out.err
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
}

func (slow) Reason(error) string { return meta.FailedReason }

// backgroundEnv is a runner whose workers wait for no run, and the queue of its
// controller.
type backgroundEnv struct {
	*testEnv
	slow
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
}

func newBackgroundEnv(t *testing.T) backgroundEnv {
	t.Helper()
	s := slow{outcomes: make(chan reconcileResult), runs: make(chan int64, 10)}
	b := newTestEnv(t, s, app(), nil)
	b.runner.kind.Host = func(context.Context, *kustomizev1.Kustomization) string { return "example.com" }
	b.runner.wake = &wake.Source{}
	b.runner.tasks.Wake = b.runner.wake.Wake
	options := Options{MinRetryDelay: time.Millisecond, MaxRetryDelay: time.Hour}.controller(nil, b.runner.tasks.Has)
	q := workqueue.NewTypedRateLimitingQueue(options.RateLimiter)
	t.Cleanup(q.ShutDown)
	if err := b.runner.wake.Start(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	return backgroundEnv{testEnv: b, slow: s, queue: q}
}

func request() reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKeyFromObject(app())}
}

// work waits for a request in the queue, reconciles it, and does with the result what
// the framework does.
func (e backgroundEnv) work(t *testing.T) (reconcile.Result, error) {
	t.Helper()
	req, _ := e.queue.Get()
	defer e.queue.Done(req)
	result, err := e.runner.Reconcile(t.Context(), req)
	switch {
	case errors.Is(err, reconcile.TerminalError(nil)):
	case err != nil:
		e.queue.AddRateLimited(req)
	case result.RequeueAfter > 0:
		e.queue.Forget(req)
		e.queue.AddAfter(req, result.RequeueAfter)
	default:
		e.queue.Forget(req)
	}
	return result, err
}

// begin has a worker start a run that it does not wait for.
func (e backgroundEnv) begin(t *testing.T) {
	t.Helper()
	e.queue.Add(request())
	e.letGo(t)
}

// letGo has a worker look at an object whose run goes on.
func (e backgroundEnv) letGo(t *testing.T) {
	t.Helper()
	if got, err := e.work(t); got != (reconcile.Result{}) || err != nil {
		t.Fatalf("the worker got %+v, %v", got, err)
	}
}

func TestALateRunRecordsItsOutcome(t *testing.T) {
	e := newBackgroundEnv(t)
	e.begin(t)
	e.begin(t) // somebody asks meanwhile
	if n := len(e.get(t).Status.Conditions); n != 0 || e.patches != 0 {
		t.Errorf("%d conditions while the run goes on", n)
	}
	e.outcomes <- reconcileResult{result: Result{Reason: "Done", Message: "late", After: time.Hour}}
	if got, err := e.work(t); got.RequeueAfter != time.Hour || err != nil {
		t.Errorf("the worker got %+v, %v", got, err)
	}
	ready := apimeta.FindStatusCondition(e.get(t).Status.Conditions, meta.ReadyCondition)
	if ready == nil || ready.Status != metav1.ConditionTrue || ready.Message != "late" || e.patches != 1 {
		t.Errorf("%+v in %d patches", ready, e.patches)
	}
	if n := len(e.runs); n != 1 {
		t.Errorf("%d runs at once", n)
	}
	e.letGo(t) // the one that was asked for meanwhile
	if <-e.runs; len(e.runs) > 1 {
		t.Error("what was asked for meanwhile started more than one run")
	}
}

func TestALateRunThatNobodyAskedAboutIsNotRepeated(t *testing.T) {
	e := newBackgroundEnv(t)
	e.begin(t)
	e.outcomes <- reconcileResult{result: Result{Reason: "Done"}}
	if _, err := e.work(t); err != nil {
		t.Fatal(err)
	}
	if e.queue.Len() != 0 {
		t.Error("the object comes back")
	}
}

func TestAnObjectThatFailsLateBacksOff(t *testing.T) {
	e := newBackgroundEnv(t)
	e.begin(t)
	for n := 1; n <= 3; n++ {
		e.outcomes <- reconcileResult{err: errors.New("broken")}
		if _, err := e.work(t); err == nil {
			t.Fatal("the error is lost")
		}
		if got := e.queue.NumRequeues(request()); got != n {
			t.Errorf("after failure %d the queue knows of %d", n, got)
		}
		e.letGo(t)
	}
	e.outcomes <- reconcileResult{result: Result{Reason: "Done"}}
	if _, err := e.work(t); err != nil {
		t.Fatal(err)
	}
	if got := e.queue.NumRequeues(request()); got != 0 {
		t.Errorf("after a success the queue knows of %d", got)
	}
}

func TestATerminalErrorThatComesLateIsNotRetried(t *testing.T) {
	e := newBackgroundEnv(t)
	e.begin(t)
	e.outcomes <- reconcileResult{err: reconcile.TerminalError(errors.New("wrong"))}
	if _, err := e.work(t); !errors.Is(err, reconcile.TerminalError(nil)) {
		t.Fatalf("the worker got %v", err)
	}
	if got := e.queue.NumRequeues(request()); got != 0 || e.queue.Len() != 0 {
		t.Errorf("%d retries", got)
	}
	if !apimeta.IsStatusConditionTrue(e.get(t).Status.Conditions, meta.StalledCondition) {
		t.Error("not Stalled")
	}
}

func TestAnObjectThatIsGoneEndsItsRun(t *testing.T) {
	e := newBackgroundEnv(t)
	e.begin(t)
	<-e.runs
	if err := e.client.Delete(t.Context(), e.get(t)); err != nil {
		t.Fatal(err)
	}
	e.begin(t) // the delete event; the run is told to end
	e.letGo(t) // its result
	e.letGo(t) // the object is looked at again
	if e.runner.tasks.Has(request().NamespacedName) || len(e.runs) > 0 || e.queue.Len() > 0 {
		t.Error("it goes on")
	}
}

func TestAnObjectForWhoseRunThereIsNoRoomComesBack(t *testing.T) {
	e := newBackgroundEnv(t)
	e.runner.tasks.Limit = 1
	other := request().NamespacedName
	other.Name = "other"
	of := reconcile.Request{NamespacedName: other}
	_, _ = e.runner.inBackground(t.Context(), of, app(), func(ctx context.Context) (reconcile.Result, error) {
		return e.runner.run(ctx, of, app())
	})
	e.queue.Add(request())
	if got, err := e.work(t); got.RequeueAfter != busyDelay || err != nil {
		t.Errorf("got %+v, %v", got, err)
	}
}

// finalizing is a slow controller whose finalizers end with the errors that a test sends.
type finalizing struct {
	slow
	begun chan struct{}
	ends  chan error
}

func (f finalizing) Finalize(context.Context, *kustomizev1.Kustomization) error {
	f.begun <- struct{}{}
	return <-f.ends
}

func TestADeletionThatWaitsForItsHostHoldsNoWorker(t *testing.T) {
	e := newBackgroundEnv(t)
	f := finalizing{slow: e.slow, begun: make(chan struct{}, 10), ends: make(chan error)}
	e.runner.ctrl = f
	e.runner.kind.Waits = func(*kustomizev1.Kustomization) bool { return true }
	obj := e.get(t)
	obj.Finalizers = []string{DefaultFinalizer}
	if err := e.client.Update(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	if err := e.client.Delete(t.Context(), e.get(t)); err != nil {
		t.Fatal(err)
	}
	e.begin(t)
	<-f.begun
	e.begin(t) // news of the object, which do not cut it short
	f.ends <- Pending(errors.New("not yet"), time.Hour)
	if got, err := e.work(t); got.RequeueAfter != time.Hour || err != nil {
		t.Errorf("the worker got %+v, %v", got, err)
	}
	e.letGo(t) // what was asked for meanwhile
	<-f.begun
	f.ends <- nil
	if _, err := e.work(t); err != nil {
		t.Fatal(err)
	}
	if err := e.client.Get(t.Context(), request().NamespacedName, app()); !apierrors.IsNotFound(err) {
		t.Errorf("the object is still there: %v", err)
	}
}

func TestAnObjectThatDoesNotWaitForItsHostRunsInItsWorker(t *testing.T) {
	e := newBackgroundEnv(t)
	e.runner.kind.Waits = func(*kustomizev1.Kustomization) bool { return false }
	go func() { e.outcomes <- reconcileResult{result: Result{Reason: "Done", After: time.Hour}} }()
	e.queue.Add(request())
	if got, err := e.work(t); got.RequeueAfter != time.Hour || err != nil || e.runner.tasks.Has(request().NamespacedName) {
		t.Errorf("the worker got %+v, %v", got, err)
	}
}
