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

	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/internal/partition"
)

// telling are the events that say why a workload has no pod, or a pod no container.
// DaemonSets, StatefulSets and pods say so nowhere else. Others repeat what registries
// and probes answer, which may have secrets in it.
var telling = []string{"FailedCreate", "FailedScheduling", "FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"}

// blameEvents says what was told last about a workload that lacks pods, or about the
// first of them that does not work.
func (p *Pair) blameEvents(ctx context.Context, w *canary.Workload, of *unstructured.Unstructured, pods []corev1.Pod) error {
	if w.Ready || of == nil {
		return nil
	}
	if of.GetKind() != "Deployment" { // which has a condition for it
		if told, err := p.toldLast(ctx, of.GetUID()); err != nil || told != "" {
			w.Why += told
			return err
		}
	}
	for i := range pods {
		if pod := &pods[i]; pod.Status.Phase == corev1.PodPending && !partition.Ready(pod) && pod.DeletionTimestamp == nil {
			told, err := p.toldLast(ctx, pod.UID)
			if told != "" {
				w.Why += fmt.Sprintf("; pod %s%s", pod.Name, ":"+told[1:])
			}
			return err
		}
	}
	return nil
}

// toldLast is the last event about an object, if it is one of those that tell why it
// does not get on.
func (p *Pair) toldLast(ctx context.Context, about types.UID) (string, error) {
	found := &corev1.EventList{}
	err := p.kit.live.List(ctx, found, client.InNamespace(p.canary.Namespace),
		client.MatchingFields{"involvedObject.uid": string(about)}, client.Limit(maxBlamed))
	if apierrors.IsForbidden(err) {
		return "", nil // an older role must not hold up releases
	}
	if err != nil {
		return "", fmt.Errorf("listing events of %s.%s: %w", p.canary.Spec.TargetRef.Name, p.canary.Namespace, err)
	}
	if about == "" || len(found.Items) == 0 {
		return "", nil
	}
	last := slices.MaxFunc(found.Items, func(a, b corev1.Event) int { return toldAt(&a).Compare(toldAt(&b)) })
	if last.Type != corev1.EventTypeWarning || !slices.Contains(telling, last.Reason) {
		return "", nil
	}
	return fmt.Sprintf("; %s: %s", last.Reason, shorten(last.Message)), nil
}

func toldAt(e *corev1.Event) time.Time {
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
