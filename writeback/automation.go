// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// PoliciesOf sorts the policies of an automation's namespace into those whose
// image it writes and those that it leaves alone, with the reason. What the
// automation's status holds back is among the chosen. The error is that of a
// selector that cannot be parsed.
func PoliciesOf(a *imagev1.ImageUpdateAutomation, policies []imagev1.ImagePolicy) (Policies, error) {
	selector, err := SelectorOf(a)
	if err != nil {
		return Policies{}, err
	}
	sorted := Policies{Namespace: a.Namespace, Chosen: map[string]edit.Image{}, Absent: map[string]edit.Reason{}}
	for i := range policies {
		p := &policies[i]
		ref, ready := ChosenRef(p)
		switch {
		case !selector.Matches(labels.Set(p.Labels)):
			sorted.Absent[p.Name] = NotSelected
		case !ready:
			sorted.Absent[p.Name] = NotReady
		default:
			sorted.Chosen[p.Name] = ImageOf(ref)
		}
	}
	sorted.Held = heldBy(a, sorted.Chosen)
	return sorted, nil
}

// ChosenRef is the image that a policy chose. It is false while the policy is not
// Ready for its current spec, though status.latestRef may still show an older
// choice. A suspended policy keeps its last choice on purpose, and no controller
// updates its observedGeneration.
func ChosenRef(p *imagev1.ImagePolicy) (imagev1.ImageRef, bool) {
	ready := apimeta.FindStatusCondition(p.Status.Conditions, meta.ReadyCondition)
	if p.Status.LatestRef == nil || ready == nil || ready.Status != metav1.ConditionTrue {
		return imagev1.ImageRef{}, false
	}
	if ready.ObservedGeneration != p.Generation && !p.Spec.Suspend {
		return imagev1.ImageRef{}, false
	}
	return *p.Status.LatestRef, true
}

// SelectorOf is the selector of an automation's policies. Without one it selects
// every policy of the namespace.
func SelectorOf(a *imagev1.ImageUpdateAutomation) (labels.Selector, error) {
	if a.Spec.PolicySelector == nil {
		return labels.Everything(), nil
	}
	return metav1.LabelSelectorAsSelector(a.Spec.PolicySelector)
}

// ResumeRequest is the value of the annotation that releases held updates, and
// whether the automation has not handled that value yet.
func ResumeRequest(a *imagev1.ImageUpdateAutomation) (value string, isNew bool) {
	value = a.Annotations[imagev1.ResumeAnnotation]
	if value == "" {
		return a.Status.LastHandledResume, false
	}
	return value, value != a.Status.LastHandledResume
}

// heldBy are the policies whose present choice is held back by the status. A new
// resume request releases them all.
func heldBy(a *imagev1.ImageUpdateAutomation, chosen map[string]edit.Image) map[string]bool {
	held := map[string]bool{}
	if _, isNew := ResumeRequest(a); isNew {
		return held
	}
	for _, h := range a.Status.Held {
		if image, ok := chosen[h.Policy]; ok && image == ImageOf(h.Ref) {
			held[h.Policy] = true
		}
	}
	return held
}

// ImageOf converts an image of the API to one of the editor.
func ImageOf(ref imagev1.ImageRef) edit.Image {
	return edit.Image{Name: ref.Name, Tag: ref.Tag, Digest: ref.Digest}
}

// RefOf is the inverse of [ImageOf].
func RefOf(image edit.Image) imagev1.ImageRef {
	return imagev1.ImageRef{Name: image.Name, Tag: image.Tag, Digest: image.Digest}
}
