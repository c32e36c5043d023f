// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"fmt"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/promotion"
)

// byPrimary verifies a content by what the primary of a Canary at rest runs; ok is false where
// that says nothing. The phase of the Canary is not enough: for a moment after an apply it
// is still about the version before, and Failed stays when the target is set back to what
// users have.
func (cs canaries) byPrimary(
	ctx context.Context, o object, c *flaggerv1.Canary, want promotion.Content,
) (state promotion.Verification, evidence string, ok bool, err error) {
	switch c.Status.Phase {
	case flaggerv1.CanaryPhaseSucceeded, flaggerv1.CanaryPhaseInitialized, flaggerv1.CanaryPhaseFailed:
	default:
		return promotion.VerificationPending, "", false, nil
	}
	primary, answer, err := cs.workload(ctx, o, c, flaggerv1.PrimaryName(c.Spec.TargetRef.Name))
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
