package workload

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// refuse is an error that only an edit helps with, unless the canary goes: it gives back
// what it took whatever its spec, the target or the controller's settings have become.
func (p *Pair) refuse(format string, args ...any) error {
	if p.canary.DeletionTimestamp != nil {
		return nil
	}
	return reconcile.TerminalError(fmt.Errorf(format, args...))
}

// revertApex implements [form]. What earlier versions took over has no note of what it
// was.
func (t *twin) revertApex(ctx context.Context) error {
	apex, _, _ := t.canary.ServiceNames()
	live := &corev1.Service{}
	err := t.kit.live.Get(ctx, client.ObjectKey{Namespace: t.canary.Namespace, Name: apex}, live)
	if err != nil || metav1.GetControllerOf(live) != nil || len(t.names.own) == 0 {
		return client.IgnoreNotFound(err)
	}
	if originalOf(live) != nil {
		return nil
	}
	reverted := live.DeepCopy()
	reverted.Spec.Selector = t.names.own
	if applied, ok := lastApplied(live); ok {
		reverted.Spec.Selector = applied.Selector
		reverted.Spec.Ports = appliedPorts(applied.Ports, live.Spec.Ports)
	}
	for key := range handsOff {
		delete(reverted.Annotations, key)
	}
	if err := t.kit.live.Patch(ctx, reverted, client.MergeFrom(live)); err != nil {
		return fmt.Errorf("reverting service %s.%s: %w", apex, t.canary.Namespace, err)
	}
	return nil
}

// appliedPorts are those that were applied, with the node ports that they have. A
// selector that was applied without any is not the whole story.
func appliedPorts(applied, live []corev1.ServicePort) []corev1.ServicePort {
	if len(applied) == 0 {
		return live
	}
	ports := slices.Clone(applied)
	for i := range ports {
		ports[i].Protocol = cmp.Or(ports[i].Protocol, corev1.ProtocolTCP)
		if ports[i].NodePort == 0 {
			ports[i].NodePort = nodePort(live, ports[i])
		}
	}
	return ports
}
