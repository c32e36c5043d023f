// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/harness"
)

// request asks for a reconcile, as `flux reconcile` does, and waits for it.
func (b *testEnv) request(name, at string) *kustomizev1.Kustomization {
	b.t.Helper()
	b.change(name, func(k *kustomizev1.Kustomization) {
		k.Annotations = map[string]string{meta.ReconcileRequestAnnotation: at}
	})
	harness.MustSucceed(b.t, func(context.Context) error {
		if b.get(name).Status.LastHandledReconcileAt != at {
			return errors.New("the request is not handled")
		}
		return nil
	})
	return b.get(name)
}

// fixed are objects of kinds that each call it by another name what cannot be changed, and
// what is changed of them.
func (b *testEnv) fixed() map[string][3]string {
	definition, object, apiVersion := b.thing()
	definition = strings.Replace(definition, "{type: object, x-kubernetes-preserve-unknown-fields: true}",
		`{type: object, properties: {spec: {type: object, properties: {size: {type: integer, `+
			`x-kubernetes-validations: [{rule: self == oldSelf, message: a thing keeps its size}]}}}}}`, 1)
	b.serverSideApply("somebody", definition)
	b.t.Cleanup(func() {
		crd := &unstructured.Unstructured{}
		crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
		crd.SetName("things." + b.ns + ".example.com")
		_ = b.Delete(context.Background(), crd)
	})
	b.serverSideApply("mesh", "apiVersion: v1\nkind: Service\nmetadata: {name: shared}\nspec: {ports: [{port: 81, name: mesh}]}\n")
	return map[string][3]string{
		"apps/v1 Deployment d": {deployment("d", 0, ""), "{app: d}", "{app: other}"},
		"v1 Service s": {"apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80}], clusterIP: \"\"}\n",
			`""`, "None"},
		"v1 PersistentVolumeClaim c": {"apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: c}\n" +
			"spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n", "ReadWriteOnce", "ReadWriteMany"},
		"batch/v1 Job j": {"apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {suspend: true, template: {spec: " +
			"{restartPolicy: Never, containers: [{name: c, image: \"a:1\"}]}}}\n", "a:1", "a:2"},
		"rbac.authorization.k8s.io/v1 RoleBinding r": {"apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: r}\n" +
			"roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}\n", "view", "edit"},
		"storage.k8s.io/v1 StorageClass " + b.ns: {"apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: " + b.ns + "}\n" +
			"provisioner: example.com/a\n", "example.com/a", "example.com/b"},
		apiVersion + " Thing t": {object, "size: 1", "size: 2"},
		// What others have added is refused beside the change, and recreated without.
		"v1 Service shared": {"apiVersion: v1\nkind: Service\nmetadata: {name: shared}\nspec: {ports: [{port: 80, name: a}]}\n",
			", name: a", ""},
	}
}

func immutableField(b *testEnv) {
	before, after, uids := map[string]string{}, map[string]string{}, map[string]types.UID{}
	objects := b.fixed()
	paths := map[string]string{}
	for object, text := range objects {
		path := fmt.Sprintf("k%d", len(paths))
		paths[object], before[path+"/o.yaml"], after[path+"/o.yaml"] = path, text[0], strings.ReplaceAll(text[0], text[1], text[2])
		b.kustomization(path, nil)
	}
	look := func(object string) *unstructured.Unstructured {
		of := strings.Fields(object)
		return b.object(of[0], of[1], of[2])
	}
	revision := b.push(before)
	for object, path := range paths {
		b.ready(path, revision)
		uids[object] = look(object).GetUID()
	}
	revision = b.push(after)
	for object, path := range paths {
		says := " apply failed, immutable field"
		if strings.HasSuffix(object, "shared") {
			says = " apply failed with fields that others have added (mesh)"
		}
		k := b.failing(path, meta.ReconciliationFailedReason, says)
		if ready := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition); !strings.Contains(ready.Message, "set spec.force") ||
			k.Status.LastAppliedRevision == revision || len(k.Status.Inventory.Entries) != 1 {
			b.t.Errorf("%s: applied %s, inventory %v: %s", object, k.Status.LastAppliedRevision, k.Status.Inventory.Entries, ready.Message)
		}
		b.change(path, func(k *kustomizev1.Kustomization) { k.Spec.Force = true })
	}
	for object, path := range paths {
		b.ready(path, revision)
		if look(object).GetUID() == uids[object] {
			b.t.Errorf("%s was not recreated", object)
		}
	}
}

func correctsDrift(b *testEnv) {
	b.kustomization("app", nil)
	b.ready("app", b.push(map[string]string{"app/a.yaml": configMap("a", "1"), "app/b.yaml": configMap("b", "1")}))
	b.serverSideApply("somebody", configMap("a", "changed"))
	b.must(b.Delete(b.t.Context(), b.object("v1", "ConfigMap", "b")))
	b.calls.about(b.ns)
	b.request("app", "first")
	value, _, _ := unstructured.NestedString(b.object("v1", "ConfigMap", "a").Object, "data", "key")
	if value != "1" {
		b.t.Errorf("a changed field was left at %q", value)
	}
	if b.object("v1", "ConfigMap", "b") == nil {
		b.t.Error("a deleted object was not brought back")
	}
	// Two passes had two events each, which are told late.
	harness.MustSucceed(b.t, func(ctx context.Context) error {
		var events corev1.EventList
		if err := b.List(ctx, &events, client.InNamespace(b.ns)); err != nil {
			return err
		}
		if n := len(events.Items); n < 4 {
			return fmt.Errorf("%d events", n)
		}
		return nil
	})
	b.calls.about(b.ns)
	b.request("app", "second")
	if diff := cmp.Diff([]string{"PATCH /apis/kustomize.toolkit.fluxcd.io/v1 kustomizations/app/status"}, b.calls.about(b.ns)); diff != "" {
		b.t.Errorf("calls of a request with nothing to do (-want +got):\n%s", diff)
	}
}

func leavesAlone(b *testEnv) {
	annotated := func(name, value, annotation string) string {
		return strings.Replace(configMap(name, value), "name: "+name,
			"name: "+name+"\n  annotations: {kustomize.toolkit.fluxcd.io/"+annotation+"}", 1)
	}
	b.serverSideApply("somebody", annotated("live", "theirs", "reconcile: disabled"))
	b.serverSideApply("somebody", annotated("equal", "same", "ssa: Ignore"))
	equal := b.object("v1", "ConfigMap", "equal")
	b.serverSideApply("somebody", configMap("present", "theirs"))
	b.serverSideApply("somebody", configMap("foreign", "theirs"))
	b.kustomization("app", nil)
	b.ready("app", b.push(map[string]string{
		"app/a.yaml": configMap("live", "ours"), "app/b.yaml": annotated("ignored", "ours", "ssa: Ignore"),
		"app/e.yaml": configMap("equal", "same"), "app/f.yaml": configMap("foreign", "ours"),
		"app/c.yaml": annotated("present", "ours", "ssa: IfNotPresent"), "app/d.yaml": annotated("absent", "ours", "ssa: IfNotPresent"),
	}))
	got := map[string]string{}
	for _, name := range []string{"live", "ignored", "present", "absent", "foreign"} {
		if u := b.object("v1", "ConfigMap", name); u != nil {
			got[name], _, _ = unstructured.NestedString(u.Object, "data", "key")
		}
	}
	if diff := cmp.Diff(map[string]string{"live": "theirs", "present": "theirs", "absent": "ours", "foreign": "ours"}, got); diff != "" {
		b.t.Errorf("values (-want +got):\n%s", diff)
	}
	left := b.object("v1", "ConfigMap", "equal")
	if diff := cmp.Diff(equal.GetLabels(), left.GetLabels()); diff != "" || len(left.GetManagedFields()) != 1 {
		b.t.Errorf("an object that asks to be ignored was touched (-want +got):\n%s%v", diff, left.GetManagedFields())
	}
}

func stalls(b *testEnv) {
	b.push(map[string]string{"app/a.yaml": configMap("a", "1")})
	b.kustomization("app", func(s *kustomizev1.KustomizationSpec) {
		s.Decryption = &kustomizev1.Decryption{Provider: "sops", ServiceAccountName: "keys"}
	})
	b.condition("app", meta.StalledCondition, metav1.Condition{Status: metav1.ConditionTrue, Message: "spec.decryption"})
	b.change("app", func(k *kustomizev1.Kustomization) { k.Spec.Decryption = nil })
	b.ready("app", "main@sha1:1")
}

func recoversFromBrokenBuild(b *testEnv) {
	b.kustomization("app", nil)
	good := map[string]string{"app/a.yaml": configMap("a", "1")}
	b.ready("app", b.push(good))
	b.push(map[string]string{"app/kustomization.yaml": "resources: [https://example.com/a.yaml]"})
	b.failing("app", meta.BuildFailedReason, "remote bases and files are not allowed: https://example.com/a.yaml")
	b.push(map[string]string{"other/a.yaml": ""})
	b.failing("app", meta.ArtifactFailedReason, "kustomization path not found")
	// A commit that would be refused half way leaves no doubt about the next.
	b.push(map[string]string{
		"app/a.yaml": configMap("a", "2"),
		"app/z.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: z}\nspec: {ports: [{port: 99999}]}\n",
	})
	b.failing("app", meta.ReconciliationFailedReason, "Service/"+b.ns+"/z apply failed")
	b.push(map[string]string{
		"app/d.yaml": "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: r}\n" +
			"spec: {url: https://example.com/r, interval: 1h, unknown: 1}\n",
	})
	b.failing("app", meta.ReconciliationFailedReason, "field not declared in schema")
	b.ready("app", b.push(good))
	if value, _, _ := unstructured.NestedString(b.object("v1", "ConfigMap", "a").Object, "data", "key"); value != "1" {
		b.t.Errorf("the good commit is Ready, and the cluster has %q", value)
	}
}

func finalizes(b *testEnv) {
	files := map[string]string{"app/a.yaml": configMap("a", "1"), "keep/k.yaml": configMap("k", "1"), "gone/g.yaml": configMap("g", "1")}
	revision := b.push(files)
	b.kustomization("app", nil)
	b.kustomization("keep", func(s *kustomizev1.KustomizationSpec) { s.Prune = false })
	b.kustomization("gone", func(s *kustomizev1.KustomizationSpec) {
		s.Prune, s.DeletionPolicy = false, kustomizev1.DeletionPolicyWaitForTermination
	})
	for _, name := range []string{"app", "keep", "gone"} {
		b.ready(name, revision)
		b.must(b.Delete(b.t.Context(), b.get(name)))
	}
	for _, name := range []string{"app", "keep", "gone"} {
		b.gone("kustomize.toolkit.fluxcd.io/v1", "Kustomization", name)
	}
	b.gone("v1", "ConfigMap", "a")
	b.gone("v1", "ConfigMap", "g")
	if b.object("v1", "ConfigMap", "k") == nil {
		b.t.Error("an object went although its Kustomization does not prune")
	}
}

func substitutes(b *testEnv) {
	b.must(b.Create(b.t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: "vars"}, Data: map[string]string{"who": "config", "what": "config"},
	}))
	b.kustomization("app", func(s *kustomizev1.KustomizationSpec) {
		s.PostBuild = &kustomizev1.PostBuild{
			Substitute:     map[string]string{"what": "inline"},
			SubstituteFrom: []kustomizev1.SubstituteReference{{Kind: "ConfigMap", Name: "vars"}, {Kind: "Secret", Name: "none", Optional: true}},
		}
	})
	b.ready("app", b.push(map[string]string{"app/a.yaml": configMap("a", "${who}-${what}-${more:=default}")}))
	value := func() string {
		got, _, _ := unstructured.NestedString(b.object("v1", "ConfigMap", "a").Object, "data", "key")
		return got
	}
	if value() != "config-inline-default" {
		b.t.Errorf("value = %q", value())
	}
	vars := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: "vars"}, Data: map[string]string{"who": "changed"}}
	b.must(b.Update(b.t.Context(), vars))
	b.request("app", "now")
	if value() != "changed-inline-default" {
		b.t.Errorf("value = %q after the config changed", value())
	}
}

func hidesSecrets(b *testEnv) {
	b.kustomization("app", nil)
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nimmutable: true\ndata: {password: %}\n"
	encode := func(value string) string {
		return strings.Replace(secret, "%", base64.StdEncoding.EncodeToString([]byte(value)), 1)
	}
	b.ready("app", b.push(map[string]string{"app/s.yaml": encode("hunter2")}))
	b.push(map[string]string{"app/s.yaml": encode("hunter3")})
	k := b.failing("app", meta.ReconciliationFailedReason, "Secret/"+b.ns+"/s apply failed, immutable field")
	for _, c := range k.Status.Conditions {
		if strings.Contains(c.Message, "hunter") || strings.Contains(c.Message, base64.StdEncoding.EncodeToString([]byte("hunter3"))) {
			b.t.Errorf("%s tells a secret: %s", c.Type, c.Message)
		}
	}
	b.push(map[string]string{"app/s.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s2}\ndata: {password: not-base64-hunter4}\n"})
	k = b.failing("app", meta.ReconciliationFailedReason, "Secret/"+b.ns+"/s2 apply failed")
	for _, c := range k.Status.Conditions {
		if strings.Contains(c.Message, "hunter4") {
			b.t.Errorf("%s tells a secret: %s", c.Type, c.Message)
		}
	}
}

func tellsWarnings(b *testEnv) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: b.ns}}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/warn":"restricted"}}}`))
	b.must(b.Patch(b.t.Context(), namespace, patch))
	b.kustomization("app", nil)
	b.ready("app", b.push(map[string]string{"app/d.yaml": deployment("d", 0, "")}))
	b.told("Deployment/" + b.ns + "/d: would violate PodSecurity")
}
