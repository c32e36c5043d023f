// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/utils/ptr"
)

// TestATargetThatStillStopsIsNotStarted: its status would have it ready with the
// pods that are going, and users would be sent there.
func TestATargetThatStillStopsIsNotStarted(t *testing.T) {
	target := podinfo("podinfo:1")
	target.Spec.Replicas = ptr.To(int32(0))
	target.Generation = 2
	target.Status = appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 3, UpdatedReplicas: 3, AvailableReplicas: 3}
	b := newFixture(t, append(targetAndConfigs("podinfo:1")[1:], target)...)
	pods := func() int32 {
		live := &appsv1.Deployment{}
		b.get("podinfo", live)
		return *live.Spec.Replicas
	}
	b.must(b.observe().StartTarget(context.Background()))
	if why, err := b.observe().RevertTarget(context.Background()); err != nil || why != "scaling down" || pods() != 0 {
		t.Errorf("reverted: %q, %v; %d pods", why, err, pods())
	}

	live := &appsv1.Deployment{}
	b.get("podinfo", live)
	live.Status.Replicas, live.Status.UpdatedReplicas, live.Status.AvailableReplicas = 0, 0, 0
	b.must(b.c.Status().Update(context.Background(), live))
	b.must(b.observe().StartTarget(context.Background()))
	if pods() != 1 {
		t.Errorf("started with %d pods", pods())
	}
}
