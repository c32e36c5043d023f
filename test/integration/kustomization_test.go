// SPDX-License-Identifier: Apache-2.0

// Package integration tests controllers against a real API server.
package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/harness"
)

func TestKustomization(t *testing.T) {
	c := startKustomization(t)
	for name, test := range map[string]func(*testEnv){
		"what leaves the source leaves the cluster":              prunes,
		"a commit elsewhere costs the revision in the status":    costsNothing,
		"objects of kustomize-controller change hands unchanged": takesOver,
		"fields that kubectl left behind are cleared":            clearsKubectl,
		"definitions come before their objects":                  definitionsFirst,
		"a wait ends when the objects are healthy":               waitsForHealth,
		"a wait fails when an object fails":                      failsEarly,
		"a wait fails when its time is over":                     timesOut,
		"health of others is waited for":                         healthChecks,
		"dependencies are waited for, and named":                 dependsOn,
		"a suspended one does nothing":                           suspends,
		"an immutable field is named, and force recreates":       immutableField,
		"drift is corrected by request":                          correctsDrift,
		"objects can ask to be left alone":                       leavesAlone,
		"an unsupported field stalls":                            stalls,
		"what admission denies is named, and applied later":      isDenied,
		"a broken commit is named and the next one applied":      recoversFromBrokenBuild,
		"a deleted one takes its objects along":                  finalizes,
		"a service account bounds what can be applied":           impersonates,
		"variables come from config":                             substitutes,
		"values of Secrets are not told":                         hidesSecrets,
		"warnings of the API server are told":                    tellsWarnings,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(c.env(t))
		})
	}
}

func prunes(b *testEnv) {
	b.kustomization("app", nil)
	b.failing("app", meta.ArtifactFailedReason, "no artifact yet")
	k := b.ready("app", b.push(map[string]string{
		"app/a.yaml": configMap("a", "1"), "app/b.yaml": configMap("b", "1"), "app/c.yaml": configMap("c", "1"),
		"app/d.yaml": strings.Replace(configMap("d", "1"), "name: d", "name: d\n  annotations: {kustomize.toolkit.fluxcd.io/prune: disabled}", 1),
	}))
	want := []kustomizev1.ResourceRef{}
	for _, name := range []string{"a", "b", "c", "d"} {
		want = append(want, kustomizev1.ResourceRef{ID: b.ns + "_" + name + "__ConfigMap", Version: "v1"})
	}
	if diff := cmp.Diff(want, k.Status.Inventory.Entries); diff != "" {
		b.t.Errorf("inventory (-want +got):\n%s", diff)
	}
	// Somebody else adopts c: it is not ours to delete any more.
	c := b.object("v1", "ConfigMap", "c")
	labels := c.GetLabels()
	labels["kustomize.toolkit.fluxcd.io/name"] = "other"
	c.SetLabels(labels)
	b.must(b.Update(b.t.Context(), c))

	k = b.ready("app", b.push(map[string]string{"app/a.yaml": configMap("a", "2")}))
	b.gone("v1", "ConfigMap", "b")
	if b.object("v1", "ConfigMap", "c") == nil || b.object("v1", "ConfigMap", "d") == nil {
		b.t.Error("an object was deleted that is another's, or asked to be kept")
	}
	if diff := cmp.Diff(want[:1], k.Status.Inventory.Entries); diff != "" {
		b.t.Errorf("inventory (-want +got):\n%s", diff)
	}
	b.told("ConfigMap/" + b.ns + "/b deleted")
}

// told waits for an event with the text.
func (b *testEnv) told(text string) {
	b.t.Helper()
	harness.MustSucceed(b.t, func(ctx context.Context) error {
		var events corev1.EventList
		if err := b.List(ctx, &events, client.InNamespace(b.ns)); err != nil {
			return err
		}
		for _, e := range events.Items {
			if strings.Contains(e.Message, text) {
				return nil
			}
		}
		return errors.New("no event tells: " + text)
	})
}

// never fails if an event with the text was told.
func (b *testEnv) never(text string) {
	b.t.Helper()
	b.told("Reconciliation finished in ") // which comes last
	var events corev1.EventList
	b.must(b.List(b.t.Context(), &events, client.InNamespace(b.ns)))
	for _, e := range events.Items {
		if strings.Contains(e.Message, text) {
			b.t.Errorf("told: %s", e.Message)
		}
	}
}

func costsNothing(b *testEnv) {
	files := map[string]string{
		"app/kustomization.yaml": "resources: [../base]", "base/a.yaml": configMap("a", "1"),
		"base/d.yaml": deployment("d", 0, ""), "base/kustomization.yaml": "resources: [a.yaml, d.yaml]",
	}
	b.kustomization("app", func(s *kustomizev1.KustomizationSpec) { s.Wait = true })
	b.ready("app", b.push(files))
	b.told("Reconciliation finished in ")
	b.calls.about(b.ns)
	for i := range 3 {
		files["elsewhere/b.yaml"] = configMap("b", fmt.Sprint(i))
		k := b.ready("app", b.push(files))
		if k.Status.LastAppliedRevision != k.Status.LastAttemptedRevision {
			b.t.Errorf("applied %s, attempted %s", k.Status.LastAppliedRevision, k.Status.LastAttemptedRevision)
		}
	}
	// Reading one's own status is not a cost of the controller.
	want := []string{}
	for range 3 {
		want = append(want, "PATCH /apis/kustomize.toolkit.fluxcd.io/v1 kustomizations/app/status")
	}
	if diff := cmp.Diff(want, b.calls.about(b.ns)); diff != "" {
		b.t.Errorf("calls (-want +got):\n%s", diff)
	}
	files["base/a.yaml"] = configMap("a", "2")
	b.ready("app", b.push(files))
	var writes []string
	for _, call := range b.calls.about(b.ns) {
		if !strings.Contains(call, "events") && !strings.Contains(call, "kustomizations") {
			writes = append(writes, call)
		}
	}
	if diff := cmp.Diff([]string{"PATCH /api/v1 configmaps/a"}, writes); diff != "" {
		b.t.Errorf("calls for one changed object (-want +got):\n%s", diff)
	}
}

func takesOver(b *testEnv) {
	labels := "\n  labels:\n    kustomize.toolkit.fluxcd.io/name: app\n    kustomize.toolkit.fluxcd.io/namespace: " + b.ns
	owned := func(name string) string {
		return strings.Replace(configMap(name, "1"), "name: "+name, "name: "+name+labels, 1)
	}
	b.serverSideApply("kustomize-controller", owned("kept"))
	b.serverSideApply("kustomize-controller", owned("stale"))
	before := b.object("v1", "ConfigMap", "kept")

	b.kustomization("app", func(s *kustomizev1.KustomizationSpec) { s.Suspend = true })
	k := b.get("app")
	k.Status.Inventory = &kustomizev1.ResourceInventory{Entries: []kustomizev1.ResourceRef{
		{ID: b.ns + "_kept__ConfigMap", Version: "v1"}, {ID: b.ns + "_stale__ConfigMap", Version: "v1"},
	}}
	b.must(b.Status().Update(b.t.Context(), k))
	revision := b.push(map[string]string{"app/kept.yaml": configMap("kept", "1")})
	b.change("app", func(k *kustomizev1.Kustomization) { k.Spec.Suspend = false })

	k = b.ready("app", revision)
	b.gone("v1", "ConfigMap", "stale")
	after := b.object("v1", "ConfigMap", "kept")
	if before.GetResourceVersion() != after.GetResourceVersion() {
		b.t.Errorf("an unchanged object was written: managed fields %v", after.GetManagedFields())
	}
	if len(k.Status.Inventory.Entries) != 1 {
		b.t.Errorf("inventory = %v", k.Status.Inventory.Entries)
	}
}

func clearsKubectl(b *testEnv) {
	b.serverSideApply("kubectl", configMap("a", "1")+"  extra: by hand\n")
	b.kustomization("app", nil)
	b.ready("app", b.push(map[string]string{"app/a.yaml": configMap("a", "1")}))
	got := b.object("v1", "ConfigMap", "a")
	data, _, _ := unstructured.NestedStringMap(got.Object, "data")
	if diff := cmp.Diff(map[string]string{"key": "1"}, data); diff != "" {
		b.t.Errorf("data (-want +got):\n%s", diff)
	}
	for _, f := range got.GetManagedFields() {
		if f.Manager != "kustomize-controller" {
			b.t.Errorf("%s still manages fields", f.Manager)
		}
	}
}

// thing is a definition and an object of it, in a group of the test's own.
func (b *testEnv) thing() (definition, object, apiVersion string) {
	group := b.ns + ".example.com"
	definition = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: things.` + group + `
spec:
  group: ` + group + `
  names: {kind: Thing, listKind: ThingList, plural: things, singular: thing}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
`
	apiVersion = group + "/v1"
	return definition, "apiVersion: " + apiVersion + "\nkind: Thing\nmetadata:\n  name: t\nspec: {size: 1}\n", apiVersion
}

func definitionsFirst(b *testEnv) {
	definition, object, apiVersion := b.thing()
	b.kustomization("app", func(s *kustomizev1.KustomizationSpec) { s.Wait = true })
	k := b.ready("app", b.push(map[string]string{
		"app/a.yaml": object, "app/b.yaml": definition, "app/c.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + b.ns + "-more}\n",
		"app/d.yaml": strings.Replace(configMap("d", "1"), "name: d", "name: d\n  namespace: other", 1),
	}))
	if b.object(apiVersion, "Thing", "t") == nil {
		b.t.Error("the object of the new kind is not there")
	}
	if n := len(k.Status.Inventory.Entries); n != 4 {
		b.t.Errorf("inventory = %v", k.Status.Inventory.Entries)
	}
	b.never("no matches for kind")
	b.ready("app", b.push(map[string]string{"app/d.yaml": configMap("d", "1")}))
	b.gone("apiextensions.k8s.io/v1", "CustomResourceDefinition", "things."+strings.TrimSuffix(apiVersion, "/v1"))
}

func waitsForHealth(b *testEnv) {
	definition, object, apiVersion := b.thing()
	b.kustomization("defs", nil)
	b.ready("defs", b.push(map[string]string{"defs/d.yaml": definition, "app/none.txt": ""}))
	b.kustomization("app", func(s *kustomizev1.KustomizationSpec) { s.Wait = true })
	object = strings.Replace(object, "spec:", "status: {}\nspec:", 1)
	// A condition that is set before the controller looks makes it wait.
	b.serverSideApply("somebody", object)
	b.thingIs(apiVersion, "False")
	revision := b.push(map[string]string{"defs/d.yaml": definition, "app/a.yaml": object, "app/c.yaml": configMap("c", "1")})
	k := b.condition("app", meta.HealthyCondition, metav1.Condition{
		Status:  metav1.ConditionUnknown,
		Reason:  meta.ProgressingReason,
		Message: revision,
	})
	if k.Status.LastAppliedRevision == revision {
		b.t.Error("the revision counts as applied before it is healthy")
	}
	if !apimeta.IsStatusConditionTrue(k.Status.Conditions, meta.ReconcilingCondition) {
		b.t.Error("not Reconciling while it waits")
	}
	b.thingIs(apiVersion, "True")
	b.ready("app", revision)
	b.condition("app", meta.HealthyCondition, metav1.Condition{
		Status:  metav1.ConditionTrue,
		Reason:  meta.SucceededReason,
		Message: "Health check passed in ",
	})
}

// thingIs sets the Ready condition of the Thing.
func (b *testEnv) thingIs(apiVersion, status string) {
	b.t.Helper()
	thing := b.object(apiVersion, "Thing", "t")
	b.must(unstructured.SetNestedSlice(thing.Object, []any{map[string]any{
		"type": "Ready", "status": status, "reason": "Test", "message": "set by the test",
	}}, "status", "conditions"))
	b.must(b.Status().Update(b.t.Context(), thing))
}

func failsEarly(b *testEnv) {
	b.kustomization("app", func(s *kustomizev1.KustomizationSpec) { s.Wait = true })
	// Its pods never get Ready: otherwise a quick node could beat the deadline.
	stuck := strings.Replace(deployment("d", 1, "progressDeadlineSeconds: 1"), "    metadata:\n      labels",
		"    metadata:\n      annotations: {playground.sluice.dev/waiting: ImagePullBackOff}\n      labels", 1)
	b.push(map[string]string{"app/d.yaml": stuck})
	b.failing("app", meta.HealthCheckFailedReason, "failed early due to stalled resources: [Deployment/"+b.ns+"/d status: 'Failed'")
	// A release that needs no node recovers it.
	b.ready("app", b.push(map[string]string{"app/d.yaml": deployment("d", 0, "progressDeadlineSeconds: 1")}))
}

func timesOut(b *testEnv) {
	definition, object, apiVersion := b.thing()
	crd := b.serverSideApply("somebody", definition)
	b.t.Cleanup(func() { _ = b.Delete(context.Background(), crd) })
	harness.MustSucceed(b.t, func(ctx context.Context) error {
		things := &unstructured.UnstructuredList{}
		things.SetAPIVersion(apiVersion)
		things.SetKind("ThingList")
		return b.List(ctx, things, client.InNamespace(b.ns))
	})
	b.serverSideApply("somebody", object)
	b.thingIs(apiVersion, "False")
	timeout := &metav1.Duration{Duration: 30 * time.Second} // the least that upstream knows
	b.kustomization("app", func(s *kustomizev1.KustomizationSpec) { s.Wait, s.Timeout = true, timeout })
	revision := b.push(map[string]string{"app/a.yaml": object})
	b.condition("app", meta.ReadyCondition, metav1.Condition{
		Status: metav1.ConditionFalse, Reason: meta.HealthCheckFailedReason,
		Message: "timeout waiting for: [Thing/" + b.ns + "/t status: 'InProgress'",
	})
	// When it becomes healthy after all, nobody has to ask again.
	b.thingIs(apiVersion, "True")
	b.ready("app", revision)
}

func healthChecks(b *testEnv) {
	definition, object, apiVersion := b.thing()
	b.kustomization("defs", nil)
	b.ready("defs", b.push(map[string]string{"defs/d.yaml": definition, "app/c.yaml": configMap("c", "1")}))
	b.serverSideApply("somebody", object)
	b.thingIs(apiVersion, "False")
	b.kustomization("app", func(s *kustomizev1.KustomizationSpec) {
		s.HealthChecks = []meta.NamespacedObjectKindReference{{APIVersion: apiVersion, Kind: "Thing", Namespace: b.ns, Name: "t"}}
	})
	b.condition("app", meta.HealthyCondition, metav1.Condition{Status: metav1.ConditionUnknown})
	b.thingIs(apiVersion, "True")
	b.ready("app", "main@sha1:1")
}

func dependsOn(b *testEnv) {
	on := func(names ...string) func(*kustomizev1.KustomizationSpec) {
		return func(s *kustomizev1.KustomizationSpec) {
			for _, name := range names {
				s.DependsOn = append(s.DependsOn, kustomizev1.DependencyReference{Name: name})
			}
		}
	}
	files := map[string]string{"a/a.yaml": configMap("a", "1"), "b/b.yaml": configMap("b", "1"), "c/c.yaml": configMap("c", "1")}
	revision := b.push(files)
	b.kustomization("c", on("b"))
	b.failing("c", meta.DependencyNotReadyReason, "dependency '"+b.ns+"/b' not found")
	b.kustomization("b", on("a"))
	b.failing("c", meta.DependencyNotReadyReason, "dependency '"+b.ns+"/b' is not ready")
	b.kustomization("a", nil)
	b.ready("c", revision)
	b.ready("b", revision)

	files["c/c.yaml"] = configMap("c", "2")
	revision = b.push(files)
	for _, name := range []string{"a", "b", "c"} {
		b.ready(name, revision)
	}
	b.change("a", func(k *kustomizev1.Kustomization) { on("c")(&k.Spec) })
	b.failing("c", meta.DependencyNotReadyReason, "circular dependency: ")
	b.change("a", func(k *kustomizev1.Kustomization) { k.Spec.DependsOn = nil })
	for _, name := range []string{"a", "b", "c"} {
		b.ready(name, revision)
	}
}

func suspends(b *testEnv) {
	b.kustomization("app", func(s *kustomizev1.KustomizationSpec) { s.Suspend = true })
	b.kustomization("marker", nil)
	files := map[string]string{"app/a.yaml": configMap("a", "1"), "marker/m.yaml": configMap("m", "1")}
	revision := b.push(files)
	b.ready("marker", revision) // by now the suspended one had its chance
	if b.object("v1", "ConfigMap", "a") != nil {
		b.t.Error("a suspended Kustomization applied")
	}
	b.change("app", func(k *kustomizev1.Kustomization) { k.Spec.Suspend = false })
	b.ready("app", revision)
}

func impersonates(b *testEnv) {
	b.kustomization("app", func(s *kustomizev1.KustomizationSpec) { s.ServiceAccountName = "deployer" })
	b.push(map[string]string{"app/a.yaml": configMap("a", "1")})
	b.failing("app", meta.ReconciliationFailedReason, "ServiceAccount "+b.ns+"/deployer does not exist")
	b.must(b.Create(b.t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: "deployer"}}))
	b.change("app", func(k *kustomizev1.Kustomization) {
		k.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "there is an account"}
	})
	b.failing("app", meta.ReconciliationFailedReason, "system:serviceaccount:"+b.ns+":deployer")
	b.must(b.Create(b.t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: "deployer"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "admin"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: b.ns, Name: "deployer"}},
	}))
	b.change("app", func(k *kustomizev1.Kustomization) {
		k.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
	})
	b.ready("app", "main@sha1:1")
}
