// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/apply/build"
	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/test/fake/apiserver"
	"github.com/sluice-cd/sluice/test/harness"
	builder "github.com/sluice-cd/sluice/test/make"
)

var errTrouble = errors.New("the API server has trouble")

func TestWhatIsAskedOfAKustomization(t *testing.T) {
	of, k := kind(), app("a")
	if of.Suspended(k) {
		t.Error("it is suspended")
	}
	if k.Spec.Suspend = true; !of.Suspended(k) {
		t.Error("spec.suspend is not seen")
	}
	seen := of.Observed(k)
	if *seen.Generation, *seen.HandledAt = 7, "now"; k.Status.ObservedGeneration != 7 || k.Status.LastHandledReconcileAt != "now" {
		t.Errorf("status %+v", k.Status)
	}
	const key = "kustomize.toolkit.fluxcd.io/revision"
	if about := of.About(k); len(about) != 0 {
		t.Errorf("before the first revision events have %v", about)
	}
	if k.Status.LastAppliedRevision = "main@sha1:1"; of.About(k)[key] != "main@sha1:1" {
		t.Errorf("events have %v", of.About(k))
	}
	if k.Status.LastAttemptedRevision = "main@sha1:2"; of.About(k)[key] != "main@sha1:2" {
		t.Errorf("events have %v", of.About(k))
	}
	if diff := cmp.Diff(&kustomizev1.Kustomization{}, of.New()); diff != "" || !of.LagsUnlessReady {
		t.Errorf("a new one: %s", diff)
	}
}

// broken is a client that fails to read some objects.
func (e *testEnv) broken(name string) client.Client {
	e.t.Helper()
	wrapped, ok := e.client.(client.WithWatch)
	if !ok {
		e.t.Fatalf("%T", e.client)
	}
	return interceptor.NewClient(wrapped, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
			if key.Name == name {
				return errTrouble
			}
			return c.Get(ctx, key, into, opts...)
		},
	})
}

// unreadable is a tree that cannot be looked at.
type unreadable struct{ tree.Tree }

func (unreadable) Stat(string) (tree.Entry, error)      { return tree.Entry{}, errTrouble }
func (unreadable) ReadDir(string) ([]tree.Entry, error) { return nil, errTrouble }
func (unreadable) Hash(string) (string, error)          { return "", errTrouble }

// TestWhatCannotBeReadIsTold has a Kustomization that was applied once.
func TestWhatCannotBeReadIsTold(t *testing.T) {
	tests := map[string]struct {
		spoil  func(e *testEnv, k *kustomizev1.Kustomization)
		reason string
		says   string
		kept   bool // no new apply was tried
	}{
		"its source": {
			spoil:  func(e *testEnv, _ *kustomizev1.Kustomization) { e.client = e.broken("src") },
			reason: meta.ArtifactFailedReason, says: "reading source 'GitRepository/ns/src': the API server has trouble", kept: true,
		},
		"its next artifact": {
			spoil: func(e *testEnv, _ *kustomizev1.Kustomization) {
				e.commit("main@sha1:2", nil)
				clear(e.trees)
			},
			reason: meta.ArtifactFailedReason, says: "opening artifact main@sha1:2: no artifact", kept: true,
		},
		"its artifact, of another generation": {
			spoil:  func(e *testEnv, k *kustomizev1.Kustomization) { clear(e.trees); k.Generation++ },
			reason: meta.ArtifactFailedReason, says: "opening artifact main@sha1:1: no artifact",
		},
		"the files of its next artifact": {
			spoil: func(e *testEnv, _ *kustomizev1.Kustomization) {
				e.commit("main@sha1:2", nil)
				for digest := range e.trees {
					e.trees[digest] = unreadable{}
				}
			},
			reason: meta.ArtifactFailedReason, says: "reading main@sha1:2: ", kept: true,
		},
		"a dependency": {
			spoil: func(e *testEnv, k *kustomizev1.Kustomization) {
				k.Spec.DependsOn = []kustomizev1.DependencyReference{{Name: "b"}}
				e.client = e.broken("b")
			},
			reason: meta.DependencyNotReadyReason, says: "reading dependency 'ns/b': the API server has trouble", kept: true,
		},
		"a variable": {
			spoil: func(e *testEnv, k *kustomizev1.Kustomization) {
				k.Spec.PostBuild = &kustomizev1.PostBuild{SubstituteFrom: []kustomizev1.SubstituteReference{{
					Kind: "Secret", Name: "vars", Optional: true,
				}}}
				k.Generation++
				e.live = e.broken("vars")
			},
			reason: meta.BuildFailedReason, says: "substitute from 'Secret/vars': the API server has trouble",
		},
		"a variable of neither kind": {
			spoil: func(_ *testEnv, k *kustomizev1.Kustomization) {
				k.Spec.PostBuild = &kustomizev1.PostBuild{SubstituteFrom: []kustomizev1.SubstituteReference{{Kind: "Pod", Name: "vars"}}}
				k.Generation++
			},
			reason: meta.BuildFailedReason, says: "substitute from 'Pod/vars': kind must be ConfigMap or Secret",
		},
		"a field that is not honoured": {
			spoil: func(_ *testEnv, k *kustomizev1.Kustomization) {
				k.Spec.Decryption = &kustomizev1.Decryption{Provider: "other"}
			},
			reason: "UnsupportedField", says: "spec.decryption", kept: true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			k := app("a")
			k.Generation = 1
			e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
			e.must(k)
			k.Status.LastAttemptedRevision = ""
			tc.spoil(e, k)
			_, err := e.run(k)
			if err == nil || !strings.Contains(err.Error(), tc.says) || reconciler.ReasonOf(err, e.Reason) != tc.reason {
				t.Errorf("Reconcile = %v, reason %s", err, reconciler.ReasonOf(err, e.Reason))
			}
			if kept := k.Status.LastAttemptedRevision == ""; kept != tc.kept {
				t.Errorf("attempted %q", k.Status.LastAttemptedRevision)
			}
			if got := errors.Is(err, reconcile.TerminalError(nil)); got != (tc.reason == "UnsupportedField") {
				t.Errorf("stalls: %v", got)
			}
		})
	}
}

func TestAnOwnPaceOfRetries(t *testing.T) {
	told := reconciler.WithReason("Because", errTrouble)
	for name, tc := range map[string]struct {
		failure decide.Failure
		want    error
	}{
		"soon":                {decide.Failure{Retry: decide.RetrySoon}, reconciler.Waiting(told, 7*time.Second)},
		"never":               {decide.Failure{Retry: decide.RetryNever}, reconcile.TerminalError(told)},
		"when it is watched":  {decide.Failure{Retry: decide.RetryWhenWatched}, reconciler.Waiting(told, 7*time.Second)},
		"after a known time":  {decide.Failure{Retry: decide.RetryWhenWatched, After: time.Hour}, reconciler.Waiting(told, time.Hour)},
		"what went not wrong": {decide.Failure{Retry: decide.RetryPending, After: time.Hour}, reconciler.Pending(told, time.Hour)},
	} {
		k := app("a")
		k.Spec.RetryInterval = &metav1.Duration{Duration: 7 * time.Second}
		tc.failure.Err, tc.failure.Reason = errTrouble, "Because"
		if got := asError(k, tc.failure); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %#v", name, got)
		}
	}
	if err := asError(app("a"),
		decide.Failure{Err: errTrouble, Retry: decide.RetrySoon}); err != errTrouble { //nolint:errorlint // it is as it was
		t.Errorf("with backoff: %#v", err)
	}
	if err := asError(app("a"), decide.Failure{Err: errTrouble, Retry: decide.Retry(99)}); !errors.Is(err, errTrouble) ||
		!strings.Contains(err.Error(), "unknown retry") {
		t.Errorf("of which nobody knows: %#v", err)
	}
}

// refusesChanges is an API server that lets nobody change a ConfigMap.
func refusesChanges(cluster *apiserver.Server) apiserver.Hook {
	return func(r apiserver.Request) error {
		if r.Method == http.MethodPatch && cluster.Peek(r.Path) != nil {
			return apierrors.NewInvalid(schema.GroupKind{Kind: "ConfigMap"},
				"c", field.ErrorList{field.Forbidden(field.NewPath("data"), "it stays")})
		}
		return nil
	}
}

func objectOf(kind, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("v1")
	u.SetKind(kind)
	u.SetName(name)
	return u
}

func TestForceRecreatesWhatCannotBeChanged(t *testing.T) {
	for _, force := range []bool{true, false} {
		e := newTestEnv(t)
		k := app("a")
		k.Spec.Force = force
		e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
		e.must(k)
		e.cluster.Hook = refusesChanges(e.cluster)
		e.commit("main@sha1:2", map[string]string{"c.yaml": configMap("c", "two")})
		_, err := e.run(k)
		if recreated := valueOf(e.cluster.Get(pathOf("c"))) == "two"; recreated != force || (err == nil) != force {
			t.Errorf("with spec.force: %v: recreated %v, %v", force, recreated, err)
		}
	}
}

func TestWhatAllObjectsGet(t *testing.T) {
	e := newTestEnv(t)
	k := app("a")
	k.Spec.CommonMetadata = &kustomizev1.CommonMetadata{Labels: map[string]string{"team": "shop"}, Annotations: map[string]string{"note": "x"}}
	k.Spec.NamePrefix, k.Spec.NameSuffix = "pre-", "-post"
	k.Spec.BuildMetadata = []kustomizev1.BuildMetadataOption{"originAnnotations"}
	k.Spec.Images = []kustomize.Image{{Name: "app", NewTag: "2"}}
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
	e.must(k)
	live := e.cluster.Get(pathOf("pre-c-post"))
	if live == nil || live.GetLabels()["team"] != "shop" || live.GetAnnotations()["note"] != "x" ||
		live.GetAnnotations()["config.kubernetes.io/origin"] == "" {
		t.Errorf("applied %v", live)
	}
}

func TestTheCommitThatAnArtifactWasMadeOfIsTold(t *testing.T) {
	e := newTestEnv(t)
	k := app("a")
	e.commit("latest@sha256:1", map[string]string{"c.yaml": configMap("c", "one")})
	src := &sourcev1.GitRepository{}
	if err := e.client.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: "src"}, src); err != nil {
		t.Fatal(err)
	}
	src.Status.Artifact.Metadata = map[string]string{originRevision: "main@sha1:1"}
	if err := e.client.Update(t.Context(), src); err != nil {
		t.Fatal(err)
	}
	result := e.must(k)
	const key = "kustomize.toolkit.fluxcd.io/originRevision"
	if k.Status.LastAppliedOriginRevision != "main@sha1:1" || result.About[key] != "main@sha1:1" ||
		result.Events[0].Metadata[key] != "main@sha1:1" {
		t.Errorf("status %+v, result %+v", k.Status, result)
	}
	if len(k.Status.History) != 1 || k.Status.History[0].Metadata["originRevision"] != "main@sha1:1" ||
		k.Status.History[0].Metadata["revision"] != "latest@sha256:1" {
		t.Errorf("history %+v", k.Status.History)
	}
}

func TestABuildThatTakesLongGoesOnWithoutAWorker(t *testing.T) {
	e := newTestEnv(t)
	e.builds.Patience = time.Nanosecond
	k := app("a")
	open := make(chan struct{})
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
	for digest, files := range e.trees {
		e.trees[digest] = slow{files, open}
	}
	result, err := e.run(k)
	if err != nil || !result.Progressing || e.cluster.Get(pathOf("c")) != nil {
		t.Fatalf("Reconcile = %+v, %v", result, err)
	}
	close(open)
	harness.MustEventually(e.t, "the build is done", harness.True(func() bool {
		result, err = e.run(k)
		return err != nil || !result.Progressing
	}))
	if err != nil || valueOf(e.cluster.Get(pathOf("c"))) != "one" {
		t.Errorf("Reconcile = %+v, %v", result, err)
	}
}

// slow is a tree that is not read before open is closed.
type slow struct {
	tree.Tree
	open chan struct{}
}

func (s slow) ReadDir(name string) ([]tree.Entry, error) { <-s.open; return s.Tree.ReadDir(name) }

func TestWhatIsNotPrunedStaysInTheInventory(t *testing.T) {
	e := newTestEnv(t)
	k := app("a")
	k.Spec.Prune = true
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one"), "d.yaml": configMap("d", "one")})
	e.must(k)
	e.cluster.Hook = func(r apiserver.Request) error {
		if r.Method == "DELETE" {
			return errTrouble
		}
		return nil
	}
	e.commit("main@sha1:2", map[string]string{"c.yaml": configMap("c", "one")})
	_, err := e.run(k)
	if reconciler.ReasonOf(err, e.Reason) != meta.PruneFailedReason || !strings.Contains(err.Error(), "ConfigMap/ns/d delete failed") {
		t.Errorf("Reconcile = %v", err)
	}
	if len(k.Status.Inventory.Entries) != 2 {
		t.Errorf("inventory %v", k.Status.Inventory.Entries)
	}
	e.cluster.Hook = nil
	if e.must(k); len(k.Status.Inventory.Entries) != 1 || e.cluster.Get(pathOf("d")) != nil {
		t.Errorf("after it: inventory %v", k.Status.Inventory.Entries)
	}
}

func TestWhatADeletionCannotDoIsTold(t *testing.T) {
	start := func(t *testing.T) (*testEnv, *kustomizev1.Kustomization) {
		t.Helper()
		e := newTestEnv(t)
		k := app("a")
		k.Spec.Prune = true
		e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
		e.must(k)
		return e, k
	}
	told := func(e *testEnv) string {
		text := ""
		for _, event := range e.events {
			text += event.Type + ": " + event.Message + "\n"
		}
		return text
	}
	t.Run("an object that is somebody else's by now", func(t *testing.T) {
		e, k := start(t)
		live := e.cluster.Get(pathOf("c"))
		ownedBy("other")(live)
		e.cluster.Put(pathOf("c"), live)
		if err := e.Finalize(t.Context(), k); err != nil || e.cluster.Get(pathOf("c")) == nil {
			t.Errorf("Finalize = %v", err)
		}
		if text := told(e); !strings.Contains(text, "ConfigMap/ns/c not pruned: it has the labels of Kustomization ns/other") {
			t.Errorf("told %s", text)
		}
	})
	t.Run("an entry that names no object", func(t *testing.T) {
		e, k := start(t)
		k.Status.Inventory.Entries = append(k.Status.Inventory.Entries, kustomizev1.ResourceRef{ID: "nonsense"})
		if err := e.Finalize(t.Context(), k); err != nil || e.cluster.Get(pathOf("c")) != nil {
			t.Errorf("Finalize = %v", err)
		}
		if text := told(e); !strings.Contains(text, `Warning: left out of status.inventory what names no object: ["nonsense"]`) {
			t.Errorf("told %s", text)
		}
	})
	t.Run("an object whose deletion fails", func(t *testing.T) {
		e, k := start(t)
		e.cluster.Hook = func(r apiserver.Request) error {
			if r.Method == "DELETE" {
				return errTrouble
			}
			return nil
		}
		if err := e.Finalize(t.Context(), k); err == nil || !strings.Contains(err.Error(), "ConfigMap/ns/c delete failed") {
			t.Errorf("Finalize = %v", err)
		}
	})
	t.Run("with an account that is there", func(t *testing.T) {
		e, k := start(t)
		k.Spec.ServiceAccountName = "team"
		e.cluster.Put("/api/v1/namespaces/ns/serviceaccounts/team", objectOf("ServiceAccount", "team"))
		e.cluster.Calls()
		if err := e.Finalize(t.Context(), k); err != nil || e.cluster.Get(pathOf("c")) != nil {
			t.Errorf("Finalize = %v", err)
		}
		if calls := strings.Join(e.cluster.Calls(), "\n"); !strings.Contains(calls, "DELETE "+pathOf("c")+" as system:serviceaccount:ns:team") {
			t.Errorf("calls:\n%s", calls)
		}
	})
	t.Run("what it forgets is made anew", func(t *testing.T) {
		e, k := start(t)
		before := e.states.get(keyOf(k))
		if err := e.Finalize(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		if e.states.get(keyOf(k)) == before {
			t.Error("it is remembered")
		}
	})
}

func TestWhoApplies(t *testing.T) {
	for name, tc := range map[string]struct{ spec, standard, want string }{
		"the controller":       {"", "", ""},
		"the standard account": {"", "default", "default"},
		"its own account":      {"team", "default", "team"},
	} {
		k := app("a")
		k.Spec.ServiceAccountName = tc.spec
		as := (&Reconciler{DefaultServiceAccount: tc.standard}).identity(k)
		if as.ServiceAccount != tc.want || (as.Namespace == "ns") != (tc.want != "") {
			t.Errorf("%s: %+v", name, as)
		}
	}
}

func TestSourcesThatAreMadeOrGo(t *testing.T) {
	with, without := &sourcev1.GitRepository{}, &sourcev1.GitRepository{}
	with.Status.Artifact = &meta.Artifact{Revision: "main@1"}
	passes := artifactChanged()
	if !passes.Create(event.CreateEvent{Object: with}) || !passes.Create(event.CreateEvent{Object: without}) ||
		passes.Create(event.CreateEvent{Object: app("a")}) {
		t.Error("a source that is made was missing before")
	}
	if passes.Delete(event.DeleteEvent{Object: with}) {
		t.Error("a source that goes leaves nothing to apply")
	}
	if passes.Update(event.UpdateEvent{ObjectOld: with, ObjectNew: app("a")}) ||
		passes.Update(event.UpdateEvent{ObjectOld: app("a"), ObjectNew: with}) {
		t.Error("what is no source passes")
	}
	ready := readinessChanged()
	if ready.Update(event.UpdateEvent{ObjectOld: with, ObjectNew: app("a")}) ||
		ready.Update(event.UpdateEvent{ObjectOld: app("a"), ObjectNew: with}) {
		t.Error("what is no Kustomization passes")
	}
	for field, keys := range indexes {
		if found := keys(with); found != nil {
			t.Errorf("%s of what is no Kustomization: %v", field, found)
		}
	}
}

func TestReferencesToWatch(t *testing.T) {
	k := app("a")
	k.Spec.HealthChecks = []meta.NamespacedObjectKindReference{
		{Kind: "Deployment", Name: "d"}, {APIVersion: "v1", Kind: "Service", Namespace: "ns", Name: "s"},
	}
	var got []string
	for _, ref := range references(k) {
		got = append(got, strings.Join([]string{ref.GroupVersionKind.String(), ref.Namespace, ref.Name}, " "))
	}
	if diff := cmp.Diff([]string{"apps/v1, Kind=Deployment  d", "/v1, Kind=Service ns s"}, got); diff != "" {
		t.Error(diff)
	}
	if k.Spec.Wait = true; len(references(k)) > 0 || decisionSpec(k).HealthCheck != decide.CheckApplied {
		t.Error("spec.wait covers what is applied, and those are ignored")
	}
	if k.Spec.Wait = false; decisionSpec(k).HealthCheck != decide.CheckReferences {
		t.Error("they are not checked")
	}
	if k.Spec.HealthChecks = nil; decisionSpec(k).HealthCheck != decide.CheckNone {
		t.Error("nothing asks for checks")
	}
}

func TestTheDigestOfVariables(t *testing.T) {
	if digestOf(nil) != "" {
		t.Error("none has a digest")
	}
	one, same, other := &build.Substitution{
		Values: map[string]string{"a": "1"},
	}, &build.Substitution{Values: map[string]string{"a": "1"}}, &build.Substitution{Values: map[string]string{"a": "2"}}
	if digestOf(one) != digestOf(same) || digestOf(one) == digestOf(other) || len(digestOf(one)) != 64 {
		t.Error("it does not tell them apart")
	}
	secret := builder.Secret("ns", "vars", map[string]string{"a": "from", "b": "hidden"})
	r := reconcilerWith(t, secret)
	k := app("a")
	k.Spec.PostBuild = &kustomizev1.PostBuild{
		Substitute:     map[string]string{"a": "own"},
		SubstituteFrom: []kustomizev1.SubstituteReference{{Kind: "Secret", Name: "vars"}},
	}
	sub, _, err := substitution(t.Context(), r.client, k)
	if err != nil || sub.Values["a"] != "own" || sub.Values["b"] != "hidden" || len(sub.Secret) != 2 || sub.Always {
		t.Errorf("%+v, %v", sub, err)
	}
	k.Spec.PostBuild.SubstituteStrategy = kustomizev1.SubstituteStrategyAlways
	if sub, _, _ := substitution(t.Context(), r.client, k); !sub.Always {
		t.Error("the strategy is not seen")
	}
}
