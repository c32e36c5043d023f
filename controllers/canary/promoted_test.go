// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"testing"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// The condition once said that the target was scaled to zero while it had all users.
func TestThePromotedConditionSaysWhereUsersAreAfterAFailure(t *testing.T) {
	for name, tc := range map[string]struct {
		weight int
		want   string
	}{
		"on the primary": {0, "Canary analysis failed, DaemonSet scaled to zero."},
		"on the canary":  {100, "Canary analysis failed, traffic stays on the canary until the primary is ready."},
	} {
		t.Run(name, func(t *testing.T) {
			c := podinfo()
			c.Spec.TargetRef.Kind, c.Generation = "DaemonSet", 7
			c.Status.Phase, c.Status.CanaryWeight = flaggerv1.CanaryPhaseFailed, tc.weight
			setPromoted(c, time.Unix(0, 0))
			got := apimeta.FindStatusCondition(c.GetConditions(), string(flaggerv1.PromotedType))
			if got == nil || got.Message != tc.want || got.Reason != string(flaggerv1.CanaryPhaseFailed) || got.ObservedGeneration != 7 {
				t.Errorf("got %+v", got)
			}
		})
	}
}
