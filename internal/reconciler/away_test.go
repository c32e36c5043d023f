package reconciler

import (
	"context"
	"errors"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/go-logr/logr"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/errand"
)

// slow is a controller that says what it is given, once it is given something.
type slow struct {
	outcomes chan outcome
	runs     chan int64 // generations
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

// away is a bench whose runs are all late, and the queue that they come back to.
func away(t *testing.T) (*bench, slow, workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	t.Helper()
	s := slow{outcomes: make(chan outcome), runs: make(chan int64, 10)}
	b := newBench(t, s, app(), nil)
	b.runner.kind.Host = func(context.Context, *kustomizev1.Kustomization) string { return "example.com" }
	b.runner.logs = func(*reconcile.Request) logr.Logger { return logr.Discard() }
	options := Options{MinRetryDelay: time.Millisecond, MaxRetryDelay: time.Hour}.controller(b.runner.logs, b.runner.desk.Open)
	q := workqueue.NewTypedRateLimitingQueue(options.RateLimiter)
	t.Cleanup(q.ShutDown)
	b.runner.desk.Tell(func(late errand.Late) { b.runner.came(q, late) })
	return b, s, q
}

// leave starts a run that the worker does not wait for.
func leave(t *testing.T, b *bench, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	t.Helper()
	if got, err := b.reconcile(); got != (reconcile.Result{}) || err != nil {
		t.Fatalf("got %+v, %v", got, err)
	}
	q.Forget(request()) // as the framework does
}

func request() reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKeyFromObject(app())}
}

// back takes the object from the queue.
func back(t *testing.T, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	t.Helper()
	got, _ := q.Get()
	q.Done(got)
	if got != request() {
		t.Fatalf("got %s", got)
	}
}

func TestALateRunRecordsWhatCameOfIt(t *testing.T) {
	b, s, q := away(t)
	leave(t, b, q)
	leave(t, b, q) // somebody asks meanwhile
	if n := len(b.get(t).Status.Conditions); n != 0 || b.patches != 0 {
		t.Errorf("%d conditions while the run goes on", n)
	}
	s.outcomes <- outcome{result: Result{Reason: "Done", Message: "late", After: time.Hour}}
	back(t, q)
	ready := apimeta.FindStatusCondition(b.get(t).Status.Conditions, meta.ReadyCondition)
	if ready == nil || ready.Status != metav1.ConditionTrue || ready.Message != "late" || b.patches != 1 {
		t.Errorf("%+v in %d patches", ready, b.patches)
	}
	if n := len(s.runs); n != 1 {
		t.Errorf("%d runs at once", n)
	}
	leave(t, b, q)
	if <-s.runs; len(s.runs) > 1 {
		t.Error("what was asked for meanwhile started more than one run")
	}
}

func TestAnObjectThatFailsLateBacksOff(t *testing.T) {
	b, s, q := away(t)
	for n := 1; n <= 3; n++ {
		leave(t, b, q)
		s.outcomes <- outcome{err: errors.New("broken")}
		back(t, q)
		if got := q.NumRequeues(request()); got != n {
			t.Errorf("after failure %d the queue knows of %d", n, got)
		}
	}
	leave(t, b, q)
	s.outcomes <- outcome{result: Result{Reason: "Done", After: time.Millisecond}}
	back(t, q)
	if got := q.NumRequeues(request()); got != 0 {
		t.Errorf("after a success the queue knows of %d", got)
	}
}

func TestATerminalErrorThatComesLateIsNotRetried(t *testing.T) {
	b, s, q := away(t)
	leave(t, b, q)
	leave(t, b, q)
	s.outcomes <- outcome{err: reconcile.TerminalError(errors.New("wrong"))}
	back(t, q) // for who asked meanwhile, and for nobody else
	if got := q.NumRequeues(request()); got != 0 || q.Len() != 0 {
		t.Errorf("%d retries", got)
	}
	if !apimeta.IsStatusConditionTrue(b.get(t).Status.Conditions, meta.StalledCondition) {
		t.Error("not Stalled")
	}
}

func TestAnObjectThatIsGoneEndsItsRun(t *testing.T) {
	b, s, q := away(t)
	leave(t, b, q)
	<-s.runs
	if err := b.client.Delete(t.Context(), b.get(t)); err != nil {
		t.Fatal(err)
	}
	leave(t, b, q)
	back(t, q)
	if b.runner.desk.Open(request().NamespacedName) {
		t.Error("it goes on")
	}
	if got, err := b.reconcile(); got != (reconcile.Result{}) || err != nil || len(s.runs) > 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}
