// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/go-git/go-git/v5/plumbing"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
)

// judge says whether a target runs what its content says, and whether that works.
func (r *run) judge(ctx context.Context, stage *sluicev1.Stage, t target, seen *promotion.TargetSeen) error {
	seen.Ready, seen.Verification = promotion.ReadinessReady, promotion.VerificationPassed
	for _, ref := range t.ready {
		ready, why, err := r.kustomization(ctx, t, ref, seen.Content)
		if err != nil {
			return err
		}
		if ready != promotion.ReadinessReady && (seen.Ready == promotion.ReadinessReady || ready == promotion.ReadinessFailed) {
			seen.Ready, seen.Why = ready, why
		}
	}
	l := landingOf(r.memory.state, stage.Name)
	for _, v := range stage.Verify {
		state, evidence, err := r.canary(ctx, v.Canary, l, seen.Content)
		if err != nil {
			return err
		}
		if state != promotion.VerificationPassed && (seen.Verification == promotion.VerificationPassed || state == promotion.VerificationFailed) {
			seen.Verification, seen.Evidence = state, evidence
		}
	}
	return nil
}

// kustomization says whether a Kustomization runs a content: it is Ready, and what it
// applied last says the same. Which commit that was does not matter; a squash or a revert
// would make it lie.
func (r *run) kustomization(
	ctx context.Context, t target, ref sluicev1.ReadyReference, want promotion.Content,
) (promotion.Readiness, string, error) {
	key := keyOf(r.pipeline, ref.Namespace, ref.Name)
	if r.Access.NoCrossNamespaceRefs && key.Namespace != r.pipeline.Namespace {
		return promotion.ReadinessProgressing, "", refuse("spec.stages.ready: can't access Kustomization '%s', cross-namespace references have been blocked", key)
	}
	var k kustomizev1.Kustomization
	err := r.Client.Get(ctx, key, &k)
	switch {
	case apierrors.IsNotFound(err):
		return promotion.ReadinessProgressing, fmt.Sprintf("Kustomization %s does not exist", key), nil
	case err != nil:
		return promotion.ReadinessProgressing, "", fmt.Errorf("reading Kustomization %s: %w", key, err)
	}
	condition := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition)
	switch {
	case k.Spec.Suspend:
		return promotion.ReadinessProgressing, fmt.Sprintf("Kustomization %s is suspended", key), nil
	case condition == nil || k.Status.ObservedGeneration != k.Generation && condition.Status == metav1.ConditionTrue:
		return promotion.ReadinessProgressing, fmt.Sprintf("Kustomization %s has not been reconciled yet", key), nil
	case condition.Status == metav1.ConditionFalse && failedReasons[condition.Reason] && r.carries(ctx, t, k.Status.LastAttemptedRevision, want):
		return promotion.ReadinessFailed, fmt.Sprintf("Kustomization %s: %s", key, condition.Message), nil
	case condition.Status != metav1.ConditionTrue:
		return promotion.ReadinessProgressing, fmt.Sprintf("Kustomization %s is not Ready: %s", key, condition.Message), nil
	case !r.carries(ctx, t, k.Status.LastAppliedRevision, want):
		return promotion.ReadinessProgressing, fmt.Sprintf("Kustomization %s has %s, which does not have this version", key, shortRevision(k.Status.LastAppliedRevision)), nil
	}
	return promotion.ReadinessReady, "", nil
}

// failedReasons are those of a Kustomization whose content is at fault. Others, such as an
// API server that cannot be reached, may pass; what lasts fails when its time is over.
var failedReasons = map[string]bool{meta.HealthCheckFailedReason: true, meta.BuildFailedReason: true}

// carries reports whether a revision says what is wanted below the path of a target. One
// that cannot be read does not.
func (r *run) carries(ctx context.Context, t target, revision string, want promotion.Content) bool {
	_, hash, ok := strings.Cut(revision, "@sha1:")
	if !ok || !plumbing.IsHash(hash) {
		return false
	}
	commit := plumbing.NewHash(hash)
	if r.repo.mirror.Fetch(ctx, hash, commit) != nil {
		return false
	}
	files, err := r.repo.mirror.Tree(commit)
	if err != nil {
		return false
	}
	has, err := r.content(ctx, files, t.path)
	return err == nil && has.Same(want)
}

func shortRevision(revision string) string {
	branch, hash, _ := strings.Cut(revision, "@sha1:")
	return branch + "@" + hash[:min(len(hash), 8)]
}

// canary says whether a Canary released a content: its target has the images, and it came
// to a verdict after they landed.
func (r *run) canary(
	ctx context.Context, ref *sluicev1.CanaryVerification, l promotion.Landing, want promotion.Content,
) (promotion.Verification, string, error) {
	key := keyOf(r.pipeline, ref.Namespace, ref.Name)
	if r.Access.NoCrossNamespaceRefs && key.Namespace != r.pipeline.Namespace {
		return promotion.VerificationPending, "", refuse("spec.stages.verify: can't access Canary '%s', cross-namespace references have been blocked", key)
	}
	var c flaggerv1.Canary
	err := r.Client.Get(ctx, key, &c)
	switch {
	case apierrors.IsNotFound(err):
		return promotion.VerificationPending, fmt.Sprintf("Canary %s does not exist", key), nil
	case err != nil:
		return promotion.VerificationPending, "", fmt.Errorf("reading Canary %s: %w", key, err)
	}
	has, err := r.targetHas(ctx, &c, want)
	switch {
	case err != nil:
		return promotion.VerificationPending, "", err
	case !has:
		return promotion.VerificationPending, fmt.Sprintf("the target of Canary %s does not have this version yet", key), nil
	case c.Status.LastTransitionTime.Time.Before(l.At.Add(-clockSkew)):
		return promotion.VerificationPending, fmt.Sprintf("Canary %s has not seen this version yet", key), nil
	}
	switch c.Status.Phase {
	case flaggerv1.CanaryPhaseSucceeded, flaggerv1.CanaryPhaseInitialized:
		return promotion.VerificationPassed, fmt.Sprintf("Canary %s %s", key, strings.ToLower(string(c.Status.Phase))), nil
	case flaggerv1.CanaryPhaseFailed:
		return promotion.VerificationFailed, fmt.Sprintf("Canary %s failed: %s", key, messageOf(&c)), nil
	}
	return promotion.VerificationPending, fmt.Sprintf("Canary %s is %s at weight %d", key, c.Status.Phase, c.Status.CanaryWeight), nil
}

func messageOf(c *flaggerv1.Canary) string {
	for _, condition := range c.GetConditions() {
		if condition.Type == string(flaggerv1.PromotedType) {
			return condition.Message
		}
	}
	return "it was rolled back"
}

// targetHas reports whether the pods of a Canary's target run the images of a content.
func (r *run) targetHas(ctx context.Context, c *flaggerv1.Canary, want promotion.Content) (bool, error) {
	ref := c.Spec.TargetRef
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return false, nil
	}
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(gv.WithKind(ref.Kind))
	err = r.Live.Get(ctx, keyOfTarget(c), object)
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("reading %s %s: %w", ref.Kind, keyOfTarget(c), err)
	}
	content, _, _ := unstructured.NestedMap(object.Object, "spec", "template")
	var template corev1.PodTemplateSpec
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, &template); err != nil {
		return false, nil
	}
	return slices.ContainsFunc(slices.Concat(template.Spec.Containers, template.Spec.InitContainers), func(c corev1.Container) bool {
		return slices.ContainsFunc(want.Versions, func(v sluicev1.Version) bool { return runs(c.Image, v) })
	}), nil
}

// runs reports whether an image is of a version.
func runs(image string, v sluicev1.Version) bool {
	name, digest, _ := strings.Cut(image, "@")
	return (v.Image == "" || strings.HasPrefix(name, v.Image)) &&
		(v.Tag != "" && strings.HasSuffix(name, ":"+v.Tag) || v.Digest != "" && digest == v.Digest)
}
