// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
)

// service is one of the three Services of a canary.
type service struct {
	name     string
	selector map[string]string
	metadata *flaggerv1.CustomMetadata
	// reselect says what to make of a selector that differs; nil replaces it.
	reselect func(now map[string]string) map[string]string
}

// selectorFor is what a Service is to select that selects something now.
func (s service) selectorFor(now map[string]string) map[string]string {
	if s.reselect == nil {
		return s.selector
	}
	return s.reselect(now)
}

// services writes the Services of a canary whose copies have pods.
type services struct {
	scope *scope
	names naming
	ports ports
}

func servicesOf(s *scope, seen Copies) services {
	return services{s, seen.names, ports{&s.canary.Spec.Service, seen.containers}}
}

// ensure makes a Service what it should be. One that others made keeps
// what it does not share with the others.
func (w services) ensure(ctx context.Context, s service) error {
	if w.names.label == "" {
		return nil // neither copy exists: there is nothing to select
	}
	live := &corev1.Service{}
	err := w.scope.cached.Get(ctx, w.scope.key(s.name), live)
	if apierrors.IsNotFound(err) {
		return w.create(ctx, s)
	}
	if err != nil {
		return fmt.Errorf("reading service %s.%s: %w", s.name, w.scope.canary.Namespace, err)
	}
	if err := w.scope.checkOwner(live, "spec.service.name"); err != nil {
		return err
	}
	wanted := live.DeepCopy()
	if !metav1.IsControlledBy(live, w.scope.canary) {
		if apex, _, _ := w.scope.canary.ServiceNames(); s.name == apex {
			return adoption{w}.adopt(ctx, live, s)
		}
		if err := w.reclaim(wanted); err != nil {
			return err
		}
	}
	w.writeSpec(wanted, s)
	w.writeMetadata(wanted, s)
	wanted.Spec.TrafficDistribution = w.trafficDistribution()
	if equality.Semantic.DeepEqual(live, wanted) {
		return nil
	}
	if err := w.scope.live.Patch(ctx, wanted, client.MergeFrom(live)); err != nil {
		return fmt.Errorf("writing service %s.%s: %w", s.name, w.scope.canary.Namespace, err)
	}
	return nil
}

func (w services) create(ctx context.Context, s service) error {
	created := &corev1.Service{ObjectMeta: metav1.ObjectMeta{
		Name: s.name, Namespace: w.scope.canary.Namespace, OwnerReferences: []metav1.OwnerReference{w.scope.ownerRef()},
	}}
	if w.scope.canary.Spec.Service.Headless {
		created.Spec.ClusterIP = corev1.ClusterIPNone
	}
	created.Spec.Type = corev1.ServiceTypeClusterIP
	created.Spec.TrafficDistribution = w.trafficDistribution()
	w.writeSpec(created, s)
	w.writeMetadata(created, s)
	if err := w.scope.live.Create(ctx, created); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating service %s.%s: %w", s.name, w.scope.canary.Namespace, err)
	}
	return nil
}

// trafficDistribution is that of the Services that the canary makes; nil is that of
// the cluster.
func (w services) trafficDistribution() *string {
	if d := w.scope.canary.Spec.Service.TrafficDistribution; d != "" {
		return &d
	}
	return nil
}

// writeSpec writes selector and ports. A node port that was given stays.
func (w services) writeSpec(svc *corev1.Service, s service) {
	switch {
	case svc.UID == "" && svc.ResourceVersion == "":
		svc.Spec.Selector = s.selector
	default:
		svc.Spec.Selector = s.selectorFor(svc.Spec.Selector)
	}
	ports := w.ports.servicePorts()
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
func (w services) writeMetadata(svc *corev1.Service, s service) {
	labels, annotations := map[string]string{w.names.label: s.name}, object.FluxDisabled()
	if s.metadata != nil {
		labels = object.Merge(s.metadata.Labels, labels)
		annotations = object.Merge(s.metadata.Annotations, annotations)
	}
	if u := w.scope.canary.Spec.Service.UnmanagedMetadata; u != nil {
		keepValues(labels, svc.Labels, u.Labels)
		keepValues(annotations, svc.Annotations, u.Annotations)
	}
	svc.Labels, svc.Annotations = labels, annotations
}

// keepValues takes over the values that keys have now, and no others.
func keepValues(wanted, live map[string]string, keys []string) {
	for _, key := range keys {
		if value, ok := live[key]; ok {
			wanted[key] = value
		}
	}
}

// reclaim takes back one of the canary's own Services that has lost its owner.
func (w services) reclaim(svc *corev1.Service) error {
	isCopy := func() bool {
		return svc.Labels[w.names.label] == svc.Name && within(object.FluxDisabled(), svc.Annotations)
	}
	if err := w.scope.checkPlace(svc, isCopy); err != nil {
		return refusing("spec.service.name", err)
	}
	w.scope.claim(svc)
	return nil
}
