// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/partition"
)

// causeEvents are the reasons of events that say why a workload has no pod, or a pod no container.
// DaemonSets, StatefulSets and pods say so nowhere else. Others repeat what registries
// and probes answer, which may have secrets in it.
var causeEvents = []string{"FailedCreate", "FailedScheduling", "FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"}

// fromEvents is what the last event says about a workload that lacks pods, or about the
// first of them that does not work; empty is nothing.
func (d diagnosis) fromEvents(ctx context.Context, of *unstructured.Unstructured, pods []corev1.Pod) (string, error) {
	if of.GetKind() != "Deployment" { // which has a condition for it
		if told, err := d.lastEvent(ctx, of.GetUID()); err != nil || told != "" {
			return told, err
		}
	}
	for i := range pods {
		if pod := &pods[i]; pod.Status.Phase == corev1.PodPending && !partition.Ready(pod) && pod.DeletionTimestamp == nil {
			told, err := d.lastEvent(ctx, pod.UID)
			if told != "" {
				told = fmt.Sprintf("; pod %s:%s", pod.Name, told[1:])
			}
			return told, err
		}
	}
	return "", nil
}

// lastEvent is the last event about an object, if it is one of those that tell why it
// does not get on.
func (d diagnosis) lastEvent(ctx context.Context, about types.UID) (string, error) {
	found := &corev1.EventList{}
	err := d.scope.live.List(ctx, found, client.InNamespace(d.scope.canary.Namespace),
		client.MatchingFields{"involvedObject.uid": string(about)}, client.Limit(maxDiagnosed))
	if apierrors.IsForbidden(err) {
		return "", nil // an older role must not hold up releases
	}
	if err != nil {
		return "", fmt.Errorf("listing events of %s.%s: %w", d.scope.targetName(), d.scope.canary.Namespace, err)
	}
	if about == "" || len(found.Items) == 0 {
		return "", nil
	}
	last := slices.MaxFunc(found.Items, func(a, b corev1.Event) int { return lastSeen(&a).Compare(lastSeen(&b)) })
	if last.Type != corev1.EventTypeWarning || !slices.Contains(causeEvents, last.Reason) {
		return "", nil
	}
	return fmt.Sprintf("; %s: %s", last.Reason, brief(last.Message)), nil
}

func lastSeen(e *corev1.Event) time.Time {
	at := e.CreationTimestamp.Time
	for _, later := range []time.Time{e.LastTimestamp.Time, e.EventTime.Time} {
		if later.After(at) {
			at = later
		}
	}
	if e.Series != nil && e.Series.LastObservedTime.After(at) {
		at = e.Series.LastObservedTime.Time
	}
	return at
}
