// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/policy"
	"github.com/sluice-cd/sluice/scan"

	"slices"
)

// inputs are what one run of a policy starts from. Nothing changes them.
type inputs struct {
	// policy has the status that the run before it left.
	policy   *imagev1.ImagePolicy
	compiled *policy.Policy
	repo     *imagev1.ImageRepository
	target   scan.Target
	tags     *scan.Snapshot
	// quarantine is what Pipelines took out of service.
	quarantine quarantine
	now        time.Time
	// work is how much one match of all tags takes, see package pattern.
	work int64
}

func (in *inputs) key() types.NamespacedName {
	return types.NamespacedName{Namespace: in.policy.Namespace, Name: in.policy.Name}
}

// revision tells what was found out about these tags and this spec from what was found
// out about others.
func (in *inputs) revision() string {
	return fmt.Sprintf("%s %s %s %d", in.policy.UID, in.tags.Image(), in.tags.Revision(), in.policy.Generation)
}

// minAge is spec.minAge if it counts, else zero. It does not for a pin: who pins a tag
// has decided when.
func (in *inputs) minAge() time.Duration {
	if in.policy.Spec.MinAge == nil || in.compiled.Pin() != nil {
		return 0
	}
	return max(in.policy.Spec.MinAge.Duration, 0)
}

// isOldEnough reports whether what was first seen at a time has the minimum age.
func (in *inputs) isOldEnough(firstSeen time.Time) bool {
	return !in.now.Before(firstSeen.Add(in.minAge()))
}

// reflectsDigest reports whether the choice is told with its digest: the one that was
// verified, if any was; otherwise spec.digestReflectionPolicy decides.
func (in *inputs) reflectsDigest() bool {
	return in.policy.GetDigestReflectionPolicy() != imagev1.ReflectNever || in.policy.Spec.Verify != nil
}

// latestRef is the last choice, if it was made of the image that is chosen from now.
func (in *inputs) latestRef() *imagev1.ImageRef {
	if ref := in.policy.Status.LatestRef; ref != nil && ref.Name == in.repo.Spec.Image {
		return ref
	}
	return nil
}

// isStatusOfAnotherImage reports whether the last choice, and what was found out for it, is about another image.
func (in *inputs) isStatusOfAnotherImage() bool {
	return in.policy.Status.LatestRef != nil && in.latestRef() == nil
}

// isRequested reports whether somebody asks for a reconcile, and so for a look at the
// registry.
func (in *inputs) isRequested() bool {
	at, ok := meta.ReconcileAnnotationValue(in.policy.Annotations)
	return ok && at != in.policy.Status.LastHandledReconcileAt
}

// interval is that of a digest that is reflected Always, or zero.
func interval(p *imagev1.ImagePolicy) time.Duration {
	if p.Spec.DigestReflectionPolicy == imagev1.ReflectAlways && p.Spec.Interval != nil {
		return p.Spec.Interval.Duration
	}
	return 0
}

// validReady returns the Ready condition of a choice that still counts: it was made for
// the present spec, from a scan of what the repository asks for now. Without this every
// restart would turn every policy to not Ready and back.
func validReady(p *imagev1.ImagePolicy, repo *imagev1.ImageRepository, target scan.Target) (*metav1.Condition, bool) {
	ready := apimeta.FindStatusCondition(p.Status.Conditions, meta.ReadyCondition)
	ok := ready != nil && ready.Status == metav1.ConditionTrue &&
		ready.ObservedGeneration == p.Generation &&
		p.Status.LatestRef != nil && p.Status.LatestRef.Name == repo.Spec.Image &&
		repo.Status.CanonicalImageName == target.Repository.String() &&
		slices.Equal(repo.Status.ObservedExclusionList, repo.GetExclusionList())
	return ready, ok
}
