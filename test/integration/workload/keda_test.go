// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/test/harness"
)

const paused = "autoscaling.keda.sh/paused-replicas"

func TestADeploymentUnderKEDAIsReleased(t *testing.T) {
	w := newTestEnv(t)
	file, err := filepath.Abs(filepath.Join("testdata", "keda.yaml"))
	w.must(err)
	w.must(w.p.ApplyFile(t.Context(), file))
	w.must(w.p.Install(t.Context())) // waits for it
	w.serve()
	c := app("Deployment")
	c.Spec.RevertOnDeletion = true
	c.Spec.AutoscalerRef = &flaggerv1.AutoscalerReference{APIVersion: "keda.sh/v1alpha1", Kind: "ScaledObject", Name: "app"}
	so := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"scaleTargetRef": map[string]any{"name": "app"}, "minReplicaCount": int64(2),
		"triggers": []any{map[string]any{"type": "prometheus", "metadata": map[string]any{"query": `rate(x{app="app"}[1m])`}}}}}}
	so.SetAPIVersion("keda.sh/v1alpha1")
	so.SetKind("ScaledObject")
	so.SetName("app")
	d := &appsv1.Deployment{}
	d.Name, d.Spec = "app", appsv1.DeploymentSpec{Replicas: ptr.To(int32(2)), Selector: selector, Template: pods("app:1")}
	w.create(d, so, c)
	w.phase(flaggerv1.CanaryPhaseInitialized)
	w.isPaused("0")
	w.edit("app", so, func() { so.SetAnnotations(nil) }) // as a GitOps tool does
	w.isPaused("0")
	w.released(func() { w.edit("app", d, func() { d.Spec.Template.Spec.Containers[0].Image = "app:2" }) }, flaggerv1.CanaryPhaseSucceeded)
	w.isPaused("0")
	copied := so.DeepCopy()
	w.get("app-primary", copied)
	name, _, _ := unstructured.NestedString(copied.Object, "spec", "scaleTargetRef", "name")
	if _, held := copied.GetAnnotations()[paused]; held || name != "app-primary" {
		t.Errorf("copy of %s: %v", name, copied.GetAnnotations())
	}
	w.get("app", c)
	w.must(w.c.Delete(t.Context(), c))
	w.isPaused("")
	harness.MustEventually(w, "the target to be back", func(context.Context) (bool, string) {
		w.get("app", d)
		return d.Status.AvailableReplicas == 2, fmt.Sprintf("%+v", d.Status)
	})
}

func (w *testEnv) isPaused(want string) {
	w.Helper()
	so := &unstructured.Unstructured{}
	so.SetAPIVersion("keda.sh/v1alpha1")
	so.SetKind("ScaledObject")
	harness.MustEventually(w, "the ScaledObject to be paused at "+want, func(context.Context) (bool, string) {
		w.get("app", so)
		return so.GetAnnotations()[paused] == want, fmt.Sprint(so.GetAnnotations())
	})
}
