package workload

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// handsOff keeps Flux from putting back what Git says about an object.
var handsOff = map[string]string{
	"kustomize.toolkit.fluxcd.io/reconcile": "disabled",
	"helm.toolkit.fluxcd.io/driftDetection": "disabled",
}

// service is one of the three Services of a canary.
type service struct {
	name     string
	selector map[string]string
	metadata *flaggerv1.CustomMetadata
	// leads says what to make of a selector that differs; nil replaces it.
	leads func(now map[string]string) map[string]string
}

// ensureServices implements [form].
func (t *twin) ensureServices(ctx context.Context) error {
	_, primary, canary := t.canary.ServiceNames()
	spec := &t.canary.Spec.Service
	if err := t.ensureService(ctx, service{name: canary, selector: t.names.own, metadata: spec.Canary}); err != nil {
		return err
	}
	return t.ensureService(ctx, service{primary, t.names.primary, spec.Primary, t.leads})
}

// leads is what a Service of the primary selects that selects something else now. It
// is led to pods that serve only, and while they are being replaced by labels only
// that both the old and the new ones have: an edited selector is no outage.
func (t *twin) leads(now map[string]string) map[string]string {
	switch {
	case !t.Primary.Serves():
		return now
	case t.Primary.Ready:
		return t.names.settled
	case within(t.names.primary, now) && within(now, t.names.matching):
		return now
	default:
		return t.names.primary
	}
}

// ensureApex implements [form].
func (t *twin) ensureApex(ctx context.Context) error {
	apex, _, _ := t.canary.ServiceNames()
	return t.ensureService(ctx, service{apex, t.names.primary, t.canary.Spec.Service.Apex, t.leads})
}

// ensureService makes a Service what it should be. One that others made keeps
// what it does not share with the others.
func (p *Pair) ensureService(ctx context.Context, s service) error {
	if p.names.label == "" {
		return nil // neither copy exists: there is nothing to select
	}
	live := &corev1.Service{}
	err := p.kit.cached.Get(ctx, client.ObjectKey{Namespace: p.canary.Namespace, Name: s.name}, live)
	if apierrors.IsNotFound(err) {
		return p.createService(ctx, s)
	}
	if err != nil {
		return fmt.Errorf("reading service %s.%s: %w", s.name, p.canary.Namespace, err)
	}
	if err := p.checkOwner(live, "spec.service.name"); err != nil {
		return err
	}
	wanted := live.DeepCopy()
	if !metav1.IsControlledBy(live, p.canary) {
		if apex, _, _ := p.canary.ServiceNames(); s.name == apex {
			return p.adopt(ctx, live, s)
		}
		if err := p.reclaim(wanted); err != nil {
			return err
		}
	}
	p.writeService(wanted, s)
	p.writeMetadata(wanted, s)
	wanted.Spec.TrafficDistribution = p.trafficDistribution()
	if equality.Semantic.DeepEqual(live, wanted) {
		return nil
	}
	if err := p.kit.live.Patch(ctx, wanted, client.MergeFrom(live)); err != nil {
		return fmt.Errorf("writing service %s.%s: %w", s.name, p.canary.Namespace, err)
	}
	return nil
}

func (p *Pair) createService(ctx context.Context, s service) error {
	created := &corev1.Service{ObjectMeta: metav1.ObjectMeta{
		Name: s.name, Namespace: p.canary.Namespace, OwnerReferences: []metav1.OwnerReference{p.owned()},
	}}
	if p.canary.Spec.Service.Headless {
		created.Spec.ClusterIP = corev1.ClusterIPNone
	}
	created.Spec.Type = corev1.ServiceTypeClusterIP
	created.Spec.TrafficDistribution = p.trafficDistribution()
	p.writeService(created, s)
	p.writeMetadata(created, s)
	if err := p.kit.live.Create(ctx, created); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating service %s.%s: %w", s.name, p.canary.Namespace, err)
	}
	return nil
}

// trafficDistribution is that of the Services that the canary makes; nil is that of
// the cluster.
func (p *Pair) trafficDistribution() *string {
	if d := p.canary.Spec.Service.TrafficDistribution; d != "" {
		return &d
	}
	return nil
}

// writeService writes selector and ports. A node port that was given stays.
func (p *Pair) writeService(svc *corev1.Service, s service) {
	switch {
	case s.leads == nil || svc.UID == "" && svc.ResourceVersion == "":
		svc.Spec.Selector = s.selector
	default:
		svc.Spec.Selector = s.leads(svc.Spec.Selector)
	}
	ports := p.ports()
	for i := range ports {
		ports[i].NodePort = nodePort(svc.Spec.Ports, ports[i])
		for _, had := range svc.Spec.Ports {
			if had.Name == ports[i].Name && had.Protocol == ports[i].Protocol {
				ports[i].NodePort = had.NodePort
			}
		}
	}
	if !equality.Semantic.DeepEqual(byPort(ports), byPort(svc.Spec.Ports)) {
		svc.Spec.Ports = ports
	}
}

// writeMetadata replaces labels and annotations, but for those that the canary
// says are not to be managed.
func (p *Pair) writeMetadata(svc *corev1.Service, s service) {
	labels, annotations := map[string]string{p.names.label: s.name}, maps.Clone(handsOff)
	if s.metadata != nil {
		labels = merge(s.metadata.Labels, labels)
		annotations = merge(s.metadata.Annotations, annotations)
	}
	if u := p.canary.Spec.Service.UnmanagedMetadata; u != nil {
		keep(labels, svc.Labels, u.Labels)
		keep(annotations, svc.Annotations, u.Annotations)
	}
	svc.Labels, svc.Annotations = labels, annotations
}

// keep takes over the values that keys have now, and no others.
func keep(wanted, live map[string]string, keys []string) {
	for _, key := range keys {
		if value, ok := live[key]; ok {
			wanted[key] = value
		}
	}
}
