// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

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

// duringPush calls a function before each push to the Git server; mend ends that.
func (e *env) duringPush(do func()) (mend func()) {
	return e.server.Intercept(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/git-receive-pack") {
				do()
			}
			next.ServeHTTP(w, r)
		})
	})
}

// A label that somebody set during a run looked like another process that had written the state: nobody
// was told what the run had done.
func TestAnEditDuringARunTakesNoEventOfIt(t *testing.T) {
	for name, change := range map[string]func(*sluicev1.Pipeline){
		"the state is on a branch":   func(*sluicev1.Pipeline) {},
		"the state is in the status": inStatus,
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, change)
			e.pipeline.ResourceVersion = ""
			e.create(e.pipeline)
			var told toldEvents
			runner := e.runner(&told)
			e.runs(runner)
			told.take()
			e.release("2")
			edited := false
			defer e.duringPush(func() {
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
