package workload

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ensureServices implements [form]. The Services of the two halves follow the
// revisions.
func (s *stateful) ensureServices(ctx context.Context) error {
	if s.live == nil {
		return nil
	}
	_, primary, own := s.canary.ServiceNames()
	spec := &s.canary.Spec.Service
	if err := s.ensureService(ctx, service{name: own, selector: s.selecting(s.set.Status.UpdateRevision), metadata: spec.Canary}); err != nil {
		return err
	}
	return s.ensureService(ctx, service{name: primary, selector: s.selecting(s.set.Status.CurrentRevision), metadata: spec.Primary})
}

func (s *stateful) selecting(revision string) map[string]string {
	return merge(s.names.own, map[string]string{appsv1.ControllerRevisionHashLabelKey: revision})
}

// ensureApex implements [form]. Users reach all pods, as they do without a
// canary: a Service that is there stays as it is.
func (s *stateful) ensureApex(ctx context.Context) error {
	apex, _, _ := s.canary.ServiceNames()
	live := &corev1.Service{}
	err := s.kit.cached.Get(ctx, s.key(apex), live)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading service %s.%s: %w", apex, s.canary.Namespace, err)
	}
	if err == nil && !metav1.IsControlledBy(live, s.canary) {
		return nil
	}
	return s.ensureService(ctx, service{name: apex, selector: s.names.own, metadata: s.canary.Spec.Service.Apex})
}

func (*stateful) revertApex(context.Context) error { return nil }
