// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/canary/object"
)

// ensureServices implements [servicesEnsurer].
func (t *twoCopies) ensureServices(ctx context.Context) error {
	_, primary, canary := t.scope.canary.ServiceNames()
	spec := &t.scope.canary.Spec.Service
	services := servicesOf(t.scope, t.seen)
	if err := services.ensure(ctx, service{name: canary, selector: t.seen.names.own, metadata: spec.Canary}); err != nil {
		return err
	}
	return services.ensure(ctx, service{primary, t.seen.names.primary, spec.Primary, t.reselect})
}

// reselect is what a Service of the primary selects that selects something else now. It
// is led to pods that serve only, and while they are being replaced by labels only
// that both the old and the new ones have: an edited selector is no outage.
func (t *twoCopies) reselect(now map[string]string) map[string]string {
	switch {
	case !t.seen.Primary.Serves():
		return now
	case t.seen.Primary.Ready:
		return t.seen.names.settled
	case within(t.seen.names.primary, now) && within(now, t.seen.names.matching):
		return now
	default:
		return t.seen.names.primary
	}
}

// ensureApex implements [apexEnsurer].
func (t *twoCopies) ensureApex(ctx context.Context) error {
	apex, _, _ := t.scope.canary.ServiceNames()
	return servicesOf(t.scope, t.seen).ensure(ctx, service{apex, t.seen.names.primary, t.scope.canary.Spec.Service.Apex, t.reselect})
}

// revertApex implements [apexReverter]. What earlier versions took over has no note of what it
// was.
func (t *twoCopies) revertApex(ctx context.Context) error {
	apex, _, _ := t.scope.canary.ServiceNames()
	live := &corev1.Service{}
	err := t.scope.live.Get(ctx, t.scope.key(apex), live)
	if err != nil || metav1.GetControllerOf(live) != nil || len(t.seen.names.own) == 0 {
		return client.IgnoreNotFound(err)
	}
	if originalOf(live) != nil || t.givenBack(live.Spec.Selector) {
		return nil
	}
	reverted := live.DeepCopy()
	reverted.Spec.Selector = t.seen.names.own
	if applied, ok := lastApplied(live); ok {
		reverted.Spec.Selector = applied.Selector
		reverted.Spec.Ports = appliedPorts(applied.Ports, live.Spec.Ports)
	}
	for key := range object.FluxDisabled() {
		delete(reverted.Annotations, key)
	}
	if err := t.scope.live.Patch(ctx, reverted, client.MergeFrom(live)); err != nil {
		return fmt.Errorf("reverting service %s.%s: %w", apex, t.scope.canary.Namespace, err)
	}
	return nil
}

// givenBack reports whether a Service that selects these labels leads to no primary. An end
// that was cut off has given it back already, and the rest of it is its owner's.
func (t *twoCopies) givenBack(selector map[string]string) bool {
	return len(selector) == 0 || t.target != nil && within(selector, podLabels(t.target))
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

// checkSelected makes sure that users get no pods but those of the two copies.
func (t *twoCopies) checkSelected(ctx context.Context) error {
	if t.target == nil {
		return nil
	}
	return podSelection{t.scope, t.kind.Kind, t.seen.names, t.target, t.primary}.check(ctx, t.seen.Revision, &t.seen.Target)
}
