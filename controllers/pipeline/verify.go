// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/promotion/cluster"
)

// verificationObserver says whether what has to prove the content of a target did. A Canary runs by
// itself; Jobs are begun when the decision says so, and metrics are looked at here.
type verificationObserver struct {
	objects  *objects
	canaries canaries
	jobs     jobs
	metrics  metrics
	state    promotion.State
}

// precedence orders results of verifications: the highest is reported, and of equal ones the first.
var precedence = map[promotion.Verification]int{
	promotion.VerificationPassed: 0, promotion.VerificationPending: 1, promotion.VerificationUnknown: 1, promotion.VerificationMissing: 2,
	promotion.VerificationFailed: 3,
}

// verify says whether all that has to prove the content of a target did, and what it says.
func (v verificationObserver) verify(ctx context.Context, stage *sluicev1.Stage, t target, seen *promotion.TargetObservation) error {
	seen.Verification = promotion.VerificationPassed
	l := landingOf(v.state, stage.Name)
	for i, by := range stage.Verify {
		var state promotion.Verification
		var evidence string
		var err error
		if by.Canary != nil {
			state, evidence, err = v.byCanary(ctx, t, i, l, seen.Content)
		} else {
			state, evidence, err = v.ofLanding(ctx,
				verificationTarget{stage: stage, target: t.name, index: i, landed: l.At, since: l.Waves[t.wave]}, l, *seen)
		}
		if err != nil {
			return err
		}
		if by.Name != "" && evidence != "" {
			evidence = by.Name + ": " + evidence
		}
		if state == promotion.VerificationPassed && seen.Verification == promotion.VerificationPassed && evidence != "" {
			seen.Evidence = strings.Join(slices.DeleteFunc([]string{seen.Evidence, evidence}, func(s string) bool { return s == "" }), "; ")
		}
		if precedence[state] > precedence[seen.Verification] {
			seen.Verification, seen.Evidence = state, evidence
		}
	}
	return nil
}

// ofLanding is what came of the Job or of the metrics of a landing. They say nothing of
// other content, nor once there is a verdict: Jobs go when their time is over.
func (v verificationObserver) ofLanding(
	ctx context.Context, one verificationTarget, l promotion.Landing, seen promotion.TargetObservation,
) (promotion.Verification, string, error) {
	b, known := v.state.Bundle(l.Bundle)
	byMetrics := one.stage.Verify[one.index].Metrics != nil
	if byMetrics {
		if answer, err := v.objects.templates(ctx, one); err != nil || answer.Missing {
			return promotion.VerificationMissing, answer.Why, err
		}
	}
	switch {
	case (!known || !seen.Content.Is(b)) && byMetrics:
		return promotion.VerificationPending, "its metrics are about to be looked at", nil
	case !known || !seen.Content.Is(b):
		return promotion.VerificationPending, "its Job is about to be made", nil
	case l.Verdict == promotion.VerdictVerified:
		return promotion.VerificationPassed, "", nil
	case l.Verdict != "":
		return promotion.VerificationPending, l.Reason, nil
	}
	one.bundle = b
	if byMetrics {
		return v.metrics.verification(ctx, one, seen.Ready)
	}
	return v.jobs.verification(ctx, v.objects, one)
}

func (v verificationObserver) byCanary(
	ctx context.Context, t target, index int, l promotion.Landing, want promotion.Content,
) (promotion.Verification, string, error) {
	ref, field := t.verify[index].Canary, fmt.Sprintf("spec.stages[%s].verify[%d].canary", t.stage, index)
	o := t.object(cluster.Object{
		GroupVersionKind: flaggerv1.GroupVersion.WithKind(flaggerv1.CanaryKind),
		NamespacedName:   keyOf(v.objects.pipeline, ref.Namespace, ref.Name),
	}, ref.KubeConfig, field)
	if err := v.objects.allowed(o); err != nil {
		return promotion.VerificationPending, "", err
	}
	return v.canaries.verification(ctx, o, l, want)
}
