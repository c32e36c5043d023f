// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/internal/partition"
)

// ensureServices implements [servicesEnsurer]. The Services of the two halves follow the
// revisions.
func (s *statefulSet) ensureServices(ctx context.Context) error {
	if s.live == nil {
		return nil
	}
	_, primary, own := s.scope.canary.ServiceNames()
	spec := &s.scope.canary.Spec.Service
	if err := servicesOf(s.scope, s.seen).ensure(ctx,
		service{name: own, selector: s.selecting(s.set.Status.UpdateRevision), metadata: spec.Canary}); err != nil {
		return err
	}
	return servicesOf(s.scope, s.seen).ensure(ctx,
		service{name: primary, selector: s.selecting(s.set.Status.CurrentRevision), metadata: spec.Primary})
}

func (s *statefulSet) selecting(revision string) map[string]string {
	return object.Merge(s.seen.names.own, map[string]string{appsv1.ControllerRevisionHashLabelKey: revision})
}

// checkSelected makes sure that users get no pods but those of the StatefulSet. The
// Services of the halves tell them by their revision; one that users had before is
// their owner's.
func (s *statefulSet) checkSelected(ctx context.Context) error {
	if !s.scope.canary.HasService() || s.seen.Revision == nil {
		return nil
	}
	made, err := s.makesApex(ctx)
	if err != nil || !made {
		return err
	}
	names := naming{own: s.seen.names.own, settled: s.seen.names.own, matching: podLabels(s.live)}
	return podSelection{scope: s.scope, kind: partition.Kind.Kind, names: names, target: s.live}.check(ctx, s.seen.Revision, &s.seen.Target)
}

// makesApex reports whether the Service that users call is the canary's to make.
func (s *statefulSet) makesApex(ctx context.Context) (bool, error) {
	name, _, _ := s.scope.canary.ServiceNames()
	live := &corev1.Service{}
	err := s.scope.cached.Get(ctx, s.scope.key(name), live)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("reading service %s.%s: %w", name, s.scope.canary.Namespace, err)
	}
	return err != nil || metav1.IsControlledBy(live, s.scope.canary), nil
}

// ensureApex implements [apexEnsurer]. Users reach all pods, as they do without a
// canary: a Service that is there stays as it is.
func (s *statefulSet) ensureApex(ctx context.Context) error {
	made, err := s.makesApex(ctx)
	if err != nil || !made {
		return err
	}
	name, _, _ := s.scope.canary.ServiceNames()
	return servicesOf(s.scope, s.seen).ensure(ctx, service{name: name, selector: s.seen.names.own, metadata: s.scope.canary.Spec.Service.Apex})
}
