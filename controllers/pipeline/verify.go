// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"context"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/promotion/cluster"
)

// verification says whether what has to prove the content of a target did.
func (r *run) verification(ctx context.Context, stage *sluicev1.Stage, t target, seen *promotion.TargetSeen) error {
	l := landingOf(r.memory.state, stage.Name)
	for _, v := range stage.Verify {
		state, evidence, err := r.canaryVerification(ctx, t, v.Canary, l, seen.Content)
		if err != nil {
			return err
		}
		if state != promotion.VerificationPassed && (seen.Verification == promotion.VerificationPassed || state == promotion.VerificationFailed) {
			seen.Verification, seen.Evidence = state, evidence
		}
	}
	return nil
}

func (r *run) canaryVerification(
	ctx context.Context, t target, ref *sluicev1.CanaryVerification, l promotion.Landing, want promotion.Content,
) (promotion.Verification, string, error) {
	o := object{cluster.Object{
		GroupVersionKind: flaggerv1.GroupVersion.WithKind(flaggerv1.CanaryKind), NamespacedName: keyOf(r.pipeline, ref.Namespace, ref.Name),
	}, cmp.Or(ref.KubeConfig, t.kubeConfig)}
	if err := r.mayLookAt(o); err != nil {
		return promotion.VerificationPending, "", err
	}
	return r.canary(ctx, o, l, want)
}
