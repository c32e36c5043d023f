// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/apply/build"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/test/fake/apiserver"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
)

func TestANewCommitIsApplied(t *testing.T) {
	e := newTestEnv(t)
	k := app("a")
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
	result := e.must(k)
	if got := valueOf(e.cluster.Get(pathOf("c"))); got != "one" {
		t.Fatalf("the first commit left %q", got)
	}
	if result.Message != "Applied revision: main@sha1:1" || k.Status.LastAppliedRevision != "main@sha1:1" ||
		k.Status.LastAttemptedRevision != "main@sha1:1" {
		t.Errorf("result %+v, status %+v", result, k.Status)
	}
	if n := len(k.Status.Inventory.Entries); n != 1 {
		t.Errorf("the inventory has %d entries", n)
	}
	e.commit("main@sha1:2", map[string]string{"c.yaml": configMap("c", "two")})
	e.must(k)
	if got := valueOf(e.cluster.Get(pathOf("c"))); got != "two" || k.Status.LastAppliedRevision != "main@sha1:2" {
		t.Errorf("the second commit left %q, revision %s", got, k.Status.LastAppliedRevision)
	}
}

func TestACommitThatChangesNothingCostsNoCall(t *testing.T) {
	e := newTestEnv(t)
	k := app("a")
	k.Spec.Path = "./app"
	files := map[string]string{"app/c.yaml": configMap("c", "one"), "README.md": "one"}
	e.commit("main@sha1:1", files)
	if events := e.must(k).Events; len(events) != 2 { // what changed, and that it is finished
		t.Errorf("events of the first run: %+v", events)
	}
	harness.MustEventually(e.t, "the informer sees the object", harness.True(func() bool { return e.inSync(k) }))
	e.cluster.Calls()
	files["README.md"] = "two"
	e.commit("main@sha1:2", files)
	result := e.must(k)
	if calls := e.cluster.Calls(); len(calls) > 0 || k.Status.LastAppliedRevision != "main@sha1:2" {
		t.Errorf("calls %q, revision %s", calls, k.Status.LastAppliedRevision)
	}
	if len(result.Events) != 1 || !result.Events[0].AlertsOnly || result.ReadyEvent != reconciler.SkipReadyEvent ||
		result.Events[0].Metadata["kustomize.toolkit.fluxcd.io/commit_status"] != "update" ||
		result.Events[0].Metadata["kustomize.toolkit.fluxcd.io/revision"] != "main@sha1:2" {
		t.Errorf("events of a run that did nothing, but for its commit: %+v", result)
	}
}

func TestAnArtifactThatWasAppliedIsNotOpenedAgain(t *testing.T) {
	e := newTestEnv(t)
	k := app("a")
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
	e.must(k)
	e.opened, e.trees = 0, nil // whoever serves it is away
	for range 2 {
		if result := e.must(k); len(result.Events) > 0 {
			t.Errorf("events %+v", result.Events)
		}
	}
	if e.opened != 0 {
		t.Errorf("opened %d times", e.opened)
	}
}

func TestWhatLeftTheSourceIsPruned(t *testing.T) {
	tests := map[string]struct {
		prune    bool
		change   func(*unstructured.Unstructured)
		wantKept bool
		wantSays string // by an event
	}{
		"with spec.prune":        {prune: true, wantSays: "ConfigMap/ns/d deleted"},
		"not without spec.prune": {wantKept: true},
		"not what another Kustomization has by now": {
			prune: true, change: ownedBy("other"), wantKept: true,
			wantSays: "ConfigMap/ns/d not pruned: it has the labels of Kustomization ns/other",
		},
		"not what asks to be kept": {
			prune: true, change: annotated("kustomize.toolkit.fluxcd.io/prune", "disabled"), wantKept: true,
			wantSays: "ConfigMap/ns/d not pruned: kustomize.toolkit.fluxcd.io/prune: disabled",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			k := app("a")
			k.Spec.Prune = tc.prune
			e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one"), "d.yaml": configMap("d", "one")})
			e.must(k)
			if tc.change != nil {
				live := e.cluster.Get(pathOf("d"))
				tc.change(live)
				e.cluster.Put(pathOf("d"), live)
			}
			e.commit("main@sha1:2", map[string]string{"c.yaml": configMap("c", "one")})
			events := e.must(k).Events
			said := func(event reconciler.Event) bool { return event.Message == tc.wantSays }
			if tc.wantSays != "" && !slices.ContainsFunc(events, said) {
				t.Errorf("events %+v, want %q", events, tc.wantSays)
			}
			if kept := e.cluster.Get(pathOf("d")) != nil; kept != tc.wantKept {
				t.Errorf("kept = %v, want %v", kept, tc.wantKept)
			}
			if inventory := k.Status.Inventory; len(inventory.Entries) != 1 {
				t.Errorf("what left the source is told of once, and is still in the inventory: %+v", inventory)
			}
			if len(k.Status.Inventory.Entries) != 1 || e.cluster.Get(pathOf("c")) == nil {
				t.Errorf("inventory %v", k.Status.Inventory.Entries)
			}
		})
	}
}

func ownedBy(name string) func(*unstructured.Unstructured) {
	return func(u *unstructured.Unstructured) {
		u.SetLabels(map[string]string{"kustomize.toolkit.fluxcd.io/name": name, "kustomize.toolkit.fluxcd.io/namespace": "ns"})
	}
}

func annotated(key, value string) func(*unstructured.Unstructured) {
	return func(u *unstructured.Unstructured) { u.SetAnnotations(map[string]string{key: value}) }
}

func TestDriftIsRepaired(t *testing.T) {
	tests := map[string]func(*testEnv){
		"a field that somebody changed": func(e *testEnv) {
			live := e.cluster.Get(pathOf("c"))
			live.Object["data"] = map[string]any{"key": "theirs"}
			live.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "kubectl-edit", Operation: metav1.ManagedFieldsOperationUpdate}})
			e.cluster.Put(pathOf("c"), live)
		},
		"an object that somebody deleted": func(e *testEnv) { e.cluster.Delete(pathOf("c")) },
	}
	for name, disturb := range tests {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			k := app("a")
			e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "ours")})
			e.must(k)
			harness.MustEventually(e.t, "the informer sees the object", harness.True(func() bool { return e.inSync(k) }))
			disturb(e)
			harness.MustEventually(e.t, "the Kustomization is woken", harness.True(func() bool { return e.wakes() > 0 }))
			e.must(k)
			if got := valueOf(e.cluster.Get(pathOf("c"))); got != "ours" {
				t.Errorf("the object has %q", got)
			}
		})
	}
}

func TestTheIntervalLooksAtWhatCannotBeWatched(t *testing.T) {
	e := newTestEnv(t)
	e.cluster.ForbidsLists.Store(true)
	k := app("a")
	k.Spec.Interval = metav1.Duration{Duration: time.Hour}
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "ours")})
	if after := e.must(k).After; after != time.Hour {
		t.Errorf("comes back after %s", after)
	}
	live := e.cluster.Get(pathOf("c"))
	live.Object["data"] = map[string]any{"key": "theirs"}
	e.cluster.Put(pathOf("c"), live)
	e.must(k)
	if got := valueOf(e.cluster.Get(pathOf("c"))); got != "theirs" {
		t.Errorf("repaired before the interval is over: %q", got)
	}
	e.clock.SetTime(e.clock.Now().Add(time.Hour))
	e.must(k)
	if got := valueOf(e.cluster.Get(pathOf("c"))); got != "ours" {
		t.Errorf("after the interval: %q", got)
	}
}

func TestARequestIsAFullLook(t *testing.T) {
	e := newTestEnv(t)
	e.cluster.ForbidsLists.Store(true)
	k := app("a")
	k.Spec.Interval = metav1.Duration{Duration: time.Hour}
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "ours")})
	e.must(k)
	live := e.cluster.Get(pathOf("c"))
	live.Object["data"] = map[string]any{"key": "theirs"}
	e.cluster.Put(pathOf("c"), live)
	k.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
	e.must(k)
	if got := valueOf(e.cluster.Get(pathOf("c"))); got != "ours" {
		t.Errorf("after a request: %q", got)
	}
}

func TestVariablesThatChangeAreApplied(t *testing.T) {
	e := newTestEnv(t)
	vars := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "vars"}, Data: map[string]string{"value": "one"}}
	k := app("a")
	k.Spec.PostBuild = &kustomizev1.PostBuild{SubstituteFrom: []kustomizev1.SubstituteReference{{Kind: "ConfigMap", Name: "vars"}}}
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "${value}")})
	if _, err := e.run(k); reconciler.ReasonOf(err, e.Reason) != meta.BuildFailedReason ||
		!strings.Contains(fmt.Sprint(err), "substitute from 'ConfigMap/vars'") {
		t.Errorf("without the variables: %v", err)
	}
	if err := e.client.Create(t.Context(), vars); err != nil {
		t.Fatal(err)
	}
	e.must(k)
	vars.Data["value"] = "two"
	if err := e.client.Update(t.Context(), vars); err != nil {
		t.Fatal(err)
	}
	e.must(k)
	if got := valueOf(e.cluster.Get(pathOf("c"))); got != "two" {
		t.Errorf("applied %q", got)
	}
	harness.MustEventually(e.t, "the informer sees the object", harness.True(func() bool { return e.inSync(k) }))
	e.cluster.Calls()
	vars.Labels = map[string]string{"other": "version, same values"}
	if err := e.client.Update(t.Context(), vars); err != nil {
		t.Fatal(err)
	}
	e.must(k)
	if calls := e.cluster.Calls(); len(calls) > 0 {
		t.Errorf("the same values cost %q", calls)
	}
}

func TestWhatCannotBeBuilt(t *testing.T) {
	tests := map[string]struct {
		files      map[string]string
		path       string
		wantReason string
		wantStalls bool
	}{
		"a path that is not there": {
			files: map[string]string{"a.yaml": configMap("c", "x")}, path: "./none", wantReason: meta.ArtifactFailedReason,
			wantStalls: true,
		},
		"a file that is no YAML": {files: map[string]string{"a.yaml": "a: b: c"}, wantReason: meta.BuildFailedReason, wantStalls: true},
		"a tab in YAML, which the next retry would not mend either": {
			files: map[string]string{"a.yaml": "a:\n\tb: c"}, wantReason: meta.BuildFailedReason, wantStalls: true,
		},
		"a chart": {
			files: map[string]string{"kustomization.yaml": "helmCharts: [{name: x}]"}, wantReason: meta.BuildFailedReason, wantStalls: true,
		},
		"a generator that is not built in": {
			files: map[string]string{
				"kustomization.yaml": "generators: [g.yaml]", "g.yaml": "apiVersion: x/v1\nkind: G\nmetadata: {name: g}\n",
			},
			wantReason: meta.BuildFailedReason, wantStalls: true,
		},
		"a file outside of the source": {
			files: map[string]string{"kustomization.yaml": "resources: [../../etc/passwd]"}, wantReason: meta.BuildFailedReason, wantStalls: true,
		},
		"a base that is elsewhere": {
			files:      map[string]string{"kustomization.yaml": "resources: [\"https://example.com/x\"]"},
			wantReason: meta.BuildFailedReason, wantStalls: true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			k := app("a")
			k.Spec.Path = tc.path
			e.commit("main@sha1:1", tc.files)
			_, err := e.run(k)
			if err == nil || reconciler.ReasonOf(err, e.Reason) != tc.wantReason || errors.Is(err, reconcile.TerminalError(nil)) != tc.wantStalls {
				t.Errorf("Reconcile = %v, reason %s", err, reconciler.ReasonOf(err, e.Reason))
			}
			if k.Status.LastAttemptedRevision != "main@sha1:1" {
				t.Errorf("attempted %q", k.Status.LastAttemptedRevision)
			}
		})
	}
}

func TestWhatIsRemarkedAboutObjectsIsAWarning(t *testing.T) {
	e := newTestEnv(t)
	e.cluster.Warn = func(apiserver.Request) []string { return []string{"apps/v1 is deprecated, not so hunter2"} }
	vars := make.Secret("ns", "vars", map[string]string{"password": "hunter2"})
	if err := e.client.Create(t.Context(), vars); err != nil {
		t.Fatal(err)
	}
	k := app("a")
	k.Spec.PostBuild = &kustomizev1.PostBuild{SubstituteFrom: []kustomizev1.SubstituteReference{{Kind: "Secret", Name: "vars"}}}
	e.commit("main@sha1:1", map[string]string{"d.yaml": deployment("d") + "  replica: 2\n"})
	told := map[string]string{}
	for _, event := range e.must(k).Events {
		if event.Type == corev1.EventTypeWarning && event.Advice {
			told[event.Reason] = event.Message
		}
	}
	for reason, want := range map[string]string{
		build.UnknownFields:    "Deployment/ns/d in d.yaml: unknown field spec.replica, did you mean replicas?",
		apiServerWarningReason: "Deployment/ns/d: apps/v1 is deprecated, not so ",
	} {
		if !strings.Contains(told[reason], want) || strings.Contains(told[reason], "hunter2") {
			t.Errorf("%s: %q, want %q", reason, told[reason], want)
		}
	}
}
