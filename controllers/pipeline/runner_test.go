// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/fluxcd/pkg/apis/meta"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// toldEvents are the reasons of the events that were told.
type toldEvents []string

func (told *toldEvents) Event(_ client.Object, e reconciler.Event) { *told = append(*told, e.Reason) }

func (told *toldEvents) take() string {
	all := strings.Join(*told, " ")
	*told = nil
	return all
}

// runner is what the process has around a reconciler: it reads the pipeline, and writes its status and
// events after each run.
func (e *env) runner(told reconciler.Recorder) reconcile.Reconciler {
	return reconciler.New(e.Client, e.Client, kind(), e.Reconciler, reconciler.Options{Clock: e.clock, Recorder: told})
}

// Reconcile is one run of the reconciler, with what the runner gives it.
func (e *env) Reconcile(ctx context.Context, p *sluicev1.Pipeline) (reconciler.Result, error) {
	return e.Reconciler.Reconcile(reconciler.WithCheckpoint(ctx, func(ctx context.Context) error {
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": p.ResourceVersion}, "status": p.Status})
		if err != nil {
			return err
		}
		written := p.DeepCopy()
		if err := e.Client.Status().Patch(ctx, written, client.RawPatch(types.MergePatchType, patch)); err != nil {
			return err
		}
		p.ResourceVersion = written.ResourceVersion
		return nil
	}), p)
}

// runs is one run by the runner; what it pushed is fetched.
func (e *env) runs(runner reconcile.Reconciler) {
	e.t.Helper()
	key := client.ObjectKeyFromObject(e.pipeline)
	if _, err := runner.Reconcile(e.t.Context(), ctrl.Request{NamespacedName: key}); err != nil {
		e.t.Fatal(err)
	}
	e.get(key.Name, e.pipeline)
	e.fetch()
}

// duringPush calls a function before each push to a branch; mend ends that.
func (e *env) duringPush(branch string, do func()) (mend func()) {
	return e.server.Intercept(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/git-receive-pack") {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					e.t.Error(err)
				}
				if bytes.Contains(body, []byte(" refs/heads/"+branch+"\x00")) {
					do()
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
			}
			next.ServeHTTP(w, r)
		})
	})
}

// carriers are where a state may be.
var carriers = map[string]func(*sluicev1.Pipeline){
	"the state is on a branch":   func(*sluicev1.Pipeline) {},
	"the state is in the status": inStatus,
}

// created is an env whose pipeline is in the API server, and had its first run.
func created(t *testing.T, told reconciler.Recorder, change func(*sluicev1.Pipeline)) (*env, reconcile.Reconciler) {
	t.Helper()
	e := newEnv(t, change)
	e.pipeline.ResourceVersion = ""
	e.create(e.pipeline)
	runner := e.runner(told)
	e.runs(runner)
	return e, runner
}

// A label that somebody set during a run looked like another process that had written the state: nobody
// was told what the run had done.
func TestAnEditDuringARunTakesNoEventOfIt(t *testing.T) {
	for name, change := range carriers {
		t.Run(name, func(t *testing.T) {
			var told toldEvents
			e, runner := created(t, &told, change)
			told.take()
			e.release("2")
			edited := false
			defer e.duringPush("main", func() {
				if edited {
					return
				}
				edited = true
				var p sluicev1.Pipeline
				e.get("shop", &p)
				p.Labels = map[string]string{"changed": "meanwhile"}
				e.update(&p)
			})()
			e.runs(runner)
			e.want("2", "1")
			if got := told.take(); got != "Landed" || e.pipeline.Labels["changed"] == "" {
				t.Errorf("told %q; labels %v", got, e.pipeline.Labels)
			}
		})
	}
}

// killed reconciles until something is pushed to main, where the process ends: nobody writes a status
// after that. The runner of the next process is returned.
func (e *env) killed(runner reconcile.Reconciler, told reconciler.Recorder) reconcile.Reconciler {
	e.t.Helper()
	ctx, end := context.WithCancel(e.t.Context())
	defer end()
	mend := e.duringPush("main", end)
	if _, err := runner.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(e.pipeline)}); err != nil || ctx.Err() == nil {
		e.t.Fatalf("the process was not killed: %v", err)
	}
	mend()
	e.Reconciler = e.process(e.Client)
	return e.runner(told)
}

// A process was killed between the state, which had the verdict, and the end of the run: the next one
// decided from that state, and nobody heard that the version had failed.
func TestAKillAfterTheStateWasWrittenTakesNoEvent(t *testing.T) {
	for name, change := range carriers {
		t.Run(name, func(t *testing.T) {
			var told toldEvents
			e, runner := created(t, &told, change)
			e.release("2")
			e.runs(runner)
			told.take()
			e.apply("staging", fails)
			runner = e.killed(runner, &told)
			if got := told.take(); got != "" {
				t.Fatalf("who was killed told %q", got)
			}
			e.runs(runner)
			e.want("1", "1")
			if got := told.take(); got != "StageFailed RolledBack" {
				t.Errorf("told %q", got)
			}
			e.runs(runner)
			e.Reconciler = e.process(e.Client)
			e.runs(e.runner(&told))
			if got := told.take(); got != "" {
				t.Errorf("told again: %q", got)
			}
		})
	}
}

// Somebody else's status, or an API server that was away, took the events of a run with it.
func TestAStatusThatCouldNotBeWrittenTakesNoEvent(t *testing.T) {
	for name, change := range carriers {
		t.Run(name, func(t *testing.T) {
			var told toldEvents
			e, _ := created(t, &told, change)
			told.take()
			e.release("2")
			pushed := false
			restore := e.duringPush("main", func() { pushed = true })
			mend := e.broken(interceptor.Funcs{SubResourcePatch: func(
				ctx context.Context, c client.Client, sub string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption,
			) error {
				if pushed {
					return errors.New("the API server is away")
				}
				return c.SubResource(sub).Patch(ctx, obj, patch, opts...)
			}})
			runner := e.runner(&told)
			if _, err := runner.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(e.pipeline)}); err == nil {
				t.Fatal("the status was written")
			}
			restore()
			mend()
			runner = e.runner(&told)
			e.get("shop", e.pipeline)
			e.fetch()
			e.runs(runner)
			if got := told.take(); got != "Landed" {
				t.Errorf("told %q", got)
			}
			e.runs(runner)
			if got := told.take(); got != "" {
				t.Errorf("told again: %q", got)
			}
		})
	}
}

// A run that failed as the run before had the same status, and its events were not told for that.
func TestARunThatFailsAsTheOneBeforeTellsItsEvents(t *testing.T) {
	var told toldEvents
	e, _ := created(t, &told, carriers["the state is on a branch"])
	told.take()
	lists, failsFrom := 0, 1
	defer e.broken(interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if _, is := list.(*sluicev1.FreezeList); is {
				if lists++; lists >= failsFrom {
					return errors.New("the API server is away")
				}
			}
			return c.List(ctx, list, opts...)
		},
	})()
	runner := e.runner(&told)
	fail := func() {
		t.Helper()
		lists = 0
		if _, err := runner.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(e.pipeline)}); err == nil {
			t.Fatal("it did not fail")
		}
		e.fetch()
	}
	fail()
	told.take()
	e.release("2")
	failsFrom = 3
	fail()
	e.want("2", "1")
	if got := told.take(); got != "Landed" {
		t.Errorf("told %q", got)
	}
}

// A Pipeline that was deleted and applied again told what its state says of the time before.
func TestAPipelineThatIsMadeAnewTellsNothingOfBefore(t *testing.T) {
	var told toldEvents
	e, runner := created(t, &told, carriers["the state is on a branch"])
	e.release("2")
	e.runs(runner)
	told.take()
	if err := e.Client.Delete(t.Context(), e.pipeline); err != nil {
		t.Fatal(err)
	}
	e.clock.Step(time.Minute)
	e.pipeline = shop()
	e.pipeline.CreationTimestamp = metav1.NewTime(e.clock.Now())
	e.create(e.pipeline)
	e.Reconciler = e.process(e.Client)
	e.runs(e.runner(&told))
	if got := told.take(); got != meta.SucceededReason {
		t.Errorf("told %q", got)
	}
}

// The first run of a Pipeline landed a version, and the process ended before the status said what was told.
func TestAFirstRunThatWasKilledTakesNoEvent(t *testing.T) {
	for name, change := range carriers {
		t.Run(name, func(t *testing.T) {
			var told toldEvents
			e := newEnv(t, change)
			e.pipeline.ResourceVersion, e.pipeline.CreationTimestamp = "", metav1.NewTime(e.clock.Now())
			e.create(e.pipeline)
			e.release("2")
			ctx, end := context.WithCancel(t.Context())
			defer end()
			pushed := false
			defer e.duringPush("main", func() { pushed = true })()
			mend := e.broken(interceptor.Funcs{SubResourcePatch: func(
				ctx context.Context, c client.Client, sub string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption,
			) error {
				if pushed {
					end()
					return ctx.Err()
				}
				return c.SubResource(sub).Patch(ctx, obj, patch, opts...)
			}})
			if _, err := e.runner(&told).Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(e.pipeline)}); ctx.Err() == nil {
				t.Fatalf("the process was not killed: %v", err)
			}
			mend()
			told.take()
			e.Reconciler = e.process(e.Client)
			e.get("shop", e.pipeline)
			e.fetch()
			e.runs(e.runner(&told))
			e.want("2", "1")
			if got := told.take(); !strings.Contains(got, "Landed") {
				t.Errorf("told %q", got)
			}
		})
	}
}
