package workload

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// revertApex implements [form].
func (t *twin) revertApex(ctx context.Context) error {
	apex, _, _ := t.canary.ServiceNames()
	live := &corev1.Service{}
	err := t.kit.live.Get(ctx, client.ObjectKey{Namespace: t.canary.Namespace, Name: apex}, live)
	if err != nil || metav1.GetControllerOf(live) != nil || t.names.label == "" {
		return client.IgnoreNotFound(err)
	}
	reverted := live.DeepCopy()
	reverted.Spec.Selector = t.names.own
	if applied, ok := appliedSelector(live); ok {
		reverted.Spec.Selector = applied
	}
	for key := range handsOff {
		delete(reverted.Annotations, key)
	}
	if err := t.kit.live.Patch(ctx, reverted, client.MergeFrom(live)); err != nil {
		return fmt.Errorf("reverting service %s.%s: %w", apex, t.canary.Namespace, err)
	}
	return nil
}

// appliedSelector is the selector that `kubectl apply` was last given.
func appliedSelector(svc *corev1.Service) (map[string]string, bool) {
	applied := &corev1.Service{}
	if err := json.Unmarshal([]byte(svc.Annotations[corev1.LastAppliedConfigAnnotation]), applied); err != nil {
		return nil, false
	}
	return applied.Spec.Selector, len(applied.Spec.Selector) > 0
}
