package workload

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// RevertTarget gives the target the primary's pods back, and reports why it is
// not ready yet; empty is ready.
func (p *Pair) RevertTarget(ctx context.Context) (string, error) {
	if p.target == nil {
		return "", nil
	}
	wanted := max(p.Primary.Replicas, 1)
	if p.primary == nil && p.Target.Replicas > 0 {
		wanted = p.Target.Replicas
	}
	if p.Target.Replicas != wanted {
		return "scaling up", p.scale(ctx, wanted)
	}
	return p.Target.Why, nil
}

// RevertApex makes a Service that was there before the canary select the target
// again. One that the canary made goes with it.
func (p *Pair) RevertApex(ctx context.Context) error {
	apex, _, _ := p.canary.ServiceNames()
	live := &corev1.Service{}
	err := p.kit.live.Get(ctx, client.ObjectKey{Namespace: p.canary.Namespace, Name: apex}, live)
	if err != nil || metav1.GetControllerOf(live) != nil || p.names.label == "" {
		return client.IgnoreNotFound(err)
	}
	reverted := live.DeepCopy()
	reverted.Spec.Selector = map[string]string{p.names.label: p.names.value}
	if applied, ok := appliedSelector(live); ok {
		reverted.Spec.Selector = applied
	}
	for key := range handsOff {
		delete(reverted.Annotations, key)
	}
	if err := p.kit.live.Patch(ctx, reverted, client.MergeFrom(live)); err != nil {
		return fmt.Errorf("reverting service %s.%s: %w", apex, p.canary.Namespace, err)
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
