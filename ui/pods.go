// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/workload"
)

// maxPods are read of a workload.
const maxPods = 100

// podKinds are the targets that have pods of their own.
var podKinds = []string{"Deployment", "DaemonSet", "StatefulSet"}

// podsOf are the pods of a Canary's target and of its primary, and why there are no others. They are read with the rights of
// the user.
func (v *view) podsOf(ctx context.Context, c *flaggerv1.Canary) (found []Pod, problem string) {
	found = []Pod{}
	if !slices.Contains(podKinds, c.Spec.TargetRef.Kind) {
		return found, ""
	}
	kind := appsv1.SchemeGroupVersion.WithKind(c.Spec.TargetRef.Kind)
	for _, name := range []string{c.Spec.TargetRef.Name, c.Spec.TargetRef.Name + "-primary"} {
		pods, more, err := v.podsOfWorkload(ctx, kind, client.ObjectKey{Namespace: c.Namespace, Name: name})
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return found, err.Error()
		case more:
			problem = fmt.Sprintf("%s has more than %d pods: these are some of them", name, maxPods)
		}
		found = append(found, pods...)
	}
	slices.SortStableFunc(found, func(a, b Pod) int { return cmp.Compare(rankOfPod(a), rankOfPod(b)) })
	return found, problem
}

// rankOfPod is where a pod stands: those that are not ready first.
func rankOfPod(p Pod) int {
	if p.Why != "" {
		return 0
	}
	return 1
}

func (v *view) podsOfWorkload(ctx context.Context, kind schema.GroupVersionKind, key client.ObjectKey) (found []Pod, more bool, err error) {
	var of unstructured.Unstructured
	of.SetGroupVersionKind(kind)
	if err := v.client.Get(ctx, key, &of); err != nil {
		return nil, false, err
	}
	var selected metav1.LabelSelector
	fields, _, _ := unstructured.NestedMap(of.Object, "spec", "selector")
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, &selected); err != nil {
		return nil, false, fmt.Errorf("spec.selector of %s %s: %w", kind.Kind, key, err)
	}
	selector, err := metav1.LabelSelectorAsSelector(&selected)
	if err != nil {
		return nil, false, fmt.Errorf("spec.selector of %s %s: %w", kind.Kind, key, err)
	}
	var pods corev1.PodList
	if err := v.client.List(ctx, &pods, client.InNamespace(key.Namespace), client.Limit(maxPods),
		client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, false, err
	}
	for i := range pods.Items {
		if pod := &pods.Items[i]; workload.MadeBy(pod, key.Name) {
			found = append(found, podOf(pod, key.Name))
		}
	}
	return found, pods.Continue != "", nil
}

func podOf(pod *corev1.Pod, of string) Pod {
	found := Pod{
		Name: pod.Name, Workload: of, Primary: strings.HasSuffix(of, "-primary"),
		Why: workload.WhyNotReady(pod), Since: pod.CreationTimestamp.Time,
	}
	if len(pod.Spec.Containers) > 0 {
		found.Image = pod.Spec.Containers[0].Image
	}
	for _, c := range pod.Status.ContainerStatuses {
		found.Restarts += int(c.RestartCount)
	}
	return found
}
