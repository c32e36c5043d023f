// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/internal/partition"
	"github.com/sluice-cd/sluice/internal/shorten"
)

// terminalWaitingReasons are the reasons for which a container waits that do not pass by
// themselves.
var terminalWaitingReasons = map[string]bool{
	"CrashLoopBackOff": true, "ImagePullBackOff": true, "ErrImagePull": true, "ErrImageNeverPull": true, "InvalidImageName": true,
	"CreateContainerConfigError": true, "CreateContainerError": true, "RunContainerError": true,
}

// maxReason bounds what is said about one pod, in characters.
const maxReason = 200

// maxDiagnosed bounds how many pods, or events, are read to find what is wrong.
const maxDiagnosed = 500

// diagnosis finds out what keeps pods from serving.
type diagnosis struct{ scope *scope }

// podsWith are those that have the labels, of whatever owner.
func podsWith(ctx context.Context, s *scope, labels map[string]string, opts ...client.ListOption) ([]corev1.Pod, error) {
	found := &corev1.PodList{}
	opts = append(opts, client.InNamespace(s.canary.Namespace), client.MatchingLabels(labels))
	if err := s.live.List(ctx, found, opts...); err != nil {
		return nil, fmt.Errorf("listing pods of %s.%s: %w", s.targetName(), s.canary.Namespace, err)
	}
	return found.Items, nil
}

// diagnose says which pod keeps a workload from becoming ready, and why, if there is
// one that will not recover by itself: long before a deadline would. Pods of older
// revisions are on their way out. If there is none, there may be no pods at all.
func (d diagnosis) diagnose(
	ctx context.Context, w canary.Workload, of *unstructured.Unstructured, labels map[string]string,
) (canary.Workload, error) {
	pods, err := podsWith(ctx, d.scope, labels, client.Limit(maxDiagnosed))
	if err != nil {
		return w, err
	}
	return d.explain(ctx, w, of, newest(slices.DeleteFunc(pods, func(pod corev1.Pod) bool { return !MadeBy(&pod, of.GetName()) })))
}

// explain adds to what a workload lacks why its pods do not work, by their status or by
// events.
func (d diagnosis) explain(
	ctx context.Context, w canary.Workload, of *unstructured.Unstructured, pods []corev1.Pod,
) (canary.Workload, error) {
	if w.Ready {
		return w, nil
	}
	for i := range pods {
		if reason := failureReason(&pods[i]); reason != "" {
			w.Why = fmt.Sprintf("%s; pod %s: %s", w.Why, pods[i].Name, reason)
			return w, nil
		}
	}
	told, err := d.fromEvents(ctx, of, pods)
	w.Why += told
	return w, err
}

// MadeBy reports whether a pod may be one of a Deployment or DaemonSet. Others can
// have its labels.
func MadeBy(pod *corev1.Pod, name string) bool {
	switch owner := metav1.GetControllerOf(pod); {
	case owner == nil:
		return true
	case owner.Kind == "ReplicaSet":
		return owner.Name == name+"-"+pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
	default:
		return owner.Name == name
	}
}

// newest are the pods of the same template as the youngest.
func newest(pods []corev1.Pod) []corev1.Pod {
	var youngest *corev1.Pod
	for i := range pods {
		if youngest == nil || youngest.CreationTimestamp.Before(&pods[i].CreationTimestamp) {
			youngest = &pods[i]
		}
	}
	var out []corev1.Pod
	for _, pod := range pods {
		if templateOf(&pod) == templateOf(youngest) {
			out = append(out, pod)
		}
	}
	return out
}

func templateOf(pod *corev1.Pod) string {
	return pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey] + pod.Labels[appsv1.ControllerRevisionHashLabelKey]
}

// failureReason says what keeps a pod from becoming ready for good; empty is nothing.
// Only messages that Kubernetes writes itself are repeated: those of registries
// and runtimes may have tokens in them.
func failureReason(pod *corev1.Pod) string {
	if partition.Ready(pod) || pod.DeletionTimestamp != nil {
		return ""
	}
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, c := range statuses {
			if waiting := c.State.Waiting; waiting != nil && terminalWaitingReasons[waiting.Reason] {
				return fmt.Sprintf("container %s: %s%s", c.Name, waiting.Reason, detail(pod, &c))
			}
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse &&
			(c.Reason == corev1.PodReasonUnschedulable || c.Reason == corev1.PodReasonSchedulingGated) {
			return c.Reason + ": " + brief(c.Message)
		}
	}
	if pod.Status.Phase == corev1.PodFailed && pod.Status.Reason != "" {
		return fmt.Sprintf("%s: %s", pod.Status.Reason, brief(pod.Status.Message))
	}
	return ""
}

// WhyNotReady says what a pod lacks to serve, whether that passes by itself or not; empty if it is ready.
func WhyNotReady(pod *corev1.Pod) string {
	switch {
	case pod.DeletionTimestamp != nil:
		return "is ending"
	case partition.Ready(pod):
		return ""
	}
	if why := failureReason(pod); why != "" {
		return why
	}
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if waiting := c.State.Waiting; waiting != nil && waiting.Reason != "" {
			return fmt.Sprintf("container %s: %s", c.Name, waiting.Reason)
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Reason != "" {
			return strings.TrimSuffix(c.Reason+": "+brief(c.Message), ": ")
		}
	}
	return string(pod.Status.Phase)
}

func detail(pod *corev1.Pod, c *corev1.ContainerStatus) string {
	waiting, last := c.State.Waiting, c.LastTerminationState.Terminated
	switch {
	case waiting.Reason == "CreateContainerConfigError" && waiting.Message != "":
		return ": " + brief(waiting.Message)
	case strings.Contains(waiting.Reason, "Image"):
		for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			if container.Name == c.Name && container.Image != "" {
				return fmt.Sprintf(" (image %s)", brief(container.Image))
			}
		}
		return ""
	case last != nil:
		return fmt.Sprintf(" (%s, exit code %d)", last.Reason, last.ExitCode)
	default:
		return ""
	}
}

func brief(text string) string { return shorten.Runes(text, maxReason, shorten.Dots) }
