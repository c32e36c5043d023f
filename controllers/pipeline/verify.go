// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"context"
	"slices"
	"strings"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/promotion/cluster"
)

// verification says whether what has to prove the content of a target did. A Canary
// runs by itself; Jobs are begun by [run.startJobs], and metrics are looked at here.
func (r *run) verification(ctx context.Context, stage *sluicev1.Stage, t target, seen *promotion.TargetSeen) error {
	l := landingOf(r.memory.kept.state, stage.Name)
	for i, v := range stage.Verify {
		var state promotion.Verification
		var evidence string
		var err error
		if v.Canary != nil {
			state, evidence, err = r.canaryVerification(ctx, t, v.Canary, l, seen.Content)
		} else {
			state, evidence, err = r.ofLanding(ctx, verifying{stage: stage, target: t.name, index: i, landed: l.At, since: l.Waves[t.wave]}, l, *seen)
		}
		if err != nil {
			return err
		}
		if v.Name != "" && evidence != "" {
			evidence = v.Name + ": " + evidence
		}
		if state == promotion.VerificationPassed && seen.Verification == promotion.VerificationPassed && evidence != "" {
			seen.Evidence = strings.Join(slices.DeleteFunc([]string{seen.Evidence, evidence}, func(s string) bool { return s == "" }), "; ")
		}
		if state != promotion.VerificationPassed && (seen.Verification == promotion.VerificationPassed || state == promotion.VerificationFailed) {
			seen.Verification, seen.Evidence = state, evidence
		}
	}
	return nil
}

// ofLanding is what came of the Job or of the metrics of a landing. They say nothing of
// other content, nor once there is a verdict: Jobs go when their time is over.
func (r *run) ofLanding(ctx context.Context, v verifying, l promotion.Landing, seen promotion.TargetSeen) (promotion.Verification, string, error) {
	b, known := r.memory.kept.state.Bundle(l.Bundle)
	metrics := v.stage.Verify[v.index].Metrics != nil
	switch {
	case (!known || !seen.Content.Is(b)) && metrics:
		return promotion.VerificationPending, "its metrics are about to be looked at", nil
	case !known || !seen.Content.Is(b):
		return promotion.VerificationPending, "its Job is about to be made", nil
	case l.Verdict == promotion.VerdictVerified:
		return promotion.VerificationPassed, "", nil
	case l.Verdict != "":
		return promotion.VerificationPending, l.Reason, nil
	}
	v.bundle = b
	if metrics {
		return r.metricsVerification(ctx, v, seen.Ready)
	}
	return r.jobVerification(ctx, v)
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
