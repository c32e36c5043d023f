// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/test/harness"
)

// patience is how long anything may take before a chain counts as broken.
const patience = harness.Patience

// Outcome is how a release ended.
type Outcome string

// The outcomes.
const (
	Promoted   Outcome = "promoted"
	RolledBack Outcome = "rolled back"
)

// Ready waits until the first version is the primary.
func (c *Chain) Ready(ctx context.Context) error { return c.initialized(ctx) }

// Verdict waits until the release of a tag has ended, however it did.
func (c *Chain) Verdict(ctx context.Context, tag string) (Outcome, error) {
	var outcome Outcome
	_, err := harness.Eventually(ctx, "the verdict on "+tag, patience, func(ctx context.Context) (bool, string) {
		canary, err := c.canaryIn(ctx, c.Namespace)
		if err != nil {
			return false, err.Error()
		}
		target := &appsv1.Deployment{}
		if err := c.Client.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: App}, target); err != nil {
			return false, err.Error()
		}
		if !runs(target, tag) {
			return false, fmt.Sprintf("%s is not applied yet, the canary is %s", tag, canary.Status.Phase)
		}
		if canary.Status.LastAppliedSpec == c.judged {
			return false, fmt.Sprintf("the canary has not taken up %s, it is %s", tag, canary.Status.Phase)
		}
		primary, err := c.Primary(ctx)
		if err != nil {
			return false, err.Error()
		}
		switch {
		case canary.Status.Phase == flaggerv1.CanaryPhaseSucceeded && runs(primary, tag):
			outcome = Promoted
		case canary.Status.Phase == flaggerv1.CanaryPhaseFailed && !runs(primary, tag) && stopped(target):
			outcome = RolledBack
		}
		return outcome != "", seen(canary)
	})
	return outcome, err
}

// runs reports whether pods are of a tag, whose digest may follow it.
func runs(d *appsv1.Deployment, tag string) bool {
	image, _, _ := strings.Cut(d.Spec.Template.Spec.Containers[0].Image, "@")
	return strings.HasSuffix(image, ":"+tag)
}

func stopped(d *appsv1.Deployment) bool { return d.Spec.Replicas != nil && *d.Spec.Replicas == 0 }

// seen describes a canary for the error of a timeout.
func seen(canary *flaggerv1.Canary) string {
	text := fmt.Sprintf("the canary is %q at weight %d", canary.Status.Phase, canary.Status.CanaryWeight)
	for _, condition := range canary.Status.Conditions {
		text += fmt.Sprintf("; %s=%s %s: %s", condition.Type, condition.Status, condition.Reason, condition.Message)
	}
	return text
}
