// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"

	"github.com/fluxcd/pkg/apis/meta"

	"github.com/sluice-cd/sluice/internal/reconciler"
)

// interrupted is the result of a run that was interrupted. A choice that the policy's
// present spec allows counts meanwhile, unless somebody waits for what is not done:
// then it is Progressing.
func interrupted(in *inputs, out *searchResult, requested bool) reconciler.Result {
	ready, ok := validReady(in.policy, in.repo, in.target)
	valid := ok && stillQualifies(in, out)
	if out.progress == outOfLookUps || out.progress == awaitingRegistry && !valid {
		in.policy.Status.Decision = evidence(in, out)
	}
	if valid && (out.progress == outOfLookUps || !requested) {
		return reconciler.Result{Reason: ready.Reason, Message: ready.Message, After: out.nextRun(in)}
	}
	result := reconciler.Result{Progressing: true, Reason: meta.ProgressingReason, After: out.nextRun(in)}
	switch out.progress {
	case awaitingMatch:
		result.Message = fmt.Sprintf("looking at the %d tags of %s", in.tags.Len(), in.repo.Spec.Image)
	case awaitingRegistry:
		result.Message = fmt.Sprintf("waiting for %s to answer", in.target.Repository.RegistryStr())
	default:
		result.Message = fmt.Sprintf("looking at the candidates of %s: %d were dropped, %d are left",
			in.repo.Spec.Image, len(out.checked), out.unchecked())
	}
	return result
}

// record writes the choice into the status, and tells of a new one with the
// reasons for it.
func record(in *inputs, out *searchResult) reconciler.Result {
	status := &in.policy.Status
	why, ref := explain(in, out), imagev1.ImageRef{Name: in.repo.Spec.Image, Tag: out.chosen.tag}
	if in.reflectsDigest() {
		ref.Digest = out.chosen.digest
	}
	changed := status.LatestRef == nil || *status.LatestRef != ref
	if changed {
		status.ObservedPreviousRef, status.LatestRef = status.LatestRef, &ref
		status.LatestRefTime = &metav1.Time{Time: in.now}
	}
	result := reconciler.Result{Reason: meta.SucceededReason, Message: message(status), After: out.nextRun(in)}
	if changed {
		event := reconciler.Event{
			Type: corev1.EventTypeNormal, Reason: meta.SucceededReason, Message: result.Message + "; " + why,
			Metadata: map[string]string{imagev1.PolicyAnnotation: in.policy.Name, imagev1.NewAnnotation: ref.String()},
		}
		if previous := status.ObservedPreviousRef; previous != nil {
			event.Metadata[imagev1.OldAnnotation] = previous.String()
		}
		result.Events = []reconciler.Event{event}
	}
	return result
}

// message is the sentence that Flux says and that clients parse.
func message(status *imagev1.ImagePolicyStatus) string {
	latest, previous := status.LatestRef, status.ObservedPreviousRef
	said := fmt.Sprintf("Latest image tag for %s resolved to %s", latest.Name, latest.Tag)
	if latest.Digest != "" {
		said += " with digest " + latest.Digest
	}
	if previous != nil && *previous != *latest {
		said += fmt.Sprintf(" (previously %s)", previous)
	}
	return said
}
