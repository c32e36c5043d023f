// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"fmt"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/promotion"
)

// byPrimary says what a Canary that is at rest says about a content, by what its primary
// runs; ok is false where that says nothing. The phase alone may be about the version
// before: a Canary takes a moment to see what was applied, and one that failed stays so
// when its target is given back what users have.
func (cs canaries) byPrimary(
	ctx context.Context, o object, c *flaggerv1.Canary, want promotion.Content,
) (state promotion.Verification, evidence string, ok bool, err error) {
	switch c.Status.Phase {
	case flaggerv1.CanaryPhaseSucceeded, flaggerv1.CanaryPhaseInitialized, flaggerv1.CanaryPhaseFailed:
	default:
		return promotion.VerificationPending, "", false, nil
	}
	primary, answer, err := cs.workload(ctx, o, c, c.Spec.TargetRef.Name+"-primary")
	switch {
	case err != nil:
		return promotion.VerificationPending, "", false, err
	case answer.Unknown:
		return promotion.VerificationUnknown, answer.Why, true, nil
	case primary == nil: // as with the providers that release in place
		return promotion.VerificationPending, "", false, nil
	}
	template, readable := podTemplate(primary)
	switch {
	case readable && runsAny(template, want):
		return promotion.VerificationPassed, fmt.Sprintf("the users of %s have this version", o), true, nil
	case c.Status.Phase == flaggerv1.CanaryPhaseFailed:
		return promotion.VerificationPending, "", false, nil
	}
	return promotion.VerificationPending, fmt.Sprintf("%s has not seen this version yet", o), true, nil
}
