// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
)

// originalAnnotation is on a Service that was there before the canary: what is to be
// restored on deletion, whoever applied it and by whatever means.
const originalAnnotation = "sluice.dev/original-service"

// originalService is a Service as its owner has it, and what the canary made of it.
type originalService struct {
	Canary   string               `json:"canary"`
	Selector map[string]string    `json:"selector,omitempty"`
	Ports    []corev1.ServicePort `json:"ports,omitempty"`
	// Annotations are the annotations of [object.FluxDisabled] that the owner had set.
	Annotations map[string]string `json:"annotations,omitempty"`
	// Set is the selector that the canary wrote last: with another one, the owner has
	// changed his mind since. Main is the port that is the canary's, and Added are
	// those that the owner did not have.
	Set   map[string]string `json:"set,omitempty"`
	Main  string            `json:"main,omitempty"`
	Added []string          `json:"added,omitempty"`
}

// originalOf reads what was noted; nil is nothing that can be read.
func originalOf(svc *corev1.Service) *originalService {
	noted := &originalService{}
	if json.Unmarshal([]byte(svc.Annotations[originalAnnotation]), noted) != nil {
		return nil
	}
	return noted
}

// adoption takes over the Service that users call when others made it.
type adoption struct{ services services }

// adopt makes a Service that others made select what the canary wants. Whatever else
// it has stays: ports that the canary does not know, node ports, addresses, labels.
func (a adoption) adopt(ctx context.Context, live *corev1.Service, s service) error {
	noted := originalOf(live)
	if err := a.checkAdopter(ctx, live, noted); err != nil {
		return err
	}
	selector := s.selectorFor(live.Spec.Selector)
	if noted == nil && maps.Equal(selector, live.Spec.Selector) && !a.ledByUs(live) {
		return nil // there is nothing yet to lead its users to
	}
	wanted, first := live.DeepCopy(), noted == nil
	o := a.noteOriginal(live, noted, selector)
	wanted.Spec.Selector = selector
	ports := a.services.ports.merged(o, live.Spec.Ports)
	if !equality.Semantic.DeepEqual(byPort(ports), byPort(live.Spec.Ports)) {
		wanted.Spec.Ports = ports
	}
	if first && a.ledByUs(live) && equality.Semantic.DeepEqual(live.Spec, wanted.Spec) && within(object.FluxDisabled(), live.Annotations) {
		return nil // Flagger took it over: there is nothing to note that is not there
	}
	encoded, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("noting what service %s.%s was: %w", s.name, a.services.scope.canary.Namespace, err)
	}
	ours := object.Merge(object.FluxDisabled(), map[string]string{originalAnnotation: string(encoded)})
	wanted.Annotations = object.Merge(wanted.Annotations, ours)
	if equality.Semantic.DeepEqual(live, wanted) {
		return nil
	}
	if err := a.services.scope.live.Patch(ctx, wanted, client.MergeFrom(live)); err != nil {
		return fmt.Errorf("writing service %s.%s: %w", s.name, a.services.scope.canary.Namespace, err)
	}
	if first {
		a.warnOfChanges(live, wanted)
	}
	return nil
}

// ledByUs reports whether an earlier version has taken a Service over already, which
// noted nothing.
func (a adoption) ledByUs(svc *corev1.Service) bool {
	return svc.Spec.Selector[a.services.names.label] == a.services.names.primaryValue() && within(svc.Spec.Selector, a.services.names.settled)
}

// checkAdopter refuses a Service that another canary has taken over and still uses.
func (a adoption) checkAdopter(ctx context.Context, live *corev1.Service, noted *originalService) error {
	if noted == nil || noted.Canary == a.services.scope.canary.Name || noted.Canary == "" {
		return nil
	}
	other := &flaggerv1.Canary{}
	err := a.services.scope.live.Get(ctx, a.services.scope.key(noted.Canary), other)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading canary %s.%s: %w", noted.Canary, a.services.scope.canary.Namespace, err)
	}
	if apex, _, _ := other.ServiceNames(); other.DeletionTimestamp != nil || !other.HasService() || apex != live.Name {
		return nil
	}
	return reconcile.TerminalError(fmt.Errorf("spec.service.name: service %s.%s is that of Canary %s: "+
		"two cannot release the same; delete one of them",
		live.Name, live.Namespace, noted.Canary))
}

// noteOriginal is what to restore: what was noted or, if the owner has written a
// selector since, what he has now.
func (a adoption) noteOriginal(live *corev1.Service, noted *originalService, selector map[string]string) *originalService {
	o := &originalService{Canary: a.services.scope.canary.Name, Set: selector}
	switch {
	case noted != nil && (maps.Equal(live.Spec.Selector, noted.Set) || maps.Equal(live.Spec.Selector, selector)):
		o.Selector, o.Ports, o.Main, o.Annotations = noted.Selector, noted.Ports, noted.Main, noted.Annotations
	case noted == nil && a.ledByUs(live):
		o.Selector, o.Ports = a.services.names.own, live.Spec.Ports
		if applied, ok := lastApplied(live); ok {
			o.Selector, o.Ports = applied.Selector, applied.Ports
		}
	default:
		o.Selector, o.Ports = live.Spec.Selector, live.Spec.Ports
		for key := range object.FluxDisabled() {
			if value, ok := live.Annotations[key]; ok && noted == nil {
				o.Annotations = object.Merge(o.Annotations, map[string]string{key: value})
			}
		}
		if noted != nil {
			o.Annotations = noted.Annotations
			o.Ports = slices.DeleteFunc(slices.Clone(o.Ports),
				func(port corev1.ServicePort) bool { return slices.Contains(noted.Added, portKey(port)) })
		}
	}
	if noted != nil {
		o.Added = noted.Added
	}
	return o
}

// warnOfChanges says what of an adopted Service works in another way than before.
func (a adoption) warnOfChanges(before, after *corev1.Service) {
	if before.Spec.Type == corev1.ServiceTypeExternalName {
		a.services.scope.warn("service %s.%s is an alias of %s: who calls it reaches that, and neither copy",
			before.Name, before.Namespace, before.Spec.ExternalName)
	}
	for _, had := range before.Spec.Ports {
		for _, has := range after.Spec.Ports {
			if portKey(had) != portKey(has) {
				continue
			}
			if a.services.ports.containerPort(had) != a.services.ports.containerPort(has) {
				a.services.scope.warn("service %s.%s: port %d leads to %s, no longer to %s",
					before.Name, before.Namespace, had.Port, has.TargetPort.String(), had.TargetPort.String())
			}
			if had.Name != has.Name && had.Name != "" {
				a.services.scope.warn("service %s.%s: port %d is called %s, no longer %s", before.Name, before.Namespace, had.Port, has.Name, had.Name)
			}
		}
	}
}

// restoreServices gives all Services back that were there before the canary.
func restoreServices(ctx context.Context, s *scope) error {
	found := &corev1.ServiceList{}
	if err := s.live.List(ctx, found, client.InNamespace(s.canary.Namespace)); err != nil {
		return fmt.Errorf("listing services of %s.%s: %w", s.canary.Name, s.canary.Namespace, err)
	}
	for i := range found.Items {
		live := &found.Items[i]
		noted := originalOf(live)
		if noted == nil || noted.Canary != s.canary.Name || metav1.GetControllerOf(live) != nil {
			continue
		}
		if err := restoreService(ctx, s, live, noted); err != nil {
			return err
		}
	}
	return nil
}

// restoreService makes a Service what its owner has. A selector that is not the
// canary's is newer than what was noted, and stays.
func restoreService(ctx context.Context, s *scope, live *corev1.Service, noted *originalService) error {
	restored := live.DeepCopy()
	if maps.Equal(live.Spec.Selector, noted.Set) {
		restored.Spec.Selector = noted.Selector
	}
	restored.Spec.Ports = noted.restore(live)
	for key := range object.FluxDisabled() {
		delete(restored.Annotations, key)
	}
	maps.Copy(restored.Annotations, noted.Annotations)
	delete(restored.Annotations, originalAnnotation)
	if err := s.live.Patch(ctx, restored, client.MergeFrom(live)); err != nil {
		return fmt.Errorf("reverting service %s.%s: %w", live.Name, live.Namespace, err)
	}
	return nil
}

// lastApplied is what `kubectl apply` was last given, if that says whom to select.
func lastApplied(svc *corev1.Service) (corev1.ServiceSpec, bool) {
	applied := &corev1.Service{}
	if err := json.Unmarshal([]byte(svc.Annotations[corev1.LastAppliedConfigAnnotation]), applied); err != nil {
		return corev1.ServiceSpec{}, false
	}
	return applied.Spec, len(applied.Spec.Selector) > 0
}
