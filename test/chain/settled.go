// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"fmt"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/harness"

	"github.com/fluxcd/pkg/apis/meta"
)

// Running is the image of the primary of a stage. It fails if Git says another one.
func (c *Promotion) Running(ctx context.Context, stage string) (string, error) {
	primary, err := c.Primary(ctx, stage)
	if err != nil {
		return "", err
	}
	runs := primary.Spec.Template.Spec.Containers[0].Image
	written, err := c.Written(ctx, stage)
	switch {
	case err != nil:
		return "", err
	case written != runs:
		return "", fmt.Errorf("the primary of %s runs %s, and Git says %q", stage, runs, written)
	}
	return runs, nil
}

// Settled looks again at everything after a bad release, and demands that nothing goes
// after it any more: its digest is in quarantine, and neither Git nor a stage's wishes
// change when the policy and the pipeline are reconciled again, nor does the policy choose
// it.
func (c *Promotion) Settled(ctx context.Context, bad string) error {
	p, err := c.Pipeline(ctx)
	if err != nil {
		return err
	}
	if q := Quarantine(p, bad); q == nil || !strings.HasPrefix(q.Bundle.Versions[0].Digest, "sha256:") {
		return fmt.Errorf("the digest of %s is not in quarantine: %+v", bad, p.Status.Quarantined)
	}
	before, err := c.Repo.Head(ctx)
	if err != nil {
		return err
	}
	if err := c.passesOver(ctx, bad); err != nil {
		return err
	}
	if err := c.again(ctx, p); err != nil {
		return err
	}
	if err := c.until(ctx, "the end of another look", func(now *sluicev1.Pipeline) bool {
		p = now
		return p.Status.LastHandledReconcileAt == p.Annotations[meta.ReconcileRequestAnnotation]
	}); err != nil {
		return err
	}
	for _, stage := range p.Status.Stages {
		if stage.Wants != nil && has(*stage.Wants, bad) {
			return fmt.Errorf("%s wants %s, which is in quarantine", stage.Name, bad)
		}
	}
	if after, err := c.Repo.Head(ctx); err != nil || after != before {
		return fmt.Errorf("another look at %s made commit %s: %w", bad, after, err)
	}
	return nil
}

// passesOver has the policy look again, and demands that it does not choose a tag.
func (c *Promotion) passesOver(ctx context.Context, bad string) error {
	policy, err := c.Policy(ctx)
	if err != nil {
		return err
	}
	if err := c.again(ctx, policy); err != nil {
		return err
	}
	var chosen string
	if _, err := harness.Eventually(ctx, "another look of the policy", c.patience, func(ctx context.Context) (bool, string) {
		policy, err := c.Policy(ctx)
		if err != nil {
			return false, err.Error()
		}
		if chosen = ""; policy.Status.LatestRef != nil {
			chosen = policy.Status.LatestRef.Tag
		}
		return policy.Status.LastHandledReconcileAt == policy.Annotations[meta.ReconcileRequestAnnotation], "it chose " + chosen
	}); err != nil {
		return err
	}
	if chosen == bad || chosen == "" {
		return fmt.Errorf("the policy chooses %q while %s is in quarantine", chosen, bad)
	}
	return nil
}

// again asks for a reconcile.
func (c *Promotion) again(ctx context.Context, object client.Object) error {
	_, err := c.RequestReconcile(ctx, object)
	return err
}
