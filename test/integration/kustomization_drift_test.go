// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/harness"
)

func TestDrift(t *testing.T) {
	c := startKustomization(t)
	for name, test := range map[string]func(*testEnv){
		"what somebody does to objects is undone at once":          undoes,
		"what somebody adds is undone, valid or not":               undoesWhatDoesNotFit,
		"what others may do stays":                                 lets,
		"contention is told of, and does not go on for ever":       contends,
		"what admission changes is not fought over":                isMutated,
		"objects that move between Kustomizations are not lost":    moves,
		"what two Kustomizations have stays when one gives it up":  shares,
		"objects of a Kustomization that is renamed are not lost":  renames,
		"new values of variables are applied when they change":     appliesVariables,
		"what no API server lets change is recreated if it may be": recreates,
		"a deletion that waits for termination holds nobody up":    awaitsTermination,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(c.env(t))
		})
	}
}

// patch patches an object of the namespace as a field manager.
func (b *testEnv) patch(manager string, u *unstructured.Unstructured, kind types.PatchType, body string, sub ...string) {
	b.t.Helper()
	patch := client.RawPatch(kind, []byte(body))
	if len(sub) > 0 {
		b.must(b.SubResource(sub[0]).Patch(b.t.Context(), u, patch, client.FieldOwner(manager)))
		return
	}
	b.must(b.Patch(b.t.Context(), u, patch, client.FieldOwner(manager)))
}

// field waits until a field of an object has a value; nil is none.
func (b *testEnv) field(apiVersion, kind, name string, want any, path ...string) {
	b.t.Helper()
	harness.MustSucceed(b.t, func(context.Context) error {
		u := b.object(apiVersion, kind, name)
		if u == nil {
			return fmt.Errorf("%s/%s is not there", kind, name)
		}
		got, _, _ := unstructured.NestedFieldNoCopy(u.Object, path...)
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("%s of %s/%s (-want +got):\n%s", strings.Join(path, "."), kind, name, diff)
		}
		return nil
	})
}

func undoes(b *testEnv) {
	files := map[string]string{"app/a.yaml": configMap("a", "1"), "app/b.yaml": configMap("b", "1"), "app/d.yaml": deployment("d", 0, "")}
	b.kustomization("app", nil)
	b.ready("app", b.push(files))
	b.must(b.Delete(b.t.Context(), b.object("v1", "ConfigMap", "a")))
	b.patch("kubectl-edit", b.object("v1", "ConfigMap", "b"), types.MergePatchType,
		`{"data":{"key":"2","more":"x"},"metadata":{"labels":{"by":"hand"}}}`)
	d := b.object("apps/v1", "Deployment", "d")
	b.patch("kubectl-patch", d, types.StrategicMergePatchType,
		`{"spec":{"template":{"spec":{"containers":[{"name":"spy","image":"example.com/spy:1"}]}}}}`)
	b.patch("kubectl", d, types.MergePatchType, `{"spec":{"replicas":3}}`, "scale")
	b.field("v1", "ConfigMap", "a", map[string]any{"key": "1"}, "data")
	b.field("v1", "ConfigMap", "b", map[string]any{"key": "1"}, "data")
	b.field("v1", "ConfigMap", "b", nil, "metadata", "labels", "by")
	b.field("apps/v1", "Deployment", "d", int64(0), "spec", "replicas")
	harness.MustSucceed(b.t, func(context.Context) error {
		containers, _, _ := unstructured.NestedSlice(b.object("apps/v1", "Deployment", "d").Object, "spec", "template", "spec", "containers")
		if len(containers) != 1 {
			return fmt.Errorf("%d containers", len(containers))
		}
		return nil
	})
	b.told("ConfigMap/" + b.ns + "/a created: somebody had deleted it")
	b.told("ConfigMap/" + b.ns + "/b configured: kubectl-edit had changed .data.key")
	// The quiet after it: everything is as it should be, and nobody asks.
	b.request("app", "now")
	b.calls.about(b.ns)
	b.request("app", "again")
	if diff := cmp.Diff([]string{"PATCH /apis/kustomize.toolkit.fluxcd.io/v1 kustomizations/app/status"}, b.calls.about(b.ns)); diff != "" {
		b.t.Errorf("calls with nothing to do (-want +got):\n%s", diff)
	}
}

// undoesWhatDoesNotFit has additions beside which the source is invalid: an apply that
// left them in their places was refused, and told people to recreate the objects.
func undoesWhatDoesNotFit(b *testEnv) {
	service := "apiVersion: v1\nkind: Service\nmetadata: {name: svc}\nspec: {selector: {a: b}, ports: [{port: 80}]}\n"
	pods := strings.Replace(deployment("d", 0, ""), "      containers:", "      volumes: [{name: v, emptyDir: {}}]\n      containers:", 1)
	b.kustomization("app", nil)
	b.ready("app", b.push(map[string]string{"app/s.yaml": service, "app/d.yaml": pods}))
	b.patch("kubectl-edit", b.object("v1", "Service", "svc"), types.MergePatchType, `{"spec":{"ports":[{"port":81}]}}`)
	b.patch("kubectl-edit", b.object("apps/v1", "Deployment", "d"), types.JSONPatchType,
		`[{"op":"replace","path":"/spec/template/spec/volumes","value":[{"name":"v","secret":{"secretName":"x"}}]}]`)
	harness.MustSucceed(b.t, func(context.Context) error {
		ports, _, _ := unstructured.NestedSlice(b.object("v1", "Service", "svc").Object, "spec", "ports")
		volumes, _, _ := unstructured.NestedSlice(b.object("apps/v1", "Deployment", "d").Object, "spec", "template", "spec", "volumes")
		if diff := cmp.Diff([]any{map[string]any{"name": "v", "emptyDir": map[string]any{}}}, volumes); diff != "" {
			return fmt.Errorf("volumes (-want +got):\n%s", diff)
		}
		if port, _ := ports[0].(map[string]any); len(ports) != 1 || port["port"] != int64(80) {
			return fmt.Errorf("ports are %v", ports)
		}
		return nil
	})
}

func lets(b *testEnv) {
	merged := strings.Replace(configMap("merged", "1"), "name: merged",
		"name: merged\n  annotations: {kustomize.toolkit.fluxcd.io/ssa: Merge}", 1)
	numberless := strings.Replace(deployment("d", 0, ""), "  replicas: 0\n", "", 1)
	files := map[string]string{"app/m.yaml": merged, "app/d.yaml": numberless, "app/a.yaml": configMap("a", "1")}
	b.kustomization("app", nil)
	b.ready("app", b.push(files))
	b.patch("kubectl-patch", b.object("v1", "ConfigMap", "merged"), types.MergePatchType, `{"data":{"more":"x"}}`)
	b.patch("flux-client-side-apply", b.object("v1", "ConfigMap", "a"), types.MergePatchType, `{"data":{"more":"x"}}`)
	d := b.object("apps/v1", "Deployment", "d")
	b.patch("kube-controller-manager", d, types.MergePatchType, `{"spec":{"replicas":0}}`, "scale")
	b.patch("kubectl-rollout", d, types.StrategicMergePatchType,
		`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-01-01T00:00:00Z"}}}}}`)
	// Two repairs of another object, so that there was time for those that must not be.
	for range 2 {
		b.patch("kubectl-label", b.object("v1", "ConfigMap", "a"), types.MergePatchType, `{"metadata":{"labels":{"by":"hand"}}}`)
		b.field("v1", "ConfigMap", "a", nil, "metadata", "labels", "by")
	}
	files["app/d.yaml"] = strings.Replace(numberless, "app:1.0.0", "app:1.0.1", 1)
	b.ready("app", b.push(files))
	b.field("v1", "ConfigMap", "merged", map[string]any{"key": "1", "more": "x"}, "data")
	b.field("v1", "ConfigMap", "a", map[string]any{"key": "1", "more": "x"}, "data")
	b.field("apps/v1", "Deployment", "d", int64(0), "spec", "replicas")
	b.field("apps/v1", "Deployment", "d", "2026-01-01T00:00:00Z",
		"spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt")
}

func contends(b *testEnv) {
	b.kustomization("app", nil)
	b.ready("app", b.push(map[string]string{"app/a.yaml": configMap("a", "1")}))
	for i := range 3 {
		b.patch("stubborn", b.object("v1", "ConfigMap", "a"), types.MergePatchType, fmt.Sprintf(`{"data":{"key":"theirs-%d"}}`, i))
		b.field("v1", "ConfigMap", "a", map[string]any{"key": "1"}, "data")
	}
	b.told("ConfigMap/" + b.ns + "/a is changed again and again by stubborn (.data.key)")
	b.patch("stubborn", b.object("v1", "ConfigMap", "a"), types.MergePatchType, `{"data":{"key":"theirs"}}`)
	b.calls.about(b.ns)
	b.request("app", "now") // somebody asks: no pause
	b.field("v1", "ConfigMap", "a", map[string]any{"key": "1"}, "data")
}

func moves(b *testEnv) {
	files := map[string]string{"a/keep.yaml": configMap("keep-a", "1"), "b/keep.yaml": configMap("keep-b", "1")}
	for i := range 20 {
		files[fmt.Sprintf("a/m%d.yaml", i)] = configMap(fmt.Sprintf("m%d", i), "1")
	}
	b.kustomization("a", nil)
	b.kustomization("b", nil)
	revision := b.push(files)
	b.ready("a", revision)
	b.ready("b", revision)
	for range 3 {
		for i := range 20 {
			from, to := fmt.Sprintf("a/m%d.yaml", i), fmt.Sprintf("b/m%d.yaml", i)
			if files[from] == "" {
				from, to = to, from
			}
			files[to] = files[from]
			delete(files, from)
		}
		revision = b.push(files)
		b.ready("a", revision)
		b.ready("b", revision)
		b.all(20)
	}
}

// shares has an object in two Kustomizations, of which the one that applied it last gives
// it up and prunes it. The other one was not told, and went without until its interval.
func shares(b *testEnv) {
	files := map[string]string{
		"a/m.yaml": configMap("m0", "1"), "a/keep.yaml": configMap("keep-a", "1"), "b/m.yaml": configMap("m0", "1"),
	}
	b.kustomization("b", nil)
	revision := b.push(files)
	b.ready("b", revision)
	b.kustomization("a", nil)
	b.ready("a", revision)
	by := []string{"metadata", "labels", "kustomize.toolkit.fluxcd.io/name"}
	b.field("v1", "ConfigMap", "m0", "a", by...)
	delete(files, "a/m.yaml")
	b.ready("a", b.push(files))
	b.field("v1", "ConfigMap", "m0", "b", by...)
}

// all waits until the ConfigMaps m0 and so on are there.
func (b *testEnv) all(n int) {
	b.t.Helper()
	harness.MustSucceed(b.t, func(context.Context) error {
		for i := range n {
			if u := b.object("v1", "ConfigMap", fmt.Sprintf("m%d", i)); u == nil || u.GetDeletionTimestamp() != nil {
				return fmt.Errorf("m%d is lost", i)
			}
		}
		return nil
	})
}

func renames(b *testEnv) {
	files := map[string]string{}
	for i := range 20 {
		files[fmt.Sprintf("app/m%d.yaml", i)] = configMap(fmt.Sprintf("m%d", i), "1")
	}
	b.kustomization("root", nil)
	for i := range 4 {
		name := fmt.Sprintf("app%d", i)
		files["root/app.yaml"] = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: " + name + "}\n" +
			"spec: {interval: 1h, prune: true, path: ./app, targetNamespace: " + b.ns + ", sourceRef: {kind: GitRepository, name: src}}\n"
		revision := b.push(files)
		b.ready("root", revision)
		b.ready(name, revision)
		if i > 0 {
			b.gone("kustomize.toolkit.fluxcd.io/v1", "Kustomization", fmt.Sprintf("app%d", i-1))
		}
		b.all(20)
	}
}

func appliesVariables(b *testEnv) {
	vars := func(value string) string {
		return strings.Replace(configMap("vars", value), "key:", "region:", 1)
	}
	files := map[string]string{"vars/v.yaml": vars("one"), "app/a.yaml": configMap("a", "${region}-${word}")}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: "words"}, StringData: map[string]string{"word": "x"}}
	b.kustomization("vars", nil)
	b.kustomization("app", func(s *kustomizev1.KustomizationSpec) {
		s.DependsOn = []kustomizev1.DependencyReference{{Name: "vars"}}
		s.PostBuild = &kustomizev1.PostBuild{SubstituteFrom: []kustomizev1.SubstituteReference{
			{Kind: "ConfigMap", Name: "vars"}, {Kind: "Secret", Name: "words"},
		}}
	})
	b.push(files)
	b.failing("app", meta.BuildFailedReason, "substitute from 'Secret/words'")
	b.must(b.Create(b.t.Context(), secret)) // nobody has to ask
	b.field("v1", "ConfigMap", "a", "one-x", "data", "key")

	files["vars/v.yaml"] = vars("two")
	revision := b.push(files)
	b.ready("app", revision)
	if got, _, _ := unstructured.NestedString(b.object("v1", "ConfigMap", "a").Object, "data", "key"); got != "two-x" {
		b.t.Errorf("Ready at the commit that brought two, with %q", got)
	}
	b.patch("somebody", b.object("v1", "Secret", "words"), types.MergePatchType, `{"stringData":{"word":"y"}}`)
	b.field("v1", "ConfigMap", "a", "two-y", "data", "key")
}

func recreates(b *testEnv) {
	definition, _, apiVersion := b.thing()
	definition = strings.Replace(definition, "{type: object, x-kubernetes-preserve-unknown-fields: true}",
		`{type: object, properties: {spec: {type: object, properties: {zone: {type: string, x-kubernetes-validations: `+
			`[{rule: "self == oldSelf", message: "zone is fixed once set"}]}}}}}`, 1)
	text := func(value string) map[string]string {
		return map[string]string{
			"app/crd.yaml": definition,
			"app/all.yaml": strings.ReplaceAll(`apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: NS}
provisioner: example.com/x
parameters: {speed: VALUE}
---
apiVersion: v1
kind: Pod
metadata: {name: once}
spec: {nodeSelector: {none: none}, containers: [{name: main, image: example.com/a:1, command: [VALUE]}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: rb}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: VALUE}
---
apiVersion: v1
kind: Secret
metadata: {name: s}
immutable: true
stringData: {key: VALUE}
---
apiVersion: v1
kind: Service
metadata: {name: svc}
spec: {clusterIP: ADDRESS, ports: [{port: 80, nodePort: 0}]}
---
apiVersion: `+apiVersion+`
kind: Thing
metadata: {name: t}
spec: {zone: VALUE}
`, "VALUE", value),
		}
	}
	push := func(value, address string) string {
		files := text(value)
		files["app/all.yaml"] = strings.NewReplacer("NS", b.ns, "ADDRESS", address).Replace(files["app/all.yaml"])
		return b.push(files)
	}
	b.kustomization("app", func(s *kustomizev1.KustomizationSpec) { s.Force = true })
	b.ready("app", push("view", `""`))
	pod := b.object("v1", "Pod", "once").GetUID()
	revision := push("edit", `None`)
	b.ready("app", revision)
	b.field("v1", "Service", "svc", "None", "spec", "clusterIP")
	b.field(apiVersion, "Thing", "t", "edit", "spec", "zone")
	b.field("rbac.authorization.k8s.io/v1", "RoleBinding", "rb", "edit", "roleRef", "name")
	if b.object("v1", "Pod", "once").GetUID() == pod {
		b.t.Error("the Pod was not recreated")
	}
	// What would not be accepted as a new object is not deleted for it.
	files := map[string]string{
		"app/svc.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: svc}\nspec: {clusterIP: 192.0.2.1, ports: [{port: 80}]}\n",
	}
	uid := b.object("v1", "Service", "svc").GetUID()
	b.push(files)
	b.failing("app", meta.ReconciliationFailedReason, "so it is not recreated")
	if svc := b.object("v1", "Service", "svc"); svc == nil || svc.GetUID() != uid {
		b.t.Error("the Service was deleted, and cannot come back")
	}
}

func awaitsTermination(b *testEnv) {
	held := strings.Replace(configMap("held", "1"), "name: held", "name: held\n  finalizers: [example.com/held]", 1)
	b.kustomization("app", func(s *kustomizev1.KustomizationSpec) {
		s.DeletionPolicy = kustomizev1.DeletionPolicyWaitForTermination
	})
	b.ready("app", b.push(map[string]string{"app/h.yaml": held}))
	b.must(b.Delete(b.t.Context(), b.get("app")))
	b.told("waiting for the termination of ConfigMap/" + b.ns + "/held")
	if b.get("app") == nil {
		b.t.Error("it did not wait")
	}
	b.patch("somebody", b.object("v1", "ConfigMap", "held"), types.MergePatchType, `{"metadata":{"finalizers":null}}`)
	b.gone("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "app")
}
