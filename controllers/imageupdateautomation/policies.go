package imageupdateautomation

import (
	"context"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/writeback"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// choiceOf is the image that a policy stands for now. There is none while the
// policy is not Ready for its current spec, though latestRef may still hold an
// older choice. A suspended policy keeps its last choice by intent, and has no
// controller to observe that it was suspended.
func choiceOf(p *imagev1.ImagePolicy) (imagev1.ImageRef, bool) {
	ready := apimeta.FindStatusCondition(p.Status.Conditions, meta.ReadyCondition)
	if p.Status.LatestRef == nil || ready == nil || ready.Status != metav1.ConditionTrue {
		return imagev1.ImageRef{}, false
	}
	if ready.ObservedGeneration != p.Generation && !p.Spec.Suspend {
		return imagev1.ImageRef{}, false
	}
	return *p.Status.LatestRef, true
}

// observePolicies lists what the selected policies of the namespace chose.
func (r *Reconciler) observePolicies(ctx context.Context, a *imagev1.ImageUpdateAutomation) (imagev1.ObservedPolicies, error) {
	selector, err := selectorOf(a)
	if err != nil {
		return nil, refuse(imagev1.InvalidPolicySelectorReason, "spec.policySelector: %w", err)
	}
	var list imagev1.ImagePolicyList
	if err := r.Client.List(ctx, &list, client.InNamespace(a.Namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, fmt.Errorf("listing image policies: %w", err)
	}
	chosen := imagev1.ObservedPolicies{}
	for i := range list.Items {
		if ref, ok := choiceOf(&list.Items[i]); ok {
			chosen[list.Items[i].Name] = ref
		}
	}
	return chosen, nil
}

// imagesOf are the chosen images as the editor takes them.
func imagesOf(namespace string, chosen imagev1.ObservedPolicies) writeback.Policies {
	images := writeback.Policies{Namespace: namespace, Chosen: map[string]edit.Image{}}
	for policy, ref := range chosen {
		images.Chosen[policy] = edit.Image{Name: ref.Name, Tag: ref.Tag, Digest: ref.Digest}
	}
	return images
}
