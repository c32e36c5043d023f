package workload

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// reclaim takes back one of the canary's own Services that has lost its owner, such
// as when an earlier Canary was deleted without what it made.
func (p *Pair) reclaim(svc *corev1.Service) error {
	if svc.Labels[p.names.label] != svc.Name || !within(handsOff, svc.Annotations) {
		return p.refuseTaken("service", svc, "spec.service.name")
	}
	return p.claim(svc)
}

// refuseTaken keeps what somebody else made under the name of a copy from being
// overwritten, and from being deleted with the canary.
func (p *Pair) refuseTaken(kind string, object client.Object, field string) error {
	whose := "has no owner"
	if owner := metav1.GetControllerOf(object); owner != nil {
		whose = fmt.Sprintf("belongs to %s %s", owner.Kind, owner.Name)
	}
	return reconcile.TerminalError(fmt.Errorf("%s: %s %s.%s is in the place of a copy, and %s: it is not overwritten; rename it, or delete it if an earlier Canary left it",
		field, kind, object.GetName(), object.GetNamespace(), whose))
}
