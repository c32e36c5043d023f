// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/harness"
)

// policy makes a policy of admission for what is done to ConfigMaps of the namespace, and its
// binding, and waits until it counts for a ConfigMap named a with the key "red".
func (b *testEnv) policy(kind, spec, binding string, counts func(sent *corev1.ConfigMap, err error) bool) (remove func()) {
	b.t.Helper()
	text := "apiVersion: admissionregistration.k8s.io/v1\nkind: " + kind + "\nmetadata: {name: " + b.ns + "}\nspec:\n" + `
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ` + b.ns + `}}
    resourceRules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE, UPDATE]}]
  matchConditions: [{name: "a", expression: "object.metadata.name == 'a'"}]
`
	made := []client.Object{b.serverSideApply("somebody", text+spec), b.serverSideApply("somebody",
		"apiVersion: admissionregistration.k8s.io/v1\nkind: "+kind+"Binding\nmetadata: {name: "+b.ns+"}\nspec: {policyName: "+b.ns+binding+"}\n")}
	remove = func() {
		for _, object := range made {
			_ = b.Delete(context.Background(), object)
		}
	}
	b.t.Cleanup(remove)
	harness.MustSucceed(b.t, func(ctx context.Context) error {
		probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: "a"}, Data: map[string]string{"key": "red"}}
		if err := b.Create(ctx, probe, client.DryRunAll); !counts(probe, err) {
			return errors.New("the policy does not count yet")
		}
		return nil
	})
	return remove
}

func isDenied(b *testEnv) {
	const spec = "  validations: [{expression: \"object.data['key'] != 'red'\", message: red is not allowed here}]\n"
	refused := func(_ *corev1.ConfigMap, err error) bool {
		return apierrors.IsInvalid(err) || apierrors.IsForbidden(err)
	}
	remove := b.policy("ValidatingAdmissionPolicy", spec, ", validationActions: [Deny]", refused)
	files := map[string]string{"app/a.yaml": configMap("a", "blue"), "app/b.yaml": configMap("b", "blue")}
	b.kustomization("app", nil)
	b.ready("app", b.push(files))
	files["app/a.yaml"] = configMap("a", "red")
	revision := b.push(files)
	k := b.failing("app", meta.ReconciliationFailedReason, "red is not allowed here")
	ready := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition)
	if !strings.Contains(ready.Message, "ConfigMap/"+b.ns+"/a") {
		b.t.Errorf("the object is not named: %s", ready.Message)
	}
	b.field("v1", "ConfigMap", "a", map[string]any{"key": "blue"}, "data")
	if n := len(k.Status.Inventory.Entries); n != 2 {
		b.t.Errorf("inventory = %v", k.Status.Inventory.Entries)
	}
	remove()
	harness.MustSucceed(b.t, func(ctx context.Context) error { // which takes a moment, too
		probe := b.object("v1", "ConfigMap", "a")
		return b.Patch(ctx, probe, client.RawPatch("application/merge-patch+json", []byte(`{"data":{"key":"red"}}`)), client.DryRunAll)
	})
	b.request("app", "now")
	b.ready("app", revision)
	b.field("v1", "ConfigMap", "a", map[string]any{"key": "red"}, "data")
}

// isMutated has a policy that changes what Git says. Nobody wins by applying it again.
func isMutated(b *testEnv) {
	b.policy("MutatingAdmissionPolicy", `  reinvocationPolicy: Never
  mutations:
  - patchType: JSONPatch
    jsonPatch: {expression: "[JSONPatch{op: 'replace', path: '/data/key', value: 'forced'}]"}
`, "", func(sent *corev1.ConfigMap, err error) bool { return err == nil && sent.Data["key"] == "forced" })
	files := map[string]string{"app/a.yaml": configMap("a", "1"), "app/b.yaml": configMap("b", "1")}
	b.kustomization("app", nil)
	b.ready("app", b.push(files))
	b.field("v1", "ConfigMap", "a", map[string]any{"key": "forced"}, "data")
	files["app/a.yaml"], files["app/b.yaml"] = configMap("a", "2"), configMap("b", "2")
	b.ready("app", b.push(files))
	b.field("v1", "ConfigMap", "a", map[string]any{"key": "forced"}, "data")
	b.field("v1", "ConfigMap", "b", map[string]any{"key": "2"}, "data")
	b.request("app", "now")
	b.calls.about(b.ns)
	b.request("app", "again")
	if diff := cmp.Diff([]string{"PATCH /apis/kustomize.toolkit.fluxcd.io/v1 kustomizations/app/status"}, b.calls.about(b.ns)); diff != "" {
		b.t.Errorf("calls with nothing to do (-want +got):\n%s", diff)
	}
	b.never("again and again")
}
