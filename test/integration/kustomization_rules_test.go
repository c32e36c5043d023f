// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/sops"
)

func TestKustomizationRules(t *testing.T) {
	c := startKustomization(t)
	for name, test := range map[string]func(*testEnv){
		"health is told by expressions":                   toldByExpressions,
		"a dependency is judged by an expression":         judgedByExpression,
		"ignored fields keep what others set":             ignores,
		"an ignored field that another manager applies":   ignoresForAppliers,
		"an expression that does not compile stalls":      stallsByExpression,
		"what SOPS encrypted is decrypted, with new keys": decrypts,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(c.env(t))
		})
	}
}

func toldByExpressions(b *testEnv) {
	definition, object, apiVersion := b.thing()
	b.kustomization("defs", nil)
	b.ready("defs", b.push(map[string]string{"defs/d.yaml": definition, "app/none.txt": ""}))
	b.kustomization("app", func(s *kustomizev1.KustomizationSpec) {
		s.Wait = true
		s.HealthCheckExprs = []kustomize.CustomHealthCheck{{
			APIVersion: strings.Replace(apiVersion, "v1", "v9", 1), Kind: "Thing",
			HealthCheckExpressions: kustomize.HealthCheckExpressions{
				Current: `status.conditions.filter(e, e.type == "Ready").all(e, e.status == "True")`,
				Failed:  `status.conditions.filter(e, e.type == "Ready").exists(e, e.status == "Broken")`,
			},
		}}
	})
	revision := b.push(map[string]string{"defs/d.yaml": definition, "app/a.yaml": object})
	b.condition("app", meta.HealthyCondition, metav1.Condition{Status: metav1.ConditionUnknown, Message: revision})
	b.thingIs(apiVersion, "Broken")
	b.failing("app", meta.HealthCheckFailedReason, "failed early due to stalled resources: [Thing/"+b.ns+"/t status: 'Failed'")
	b.thingIs(apiVersion, "True")
	b.ready("app", revision)
	// Others are judged as ever: the same object is in progress for somebody without expressions.
	b.thingIs(apiVersion, "False")
	b.kustomization("other", func(s *kustomizev1.KustomizationSpec) {
		s.Path = "./defs"
		s.Prune = false
		s.HealthChecks = []meta.NamespacedObjectKindReference{{APIVersion: apiVersion, Kind: "Thing", Namespace: b.ns, Name: "t"}}
	})
	b.condition("other", meta.HealthyCondition, metav1.Condition{Status: metav1.ConditionUnknown})
}

func judgedByExpression(b *testEnv) {
	revision := b.push(map[string]string{"a/a.yaml": configMap("a", "1"), "b/b.yaml": configMap("b", "1")})
	b.kustomization("a", nil)
	b.ready("a", revision)
	b.kustomization("b", func(s *kustomizev1.KustomizationSpec) {
		s.DependsOn = []kustomizev1.DependencyReference{{Name: "a",
			ReadyExpr: `dep.metadata.labels["app/version"] == self.metadata.labels["app/version"]`}}
	})
	b.failing("b", meta.DependencyNotReadyReason, "no such key: labels")
	b.change("a", func(k *kustomizev1.Kustomization) { k.Labels = map[string]string{"app/version": "2"} })
	b.change("b", func(k *kustomizev1.Kustomization) { k.Labels = map[string]string{"app/version": "1"} })
	b.failing("b", meta.DependencyNotReadyReason, "dependency '"+b.ns+"/a' is not ready according to readyExpr eval")
	b.change("b", func(k *kustomizev1.Kustomization) { k.Labels = map[string]string{"app/version": "2"} })
	b.ready("b", revision)
}

func ignores(b *testEnv) {
	rules := []kustomizev1.IgnoreRule{
		{Paths: []string{"/data/theirs"}, Target: &kustomize.Selector{Kind: "ConfigMap"}},
		{Paths: []string{"/spec/replicas", "/spec/template/spec/containers/0/image"}, Target: &kustomize.Selector{Kind: "Deployment", Name: "d"}},
	}
	b.kustomization("app", func(s *kustomizev1.KustomizationSpec) { s.Ignore = rules })
	text := strings.Replace(configMap("a", "1"), "\ndata:", "\ndata:\n  theirs: original", 1)
	files := map[string]string{"app/a.yaml": text, "app/d.yaml": deployment("d", 0, "")}
	b.ready("app", b.push(files))
	b.patch("somebody", b.object("v1", "ConfigMap", "a"), types.MergePatchType, `{"data":{"theirs":"changed"}}`)
	b.patch("kubectl-edit", b.object("apps/v1", "Deployment", "d"), types.StrategicMergePatchType,
		`{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"example.com/changed:2"}]}}}}`)
	b.patch("scaler", b.object("apps/v1", "Deployment", "d"), types.MergePatchType, `{"spec":{"replicas":2}}`, "scale")
	// What is not ignored is undone at once, and does not take the rest along.
	b.patch("somebody", b.object("v1", "ConfigMap", "a"), types.MergePatchType, `{"data":{"key":"changed"}}`)
	b.field("v1", "ConfigMap", "a", map[string]any{"key": "1", "theirs": "changed"}, "data")
	version := b.object("v1", "ConfigMap", "a").GetResourceVersion()
	kept := func(when string) {
		b.t.Helper()
		d := b.object("apps/v1", "Deployment", "d")
		containers, _, _ := unstructured.NestedSlice(d.Object, "spec", "template", "spec", "containers")
		replicas, _, _ := unstructured.NestedInt64(d.Object, "spec", "replicas")
		theirs, _, _ := unstructured.NestedString(b.object("v1", "ConfigMap", "a").Object, "data", "theirs")
		if image := containers[0].(map[string]any)["image"]; image != "example.com/changed:2" || replicas != 2 || theirs != "changed" {
			b.t.Errorf("%s: image %v, replicas %d, data %s", when, image, replicas, theirs)
		}
	}
	kept("after a repair")
	b.request("app", "first")
	if b.object("v1", "ConfigMap", "a").GetResourceVersion() != version {
		b.t.Error("what drifted in ignored fields alone was written")
	}
	// A commit that changes other fields applies those.
	files["app/a.yaml"] = strings.Replace(text, `key: "1"`, `key: "2"`, 1)
	files["app/d.yaml"] = deployment("d", 0, "minReadySeconds: 7")
	b.ready("app", b.push(files))
	b.field("v1", "ConfigMap", "a", map[string]any{"key": "2", "theirs": "changed"}, "data")
	kept("after a commit")
	// Without the rules, the source counts again.
	b.change("app", func(k *kustomizev1.Kustomization) { k.Spec.Ignore = nil })
	b.field("v1", "ConfigMap", "a", map[string]any{"key": "2", "theirs": "original"}, "data")
	var events corev1.EventList
	b.must(b.List(b.t.Context(), &events, client.InNamespace(b.ns)))
	for _, e := range events.Items {
		if e.Reason == "DriftDetected" {
			b.t.Errorf("told: %s", e.Message)
		}
	}
}

func ignoresForAppliers(b *testEnv) {
	b.kustomization("app", func(s *kustomizev1.KustomizationSpec) {
		s.Ignore = []kustomizev1.IgnoreRule{{Paths: []string{"/data/key"}}}
	})
	b.ready("app", b.push(map[string]string{"app/a.yaml": configMap("a", "1")}))
	b.serverSideApply("somebody", configMap("a", "theirs"))
	b.ready("app", b.push(map[string]string{"app/a.yaml": strings.Replace(configMap("a", "3"), "\ndata:", "\ndata:\n  more: x", 1)}))
	b.field("v1", "ConfigMap", "a", map[string]any{"key": "theirs", "more": "x"}, "data")
	for _, entry := range b.object("v1", "ConfigMap", "a").GetManagedFields() {
		if entry.Manager == "kustomize-controller" && strings.Contains(string(entry.FieldsV1.GetRawBytes()), "f:key") {
			b.t.Errorf("the field of another manager is claimed: %s", entry.FieldsV1.GetRawBytes())
		}
	}
}

func decrypts(b *testEnv) {
	key := sops.NewAgeKey(b.t)
	files := map[string]string{
		"app/kustomization.yaml": "resources: [a.yaml]\nsecretGenerator: [{name: g, envs: [db.enc], options: {disableNameSuffixHash: true}}]\n",
		"app/a.yaml": string(key.Encrypt(b.t, sops.File{
			Name: "a.yaml", Regex: "^(data|stringData)$",
			Plain: "apiVersion: v1\nkind: Secret\nmetadata:\n    name: s\nstringData:\n    password: hunter2\n",
		})),
		"app/db.enc": string(key.Encrypt(b.t, sops.File{Name: "db.env", Plain: "PASSWORD=hunter3\n"})),
	}
	b.kustomization("app", func(s *kustomizev1.KustomizationSpec) {
		s.Decryption = &kustomizev1.Decryption{Provider: "sops", SecretRef: &meta.LocalObjectReference{Name: "keys"}}
	})
	revision := b.push(files)
	b.failing("app", meta.BuildFailedReason, "cannot get sops decryption Secret '"+b.ns+"/keys'")
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: "keys"},
		Data:       map[string][]byte{"old.agekey": sops.NewAgeKey(b.t).Private()},
	}
	b.must(b.Create(b.t.Context(), secret))
	b.failing("app", meta.BuildFailedReason, "none of the age keys fits")
	secret.Data["new.agekey"] = key.Private()
	b.must(b.Update(b.t.Context(), secret))
	b.ready("app", revision)
	b.field("v1", "Secret", "s", "aHVudGVyMg==", "data", "password")
	b.field("v1", "Secret", "g", "aHVudGVyMw==", "data", "PASSWORD")
	b.never("hunter")
}

func stallsByExpression(b *testEnv) {
	b.push(map[string]string{"app/a.yaml": configMap("a", "1")})
	b.kustomization("app", func(s *kustomizev1.KustomizationSpec) {
		s.DependsOn = []kustomizev1.DependencyReference{{Name: "b", ReadyExpr: "dep."}}
	})
	b.condition("app", meta.StalledCondition, metav1.Condition{Status: metav1.ConditionTrue, Reason: meta.InvalidCELExpressionReason})
}
