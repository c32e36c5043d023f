package workload

import (
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// ErrTaken means that somebody else's object is in the place of a copy.
var ErrTaken = errors.New("is not overwritten; rename it, or delete it if an earlier Canary left it")

// checkOwner refuses what another canary made: the two would undo each other's work
// for ever. What an earlier canary of this name has left is about to be collected,
// and nothing may be built on it.
func (p *Pair) checkOwner(object client.Object, field string) error {
	owner := metav1.GetControllerOf(object)
	if owner == nil || owner.UID == p.canary.UID || owner.Kind != flaggerv1.CanaryKind {
		return nil
	}
	if owner.Name == p.canary.Name {
		return fmt.Errorf("%s %s.%s belongs to an earlier Canary of this name, and is about to go with it",
			kindOf(object), object.GetName(), object.GetNamespace())
	}
	return reconcile.TerminalError(fmt.Errorf("%s: %s %s.%s belongs to Canary %s: two cannot release the same; delete one of them, or this object if that Canary has another target by now",
		field, kindOf(object), object.GetName(), object.GetNamespace(), owner.Name))
}

// kindOf is how messages name the kind of an object; typed ones forget theirs.
func kindOf(object client.Object) string {
	if kind := object.GetObjectKind().GroupVersionKind().Kind; kind != "" {
		return strings.ToLower(kind)
	}
	return "service"
}

// claim makes the canary the controller of an object that has none.
func (p *Pair) claim(object client.Object) error {
	if metav1.GetControllerOf(object) != nil {
		return nil
	}
	object.SetOwnerReferences(append(object.GetOwnerReferences(), p.owned()))
	return nil
}

// checkPlace refuses to write a copy over what somebody else made, which would also be
// deleted with the canary. What has no owner is the canary's if it looks like a copy
// that lost its own, such as when an earlier Canary was deleted without what it made.
func (p *Pair) checkPlace(object client.Object, copied bool) error {
	owner, whose := metav1.GetControllerOf(object), "has no owner"
	switch {
	case object.GetResourceVersion() == "", owner == nil && copied, owner != nil && owner.UID == p.canary.UID:
		return nil
	case owner != nil:
		whose = fmt.Sprintf("belongs to %s %s", owner.Kind, owner.Name)
	}
	return fmt.Errorf("%s %s.%s is in the place of a copy and %s: it %w", kindOf(object), object.GetName(), object.GetNamespace(), whose, ErrTaken)
}

// refusing makes of a place that is taken an error that only an edit of the field, or
// of the object, helps with. The object is watched.
func refusing(field string, err error) error {
	if errors.Is(err, ErrTaken) {
		return reconcile.TerminalError(fmt.Errorf("%s: %w", field, err))
	}
	return err
}

// reclaim takes back one of the canary's own Services that has lost its owner.
func (p *Pair) reclaim(svc *corev1.Service) error {
	copied := svc.Labels[p.names.label] == svc.Name && within(handsOff, svc.Annotations)
	if err := p.checkPlace(svc, copied); err != nil {
		return refusing("spec.service.name", err)
	}
	return p.claim(svc)
}
