// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/promotion/cluster"
)

// canaries says what Canaries prove about a content.
type canaries struct{ objects *objects }

// verification says whether a Canary released a content: its target has the images, and it
// came to a verdict after they landed.
func (cs canaries) verification(
	ctx context.Context, o object, l promotion.Landing, want promotion.Content,
) (promotion.Verification, string, error) {
	var c flaggerv1.Canary
	answer, err := cs.objects.read(ctx, o, &c)
	switch {
	case answer.Missing:
		return promotion.VerificationMissing, answer.Why, err
	case err != nil || answer.Why != "":
		return promotion.VerificationUnknown, answer.Why, err
	}
	has, why, err := cs.targetHas(ctx, o, &c, want)
	switch {
	case err != nil:
		return promotion.VerificationPending, "", err
	case why != "":
		return promotion.VerificationPending, why, nil
	case !has:
		return promotion.VerificationPending, fmt.Sprintf("the target of %s does not have this version yet", o), nil
	}
	if state, evidence, ok, err := cs.byPrimary(ctx, o, &c, want); ok || err != nil {
		return state, evidence, err
	}
	if c.Status.LastTransitionTime.Time.Before(l.At.Add(-clockSkew)) {
		return promotion.VerificationPending, fmt.Sprintf("%s has not seen this version yet", o), nil
	}
	switch c.Status.Phase {
	case flaggerv1.CanaryPhaseSucceeded, flaggerv1.CanaryPhaseInitialized:
		return promotion.VerificationPassed, fmt.Sprintf("%s %s", o, strings.ToLower(string(c.Status.Phase))), nil
	case flaggerv1.CanaryPhaseFailed:
		return promotion.VerificationFailed, fmt.Sprintf("%s failed: %s", o, messageOf(&c)), nil
	}
	return promotion.VerificationPending, fmt.Sprintf("%s is %s at weight %d", o, c.Status.Phase, c.Status.CanaryWeight), nil
}

// readiness is what a Canary says that is not a verification: it released a content,
// whenever that was.
func (cs canaries) readiness(ctx context.Context, o object, want promotion.Content) (objectReadiness, error) {
	state, why, err := cs.verification(ctx, o, promotion.Landing{}, want)
	if err != nil {
		return objectReadiness{}, err
	}
	is := map[promotion.Verification]promotion.Readiness{
		promotion.VerificationPassed: promotion.ReadinessReady, promotion.VerificationFailed: promotion.ReadinessFailed,
		promotion.VerificationUnknown: promotion.ReadinessUnknown, promotion.VerificationPending: promotion.ReadinessProgressing,
		promotion.VerificationMissing: promotion.ReadinessMissing,
	}
	return objectReadiness{state: is[state], why: why}, nil
}

// messageOf says why a Canary failed: what its last check found where it keeps that, as ours
// do, or else what its condition says, without naming the Canary again.
func messageOf(c *flaggerv1.Canary) string {
	if found := lastFailures(c); found != "" {
		return found
	}
	for _, condition := range c.GetConditions() {
		if condition.Type == string(flaggerv1.PromotedType) {
			return strings.TrimPrefix(condition.Message, "Canary analysis failed, ")
		}
	}
	return "it was rolled back"
}

// lastFailures are why the last release of a Canary failed: the sentence that decided, with
// what else its last check measured that it should not have, if that check decided; empty if
// nothing is known.
func lastFailures(c *flaggerv1.Canary) string {
	if len(c.Status.History) == 0 {
		return ""
	}
	last := c.Status.History[0]
	var found []string
	if n := len(last.Steps); n > 0 {
		for _, m := range last.Steps[n-1].Measured {
			if m.Failure != "" {
				found = append(found, m.Failure)
			}
		}
	}
	if last.Reason != "" && !slices.Contains(found, last.Reason) {
		found = []string{last.Reason} // samples between checks, a person, pods that do not start
	}
	for i := range found {
		found[i] = withoutHalt(found[i])
	}
	return strings.Join(found, "; ")
}

// withoutHalt is what Flagger's words about a failed check say was found: `Halt app.apps
// advancement success rate 91.20% < 99%`.
func withoutHalt(failure string) string {
	if rest, ok := strings.CutPrefix(failure, "Halt "); ok {
		if _, what, ok := strings.Cut(rest, "advancement "); ok {
			return what
		}
	}
	return failure
}

// targetHas reports whether the pods of a Canary's target run the images of a content, or
// why nobody can tell.
func (cs canaries) targetHas(
	ctx context.Context, canary object, c *flaggerv1.Canary, want promotion.Content,
) (has bool, why string, err error) {
	target, answer, err := cs.workload(ctx, canary, c, c.Spec.TargetRef.Name)
	if err != nil || target == nil {
		return false, answer.Why, err
	}
	template, ok := podTemplate(target)
	return ok && runsAny(template, want), "", nil
}

// workload reads a workload of the kind and in the namespace of a Canary's target; nil if
// there is none, or if nobody can tell.
func (cs canaries) workload(
	ctx context.Context, canary object, c *flaggerv1.Canary, name string,
) (*unstructured.Unstructured, cluster.Answer, error) {
	gv, err := schema.ParseGroupVersion(c.Spec.TargetRef.APIVersion)
	if err != nil {
		return nil, cluster.Answer{}, nil // the Canary says so
	}
	target := canary.inSameCluster(gv.WithKind(c.Spec.TargetRef.Kind), types.NamespacedName{Namespace: c.Namespace, Name: name})
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(target.GroupVersionKind)
	if canary.kubeConfigRef != nil {
		answer, err := cs.objects.read(ctx, target, u)
		if err != nil || answer.Why != "" {
			return nil, answer, err
		}
	} else if err := cs.objects.live.Get(ctx, target.key(), u); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, cluster.Answer{}, nil
		}
		return nil, cluster.Answer{}, fmt.Errorf("reading %s: %w", target, err)
	}
	return u, cluster.Answer{}, nil
}
