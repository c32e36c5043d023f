// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ensureServices implements [servicesEnsurer]. The Services of the two halves follow the
// revisions.
func (s *statefulSet) ensureServices(ctx context.Context) error {
	if s.live == nil {
		return nil
	}
	_, primary, own := s.scope.canary.ServiceNames()
	spec := &s.scope.canary.Spec.Service
	if err := servicesOf(s.scope, s.seen).ensure(ctx, service{name: own, selector: s.selecting(s.set.Status.UpdateRevision), metadata: spec.Canary}); err != nil {
		return err
	}
	return servicesOf(s.scope, s.seen).ensure(ctx, service{name: primary, selector: s.selecting(s.set.Status.CurrentRevision), metadata: spec.Primary})
}

func (s *statefulSet) selecting(revision string) map[string]string {
	return merge(s.seen.names.own, map[string]string{appsv1.ControllerRevisionHashLabelKey: revision})
}

// ensureApex implements [apexEnsurer]. Users reach all pods, as they do without a
// canary: a Service that is there stays as it is.
func (s *statefulSet) ensureApex(ctx context.Context) error {
	apex, _, _ := s.scope.canary.ServiceNames()
	live := &corev1.Service{}
	err := s.scope.cached.Get(ctx, s.scope.key(apex), live)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading service %s.%s: %w", apex, s.scope.canary.Namespace, err)
	}
	if err == nil && !metav1.IsControlledBy(live, s.scope.canary) {
		return nil
	}
	return servicesOf(s.scope, s.seen).ensure(ctx, service{name: apex, selector: s.seen.names.own, metadata: s.scope.canary.Spec.Service.Apex})
}
