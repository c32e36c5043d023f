// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"fmt"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/apply/build"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/test/fake/apiserver"
)

func warningOf(k *kustomizev1.Kustomization) string {
	c := apimeta.FindStatusCondition(k.Status.Conditions, sluicev1.WarningCondition)
	if c == nil {
		return ""
	}
	return c.Reason + ": " + c.Message
}

func TestAMisspeltFieldIsToldForAsLongAsItIsThere(t *testing.T) {
	e := newTestEnv(t)
	k := app("a")
	wrong := map[string]string{"d.yaml": deployment("d") + "  replica: 2\n"}
	e.commit("main@sha1:1", wrong)
	result := e.must(k)
	const line = "Deployment/ns/d in d.yaml: unknown field spec.replica, did you mean replicas?"
	if !strings.HasPrefix(result.Message, "Applied revision: main@sha1:1; warning: "+line) {
		t.Errorf("Ready says %q", result.Message)
	}
	if got := warningOf(k); !strings.HasPrefix(got, "UnknownFields: "+line) {
		t.Errorf("the condition says %q", got)
	}
	if !strings.HasPrefix(eventOf(result, build.UnknownFields), line) {
		t.Errorf("the event says %q", eventOf(result, build.UnknownFields))
	}
	wrong["other"] = "a file that the build does not read"
	e.commit("main@sha1:2", wrong)
	if result = e.must(k); !strings.Contains(result.Message, line) || eventOf(result, build.UnknownFields) != "" {
		t.Errorf("with another commit: %+v", result)
	}
	restarted := newTestEnv(t)
	restarted.commit("main@sha1:2", wrong)
	if result = restarted.must(k); !strings.Contains(result.Message, line) || eventOf(result, build.UnknownFields) != "" {
		t.Errorf("after a restart: %+v", result)
	}
	e.commit("main@sha1:3", map[string]string{"d.yaml": deployment("d")})
	if result = e.must(k); result.Message != "Applied revision: main@sha1:3" || warningOf(k) != "" {
		t.Errorf("mended: %q, %q", result.Message, warningOf(k))
	}
}

func TestEachOfTwoOwnersNamesTheOtherWhileTheyShareAnObject(t *testing.T) {
	e := newTestEnv(t)
	a, b := app("a"), app("b")
	for _, k := range []*kustomizev1.Kustomization{a, b} {
		if err := e.client.Create(t.Context(), k.DeepCopy()); err != nil {
			t.Fatal(err)
		}
	}
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
	e.must(a)
	e.must(b)
	for k, other := range map[*kustomizev1.Kustomization]string{a: "b", b: "a"} {
		want := "ConfigMap/ns/c is applied by Kustomization/ns/" + other + " as well"
		if result := e.must(k); !strings.Contains(result.Message, want) || !strings.HasPrefix(warningOf(k), "SharedObject: "+want) {
			t.Errorf("%s: %q, %q", k.Name, result.Message, warningOf(k))
		}
	}
	e.states.forget(t.Context(), keyOf(b))
	if result := e.must(a); strings.Contains(result.Message, "warning") || warningOf(a) != "" {
		t.Errorf("alone again: %q, %q", result.Message, warningOf(a))
	}
}

func TestAKustomizationThatWasNeverFinalizedIsForgotten(t *testing.T) {
	e := newTestEnv(t)
	a := app("a")
	if err := e.client.Create(t.Context(), a.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
	e.must(a)
	if err := e.client.Delete(t.Context(), a.DeepCopy()); err != nil { // it has no finalizer by now
		t.Fatal(err)
	}
	opts := reconciler.Options{Clock: e.clock, Recorder: e}
	runner := reconciler.New(e.client, e.client, kind(), reconciler.Controller[*kustomizev1.Kustomization](e.Reconciler), opts)
	if _, err := runner.Reconcile(t.Context(), reconcile.Request{NamespacedName: keyOf(a)}); err != nil {
		t.Fatal(err)
	}
	if len(e.states.byName) != 0 {
		t.Errorf("%d states are left", len(e.states.byName))
	}
}

func TestASuspendedOwnerSharesNoObject(t *testing.T) {
	e := newTestEnv(t)
	a, b := app("a"), app("b")
	stored := a.DeepCopy()
	if err := e.client.Create(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	e.commit("main@sha1:1", map[string]string{"c.yaml": configMap("c", "one")})
	e.must(a)
	for _, suspended := range []bool{false, true, false} {
		stored.Spec.Suspend = suspended
		if err := e.client.Update(t.Context(), stored); err != nil {
			t.Fatal(err)
		}
		if result := e.must(b); strings.Contains(result.Message, "Kustomization/ns/a as well") == suspended || (warningOf(b) == "") != suspended {
			t.Errorf("suspended %v: %q, %q", suspended, result.Message, warningOf(b))
		}
		// The other owner warned on until its interval was over.
		before := stored.DeepCopy()
		before.Spec.Suspend = !suspended
		if !suspensionChanged().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: stored}) {
			t.Errorf("suspended %v: nobody is woken", suspended)
		}
		if got := (watches{states: e.states}).sharing(t.Context(), stored); len(got) != 1 || got[0].NamespacedName != keyOf(b) {
			t.Errorf("suspended %v: woken are %v", suspended, got)
		}
	}
	if suspensionChanged().Update(event.UpdateEvent{ObjectOld: stored, ObjectNew: stored}) {
		t.Error("a status wakes the others")
	}
	if err := e.client.Delete(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	if e.must(b); warningOf(b) != "" {
		t.Errorf("shared with one that is gone: %q", warningOf(b))
	}
}

func TestWhatMatchesNothingAndATimeoutThatIsRaisedAreTold(t *testing.T) {
	e := newTestEnv(t)
	k := app("a")
	k.Spec.Timeout = &metav1.Duration{Duration: 5 * time.Second}
	e.commit("main@sha1:1", map[string]string{
		"c.yaml": configMap("c", "one"), "kustomization.yaml": "resources: [c.yaml]\nimages: [{name: nginx, newTag: x}]\n",
	})
	result := e.must(k)
	if !strings.Contains(result.Message, "kustomization.yaml: images[0]: no container has the image nginx") ||
		!strings.HasSuffix(result.Message, " (and 1 more in the condition Warning)") {
		t.Errorf("Ready says %q", result.Message)
	}
	if got := warningOf(k); !strings.Contains(got, "\nspec.timeout: 5s is less than the least, and counts as 30s") {
		t.Errorf("the condition says %q", got)
	}
}

func TestAFailedApplyNamesTheFile(t *testing.T) {
	e := newTestEnv(t)
	e.cluster.Hook = func(r apiserver.Request) error {
		if r.Method == "PATCH" {
			return apierrors.NewBadRequest("failed to create typed patch object: " +
				".data.port: expected string, got &value.valueUnstructured{Value:8080}")
		}
		return nil
	}
	k := app("a")
	k.Spec.Path = "apps"
	k.Spec.PostBuild = &kustomizev1.PostBuild{Substitute: map[string]string{"port": "8080"}}
	e.commit("main@sha1:1", map[string]string{"apps/web/c.yaml": configMap("c", "one")})
	_, err := e.built(k)
	for _, want := range []string{
		`.data.port: expected string, got 8080: write it in quotes, as "8080"`, "\nConfigMap/ns/c is in apps/web/c.yaml",
		"\na variable takes its quotes with it: write ${q}${name}${q}",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestMoreWarningsThanAConditionListsAreNoNewsAfterARestart(t *testing.T) {
	k := app("a")
	files := map[string]string{}
	for i := range 20 + 5 {
		name := fmt.Sprintf("d%d", i)
		files[name+".yaml"] = deployment(name) + "  replica: 2\n"
	}
	for _, tc := range []struct{ process, revision, want string }{
		{"first", "main@sha1:1", "unknown field spec.replica"}, {"second", "main@sha1:2", ""},
	} {
		e := newTestEnv(t)
		e.commit(tc.revision, files)
		told := eventOf(e.must(k), build.UnknownFields)
		if !strings.Contains(told, tc.want) || (told == "") != (tc.want == "") {
			t.Errorf("the %s process told %q, want %q", tc.process, told, tc.want)
		}
		if got := warningOf(k); !strings.HasSuffix(got, "\nand 5 more") {
			t.Errorf("the condition says %q", got)
		}
	}
}

// eventOf is the message of the event with a reason; "" if there is none.
func eventOf(result reconciler.Result, reason string) string {
	for _, event := range result.Events {
		if event.Reason == reason {
			return event.Message
		}
	}
	return ""
}
