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
)

// originalAnnotation is on a Service that was there before the canary: what is to be
// restored on deletion, whoever applied it and by whatever means.
const originalAnnotation = "sluice.dev/original-service"

// original is a Service as its owner has it, and what the canary made of it.
type original struct {
	Canary   string               `json:"canary"`
	Selector map[string]string    `json:"selector,omitempty"`
	Ports    []corev1.ServicePort `json:"ports,omitempty"`
	// Annotations are those of [handsOff] that the owner had set.
	Annotations map[string]string `json:"annotations,omitempty"`
	// Set is the selector that the canary wrote last: with another one, the owner has
	// changed his mind since. Main is the port that is the canary's, and Added are
	// those that the owner did not have.
	Set   map[string]string `json:"set,omitempty"`
	Main  string            `json:"main,omitempty"`
	Added []string          `json:"added,omitempty"`
}

// originalOf reads what was noted; nil is nothing that can be read.
func originalOf(svc *corev1.Service) *original {
	noted := &original{}
	if json.Unmarshal([]byte(svc.Annotations[originalAnnotation]), noted) != nil {
		return nil
	}
	return noted
}

// adopt makes a Service that others made select what the canary wants. Whatever else
// it has stays: ports that the canary does not know, node ports, addresses, labels.
func (p *Pair) adopt(ctx context.Context, live *corev1.Service, s service) error {
	noted := originalOf(live)
	if err := p.checkAdopter(ctx, live, noted); err != nil {
		return err
	}
	selector := s.selector
	if s.leads != nil {
		selector = s.leads(live.Spec.Selector)
	}
	if noted == nil && maps.Equal(selector, live.Spec.Selector) && !p.ledByUs(live) {
		return nil // there is nothing yet to lead its users to
	}
	wanted, first := live.DeepCopy(), noted == nil
	o := p.noteOriginal(live, noted, selector)
	wanted.Spec.Selector = selector
	ports := p.mergePorts(o, live.Spec.Ports)
	if !equality.Semantic.DeepEqual(byPort(ports), byPort(live.Spec.Ports)) {
		wanted.Spec.Ports = ports
	}
	if first && p.ledByUs(live) && equality.Semantic.DeepEqual(live.Spec, wanted.Spec) && within(handsOff, live.Annotations) {
		return nil // Flagger took it over: there is nothing to note that is not there
	}
	encoded, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("noting what service %s.%s was: %w", s.name, p.canary.Namespace, err)
	}
	wanted.Annotations = merge(merge(wanted.Annotations, handsOff), map[string]string{originalAnnotation: string(encoded)})
	if equality.Semantic.DeepEqual(live, wanted) {
		return nil
	}
	if err := p.kit.live.Patch(ctx, wanted, client.MergeFrom(live)); err != nil {
		return fmt.Errorf("writing service %s.%s: %w", s.name, p.canary.Namespace, err)
	}
	if first {
		p.warnAdopted(live, wanted)
	}
	return nil
}

// ledByUs reports whether an earlier version has taken a Service over already, which
// noted nothing.
func (p *Pair) ledByUs(svc *corev1.Service) bool {
	return svc.Spec.Selector[p.names.label] == p.names.primaryValue() && within(svc.Spec.Selector, p.names.settled)
}

// checkAdopter refuses a Service that another canary has taken over and still uses.
func (p *Pair) checkAdopter(ctx context.Context, live *corev1.Service, noted *original) error {
	if noted == nil || noted.Canary == p.canary.Name || noted.Canary == "" {
		return nil
	}
	other := &flaggerv1.Canary{}
	err := p.kit.live.Get(ctx, p.key(noted.Canary), other)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading canary %s.%s: %w", noted.Canary, p.canary.Namespace, err)
	}
	if apex, _, _ := other.ServiceNames(); other.DeletionTimestamp != nil || !other.HasService() || apex != live.Name {
		return nil
	}
	return reconcile.TerminalError(fmt.Errorf("spec.service.name: service %s.%s is that of Canary %s: two cannot release the same; delete one of them",
		live.Name, live.Namespace, noted.Canary))
}

// noteOriginal is what to restore: what was noted or, if the owner has written a
// selector since, what he has now.
func (p *Pair) noteOriginal(live *corev1.Service, noted *original, selector map[string]string) *original {
	o := &original{Canary: p.canary.Name, Set: selector}
	switch {
	case noted != nil && (maps.Equal(live.Spec.Selector, noted.Set) || maps.Equal(live.Spec.Selector, selector)):
		o.Selector, o.Ports, o.Main, o.Annotations = noted.Selector, noted.Ports, noted.Main, noted.Annotations
	case noted == nil && p.ledByUs(live):
		o.Selector, o.Ports = p.names.own, live.Spec.Ports
		if applied, ok := lastApplied(live); ok {
			o.Selector, o.Ports = applied.Selector, applied.Ports
		}
	default:
		o.Selector, o.Ports = live.Spec.Selector, live.Spec.Ports
		for key := range handsOff {
			if value, ok := live.Annotations[key]; ok && noted == nil {
				o.Annotations = merge(o.Annotations, map[string]string{key: value})
			}
		}
		if noted != nil {
			o.Annotations = noted.Annotations
			o.Ports = slices.DeleteFunc(slices.Clone(o.Ports), func(port corev1.ServicePort) bool { return slices.Contains(noted.Added, portKey(port)) })
		}
	}
	if noted != nil {
		o.Added = noted.Added
	}
	return o
}

// warnAdopted says what of an adopted Service works in another way than before.
func (p *Pair) warnAdopted(before, after *corev1.Service) {
	if before.Spec.Type == corev1.ServiceTypeExternalName {
		p.warn("service %s.%s is an alias of %s: who calls it reaches that, and neither copy", before.Name, before.Namespace, before.Spec.ExternalName)
	}
	for _, had := range before.Spec.Ports {
		for _, has := range after.Spec.Ports {
			if portKey(had) != portKey(has) {
				continue
			}
			if p.containerPort(had) != p.containerPort(has) {
				p.warn("service %s.%s: port %d leads to %s, no longer to %s", before.Name, before.Namespace, had.Port, has.TargetPort.String(), had.TargetPort.String())
			}
			if had.Name != has.Name && had.Name != "" {
				p.warn("service %s.%s: port %d is called %s, no longer %s", before.Name, before.Namespace, had.Port, has.Name, had.Name)
			}
		}
	}
}

func (p *Pair) warn(format string, args ...any) {
	if p.kit.opts.Warn != nil {
		p.kit.opts.Warn(p.canary, fmt.Errorf(format, args...))
	}
}

// restoreServices gives all Services back that were there before the canary.
func (p *Pair) restoreServices(ctx context.Context) error {
	found := &corev1.ServiceList{}
	if err := p.kit.live.List(ctx, found, client.InNamespace(p.canary.Namespace)); err != nil {
		return fmt.Errorf("listing services of %s.%s: %w", p.canary.Name, p.canary.Namespace, err)
	}
	for i := range found.Items {
		live := &found.Items[i]
		noted := originalOf(live)
		if noted == nil || noted.Canary != p.canary.Name || metav1.GetControllerOf(live) != nil {
			continue
		}
		if err := p.restoreService(ctx, live, noted); err != nil {
			return err
		}
	}
	return nil
}

// restoreService makes a Service what its owner has. A selector that is not the
// canary's is newer than what was noted, and stays.
func (p *Pair) restoreService(ctx context.Context, live *corev1.Service, noted *original) error {
	restored := live.DeepCopy()
	if maps.Equal(live.Spec.Selector, noted.Set) {
		restored.Spec.Selector = noted.Selector
	}
	restored.Spec.Ports = noted.restore(live)
	for key := range handsOff {
		delete(restored.Annotations, key)
	}
	maps.Copy(restored.Annotations, noted.Annotations)
	delete(restored.Annotations, originalAnnotation)
	if err := p.kit.live.Patch(ctx, restored, client.MergeFrom(live)); err != nil {
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
