// SPDX-License-Identifier: Apache-2.0

package flagger

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

func onService(s *story) { s.service = "podinfo-svc" }

func TestKubernetesDeployment(t *testing.T) {
	s := tell(t, "e2e-kubernetes", onService)
	s.apply("deployment.yaml")
	s.apply("kubernetes-deployment.yaml")
	s.initialized()
	primary := &appsv1.Deployment{}
	s.get("podinfo-primary", primary)
	if got := primary.Labels["app.kubernetes.io/managed-by"]; got != "test-label-prefix" {
		t.Errorf("the primary's label is %q", got)
	}
	if got := primary.Annotations["app.kubernetes.io/instance"]; got != "test-annotation-prefix" {
		t.Errorf("the primary's annotation is %q", got)
	}
	if got := primary.Spec.Template.Spec.Containers[0].Env[0].ValueFrom.SecretKeyRef.Name; got != "podinfo-secret-primary" {
		t.Errorf("the primary reads Secret %s", got)
	}
	s.promotes("podinfo:6.0.1")
	s.said(
		"New revision detected! Scaling up podinfo."+s.ns, "Starting canary analysis for podinfo."+s.ns,
		"Advance podinfo."+s.ns+" canary iteration 5/5", "Promotion completed! Scaling down podinfo."+s.ns,
	)
}

func TestKubernetesDaemonSet(t *testing.T) {
	s := tell(t, "e2e-daemonset", func(s *story) { s.target, s.service, s.daemonset = "podinfo-ds", "podinfo-ds", true })
	s.apply("daemonset.yaml")
	s.apply("kubernetes-daemonset.yaml")
	s.initialized()
	s.promotes("podinfo:6.0.1")
	s.edit(func(c *flaggerv1.Canary) { c.Spec.RevertOnDeletion = true })
	s.reverts(func() bool {
		d := &appsv1.DaemonSet{}
		s.get("podinfo-ds", d)
		return d.Status.NumberReady > 0
	})
}

// reverts deletes the Canary, and waits until the target serves again.
func (s *story) reverts(serves func() bool) {
	s.Helper()
	s.until("the finalizer", func() bool {
		return strings.Join(s.canary().Finalizers, ",") == "finalizer.flagger.app"
	})
	if err := the.Client.Delete(s.Context(), s.canary()); err != nil {
		s.Fatal(err)
	}
	s.until("the target's pods", serves)
	s.until("the end of the Canary", func() bool {
		err := the.Client.Get(s.Context(), client.ObjectKey{Namespace: s.ns, Name: s.target}, &flaggerv1.Canary{})
		return apierrors.IsNotFound(err)
	})
}

// TestKubernetesHPA looks at the primary's autoscaler where Flagger's script looks
// at the one that it has edited itself.
func TestKubernetesHPA(t *testing.T) {
	s := tell(t, "e2e-hpa", onService)
	s.apply("deployment.yaml")
	s.apply("kubernetes-hpa.yaml")
	s.apply("kubernetes-deployment.yaml")
	s.edit(func(c *flaggerv1.Canary) {
		c.Spec.AutoscalerRef = &flaggerv1.AutoscalerReference{APIVersion: "autoscaling/v2", Kind: "HorizontalPodAutoscaler", Name: "podinfo"}
	})
	s.initialized()
	utilization := func() int32 {
		h := &autoscalingv2.HorizontalPodAutoscaler{}
		err := the.Client.Get(s.Context(), client.ObjectKey{Namespace: s.ns, Name: "podinfo-primary"}, h)
		if err != nil || h.Spec.ScaleTargetRef.Name != "podinfo-primary" || *h.Spec.MinReplicas != 2 || h.Spec.MaxReplicas != 4 {
			return 0
		}
		return *h.Spec.Metrics[0].Resource.Target.AverageUtilization
	}
	s.until("the primary's autoscaler", func() bool { return utilization() == 99 })
	s.until("its replicas", func() bool {
		d := &appsv1.Deployment{}
		s.get("podinfo-primary", d)
		return d.Status.AvailableReplicas == 2
	})
	h := &autoscalingv2.HorizontalPodAutoscaler{}
	s.get("podinfo", h)
	patch := `[{"op": "replace", "path": "/spec/metrics/0/resource/target/averageUtilization", "value": 50}]`
	if err := the.Client.Patch(s.Context(), h, client.RawPatch(types.JSONPatchType, []byte(patch))); err != nil {
		t.Fatal(err)
	}
	s.promotes("podinfo:6.0.1")
	s.until("the primary's new utilization", func() bool { return utilization() == 50 })
}
