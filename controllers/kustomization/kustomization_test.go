// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/test/make"
)

func app(name string, dependsOn ...string) *kustomizev1.Kustomization {
	return make.Kustomization("ns", name, func(k *kustomizev1.Kustomization) {
		for _, dep := range dependsOn {
			k.Spec.DependsOn = append(k.Spec.DependsOn, kustomizev1.DependencyReference{Name: dep})
		}
	})
}

// honoured are the fields of the spec that the controller acts on. A field that a new
// version of the API brings belongs here, or in refuse and a test of it.
var honoured = []string{
	"CommonMetadata", "DependsOn", "Interval", "RetryInterval", "Path", "PostBuild", "Prune", "DeletionPolicy",
	"HealthChecks", "NamePrefix", "NameSuffix", "Patches", "Images", "ServiceAccountName", "SourceRef", "Suspend",
	"TargetNamespace", "Timeout", "Force", "Wait", "BuildMetadata", "Components", "IgnoreMissingComponents",
	"HealthCheckExprs", "Ignore", "Decryption", "KubeConfig",
}

func TestEveryFieldIsHonoured(t *testing.T) {
	spec := reflect.TypeFor[kustomizev1.KustomizationSpec]()
	for i := range spec.NumField() {
		if name := spec.Field(i).Name; !slices.Contains(honoured, name) {
			t.Errorf("%s is not honoured", name)
		}
	}
}

func TestRefuseNamesTheField(t *testing.T) {
	k := app("a")
	k.Spec.SourceRef.Kind = "HelmChart"
	err := refuse(k)
	if want := "field is not supported: spec.sourceRef.kind (HelmChart)"; err == nil || err.Error() != want {
		t.Errorf("refuse = %v, want %s", err, want)
	}
	if err := refuse(app("a")); err != nil {
		t.Errorf("a plain Kustomization is refused: %v", err)
	}
}

func reconcilerWith(t *testing.T, objects ...client.Object) *Reconciler {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{kustomizev1.AddToScheme, sourcev1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	built := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&kustomizev1.Kustomization{})
	for field, keys := range indexes {
		built = built.WithIndex(&kustomizev1.Kustomization{}, field, keys)
	}
	return &Reconciler{
		client: built.Build(),
		clock:  clocktesting.NewFakePassiveClock(metav1.Now().Time),
	}
}

func TestCycle(t *testing.T) {
	byExpression := func(k *kustomizev1.Kustomization) *kustomizev1.Kustomization {
		for i := range k.Spec.DependsOn {
			k.Spec.DependsOn[i].ReadyExpr = "true"
		}
		return k
	}
	tests := map[string]struct {
		objects  []client.Object
		additive bool
		want     []string
	}{
		"a chain ends":          {objects: []client.Object{app("a", "b"), app("b", "c"), app("c")}},
		"a diamond is no cycle": {objects: []client.Object{app("a", "b", "c"), app("b", "d"), app("c", "d"), app("d")}},
		"a missing one ends it": {objects: []client.Object{app("a", "none")}},
		"itself":                {objects: []client.Object{app("a", "a")}, want: []string{"ns/a", "ns/a"}},
		"by way of others": {
			objects: []client.Object{app("a", "x", "b"), app("b", "c"), app("c", "a")},
			want:    []string{"ns/a", "ns/b", "ns/c", "ns/a"},
		},
		"somebody else's is theirs":         {objects: []client.Object{app("a", "b"), app("b", "c"), app("c", "b")}},
		"one that an expression lets begin": {objects: []client.Object{byExpression(app("a", "b")), app("b", "a")}},
		"the other one of the same":         {objects: []client.Object{app("b", "a"), byExpression(app("a", "b"))}},
		"an expression that counts beside Ready": {
			objects: []client.Object{byExpression(app("a", "b")), app("b", "a")}, additive: true,
			want: []string{"ns/a", "ns/b", "ns/a"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := reconcilerWith(t, tc.objects...)
			r.AdditiveReadyExpr = tc.additive
			got := r.dependencies().cycle(t.Context(), keyOf(tc.objects[0]))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("cycle (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCrossNamespaceSources(t *testing.T) {
	src := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "src"}}
	src.Status.Artifact = &meta.Artifact{Revision: "main@sha1:1"}
	k := app("a")
	k.Spec.SourceRef.Namespace = "other"
	r := reconcilerWith(t, src)
	if artifact, err := r.artifact(t.Context(), k); err != nil || artifact.Revision != "main@sha1:1" {
		t.Errorf("allowed: %v, %v", artifact, err)
	}
	r.NoCrossNamespaceRefs = true
	_, err := r.artifact(t.Context(), k)
	if !errors.Is(err, reconcile.TerminalError(nil)) || r.Reason(err) != acl.AccessDeniedReason {
		t.Errorf("denied: %v, reason %s", err, r.Reason(err))
	}
}

func TestArtifactChanged(t *testing.T) {
	at := func(revision, digest string) client.Object {
		src := &sourcev1.GitRepository{}
		if revision != "" {
			src.Status.Artifact = &meta.Artifact{Revision: revision, Digest: digest}
		}
		return src
	}
	tests := map[string]struct {
		before, after client.Object
		want          bool
	}{
		"the first artifact":                    {at("", ""), at("main@1", "d1"), true},
		"a new revision":                        {at("main@1", "d1"), at("main@2", "d2"), true},
		"new content at the same revision":      {at("main@1", "d1"), at("main@1", "d2"), true},
		"the same":                              {at("main@1", "d1"), at("main@1", "d1"), false},
		"an artifact that is gone":              {at("main@1", "d1"), at("", ""), false},
		"an object that is no source, somehow?": {app("a"), app("a"), false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := artifactChanged().Update(event.UpdateEvent{ObjectOld: tc.before, ObjectNew: tc.after}); got != tc.want {
				t.Errorf("passes = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestDependenciesInOtherNamespaces(t *testing.T) {
	dep := app("b")
	dep.Namespace = "other"
	k := app("a")
	k.Spec.DependsOn = []kustomizev1.DependencyReference{{Name: "b", Namespace: "other"}}
	r := reconcilerWith(t, dep)
	if found, err := r.dependencies().read(t.Context(), &run{k: k, state: &state{}, artifact: &meta.Artifact{}}); err != nil ||
		found[0].State != decide.DependencyNotReady {
		t.Errorf("allowed, and not ready: %v, %v", found, err)
	}
	r.NoCrossNamespaceRefs = true
	_, err := r.dependencies().read(t.Context(), &run{k: k, state: &state{}, artifact: &meta.Artifact{}})
	if !errors.Is(err, reconcile.TerminalError(nil)) || r.Reason(err) != acl.AccessDeniedReason {
		t.Errorf("denied: %v, reason %s", err, r.Reason(err))
	}
}

func TestAnInventoryThatSomebodyWrote(t *testing.T) {
	k := app("a")
	k.Status.Inventory = &kustomizev1.ResourceInventory{Entries: []kustomizev1.ResourceRef{
		{ID: "ns_a__ConfigMap", Version: "v1"}, {ID: "nonsense", Version: "v1"}, {ID: "", Version: "v1"},
	}}
	entries, malformed := entriesOf(k)
	if len(entries) != 1 || entries[0].Name != "a" {
		t.Errorf("entries = %v", entries)
	}
	if diff := cmp.Diff([]string{"nonsense", ""}, malformed); diff != "" {
		t.Errorf("malformed (-want +got):\n%s", diff)
	}
}

func TestWhatVariablesComeFrom(t *testing.T) {
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "vars"}, Data: map[string]string{"a": "1"}}
	r := reconcilerWith(t, config)
	k := app("a")
	k.Spec.PostBuild = &kustomizev1.PostBuild{SubstituteFrom: []kustomizev1.SubstituteReference{
		{Kind: "ConfigMap", Name: "vars"}, {Kind: "Secret", Name: "none", Optional: true},
	}}
	if diff := cmp.Diff([]string{"ConfigMap/ns/vars", "Secret/ns/none"}, inputsOf(k)); diff != "" {
		t.Errorf("index (-want +got):\n%s", diff)
	}
	_, seen, err := substitution(t.Context(), r.client, k)
	if err != nil {
		t.Fatal(err)
	}
	if changedInputs(t.Context(), r.client, "ns", seen) {
		t.Error("moved, and nothing changed")
	}
	config.Data["a"] = "2"
	if err := r.client.Update(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if !changedInputs(t.Context(), r.client, "ns", seen) {
		t.Error("a changed ConfigMap is not seen")
	}
	_, seen, _ = substitution(t.Context(), r.client, k)
	made := make.Secret("ns", "none", map[string]string{})
	if err := r.client.Create(t.Context(), made); err != nil {
		t.Fatal(err)
	}
	if !changedInputs(t.Context(), r.client, "ns", seen) {
		t.Error("a Secret that came late is not seen")
	}
}

func TestVariablesAreBounded(t *testing.T) {
	config := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "vars"},
		Data:       map[string]string{"a": strings.Repeat("x", 700_000)},
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "vars"},
		Data:       map[string][]byte{"a": []byte(strings.Repeat("x", 700_000))},
	}
	r := reconcilerWith(t, config, secret)
	for kind, within := range map[string]bool{"ConfigMap": true, "Secret": false} {
		k := app("a")
		k.Spec.PostBuild = &kustomizev1.PostBuild{SubstituteFrom: []kustomizev1.SubstituteReference{{Kind: kind, Name: "vars"}}}
		_, _, err := substitution(t.Context(), r.client, k)
		if within != (err == nil) {
			t.Errorf("%s: got %.200v", kind, err)
		}
		if err != nil && variablesFailure(err).Retry != decide.RetryNever {
			t.Errorf("%s: is tried again, which cannot help", kind)
		}
	}
}
