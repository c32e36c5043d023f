// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/harness"
)

// variables are Kustomizations, each with a ConfigMap of variables, that the real process serves.
type variables struct {
	*harness.Playground
	t  *testing.T
	ns string
}

// TestTheFlagsSayWhichConfigMapsAreActedOnAtOnce runs the process with each of the flags. A change that is not acted on counts when a
// reconcile is asked for.
func TestTheFlagsSayWhichConfigMapsAreActedOnAtOnce(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		flag    string
		ignored []string
		noticed []string
	}{
		"those with a label":  {"--watch-configs-label-selector=reconcile.fluxcd.io/watch=Enabled", []string{"plain"}, []string{"labelled"}},
		"none with the gate":  {"--feature-gates=DisableConfigWatchers=true", []string{"plain", "labelled"}, nil},
		"all without a label": {"--watch-configs-label-selector=", nil, []string{"plain", "labelled"}},
	} {
		t.Run(name, func(t *testing.T) {
			v := &variables{Playground: harness.Installed(t), t: t}
			v.ns = v.NewNamespace(t, "configs-", nil)
			v.populate()
			sluice, err := v.StartController(t.Context(), t.TempDir(), "--controllers=source,kustomize", "--watch-namespace", v.ns, tc.flag)
			v.must(err)
			t.Cleanup(sluice.Stop)
			for _, name := range []string{"plain", "labelled", "last"} {
				v.has(name, "one")
				v.isReady(name) // or the run that has applied it may be followed by another one, which reads what is set by then
			}
			for _, name := range tc.ignored {
				v.set(name, "two")
			}
			for _, name := range tc.noticed { // its news comes after that of what is ignored
				v.set(name, "two")
				v.has(name, "two")
			}
			v.set("last", "two")
			v.reconcile("last")
			v.has("last", "two")
			for _, name := range tc.ignored {
				if got := v.applied(t.Context(), name); got != "one" {
					t.Errorf("%s was acted on: %s", name, got)
				}
				v.reconcile(name)
				v.has(name, "two")
			}
		})
	}
}

// populate makes what the process finds when it starts.
func (v *variables) populate() {
	v.t.Helper()
	const manifest = `{apiVersion: v1, kind: ConfigMap, metadata: {name: "applied-${name}"}, data: {value: "${value}"}}`
	image, err := harness.Manifests("app.yaml", manifest, "v1")
	v.must(err)
	_, err = v.Push(v.t.Context(), v.ns, "latest", image)
	v.must(err)
	text := fmt.Sprintf(`apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: app, namespace: %[1]s}
spec: {url: "oci://%[2]s/%[1]s", ref: {tag: latest}, insecure: true, interval: 1h}
`, v.ns, v.Registry)
	for name, label := range map[string]string{"plain": "{}", "last": "{}", "labelled": "{reconcile.fluxcd.io/watch: Enabled}"} {
		text += fmt.Sprintf(`---
apiVersion: v1
kind: ConfigMap
metadata: {name: %[2]s, namespace: %[1]s, labels: %[3]s}
data: {name: %[2]s, value: one}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  interval: 1h
  prune: true
  targetNamespace: %[1]s
  sourceRef: {kind: OCIRepository, name: app}
  postBuild: {substituteFrom: [{kind: ConfigMap, name: %[2]s}]}
`, v.ns, name, label)
	}
	v.must(v.Apply(v.t.Context(), []byte(text)))
}

func (v *variables) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

// set changes a variable.
func (v *variables) set(name, value string) {
	v.t.Helper()
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: v.ns, Name: name}}
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"data":{"value":%q}}`, value))
	v.must(v.Client.Patch(v.t.Context(), config, patch))
}

// reconcile asks for a reconcile of a Kustomization.
func (v *variables) reconcile(name string) {
	v.t.Helper()
	_, err := v.RequestReconcile(v.t.Context(), &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: v.ns, Name: name}})
	v.must(err)
}

// applied is the value that a Kustomization has applied.
func (v *variables) applied(ctx context.Context, name string) string {
	var config corev1.ConfigMap
	if err := v.Client.Get(ctx, client.ObjectKey{Namespace: v.ns, Name: "applied-" + name}, &config); err != nil {
		return err.Error()
	}
	return config.Data["value"]
}

// isReady waits until a Kustomization is at rest.
func (v *variables) isReady(name string) {
	v.t.Helper()
	_, err := harness.Eventually(v.t.Context(), name+" being Ready", harness.Patience, func(ctx context.Context) (bool, string) {
		var k kustomizev1.Kustomization
		err := v.Client.Get(ctx, client.ObjectKey{Namespace: v.ns, Name: name}, &k)
		return apimeta.IsStatusConditionTrue(k.Status.Conditions, meta.ReadyCondition), fmt.Sprint(k.Status.Conditions, err)
	})
	v.must(err)
}

// has waits until a Kustomization has applied a value.
func (v *variables) has(name, value string) {
	v.t.Helper()
	_, err := harness.Eventually(v.t.Context(), name+" having "+value, harness.Patience, func(ctx context.Context) (bool, string) {
		got := v.applied(ctx, name)
		return got == value, got
	})
	v.must(err)
}
