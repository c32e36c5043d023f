package imageupdateautomation

import (
	"context"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
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

// PoliciesOf says which of the policies of an automation's namespace it writes,
// and why not the others; what the status holds back is among the chosen. The
// error is that of a selector that cannot be read.
func PoliciesOf(a *imagev1.ImageUpdateAutomation, policies []imagev1.ImagePolicy) (writeback.Policies, error) {
	selector, err := selectorOf(a)
	if err != nil {
		return writeback.Policies{}, err
	}
	known := writeback.Policies{Namespace: a.Namespace, Chosen: map[string]edit.Image{}, Absent: map[string]edit.Reason{}}
	for i := range policies {
		p := &policies[i]
		ref, ready := choiceOf(p)
		switch {
		case !selector.Matches(labels.Set(p.Labels)):
			known.Absent[p.Name] = writeback.NotSelected
		case !ready:
			known.Absent[p.Name] = writeback.NotReady
		default:
			known.Chosen[p.Name] = imageOf(ref)
		}
	}
	known.Held = heldPolicies(a, refsOf(known))
	return known, nil
}

// observePolicies lists what the policies of the namespace chose.
func (r *Reconciler) observePolicies(
	ctx context.Context, a *imagev1.ImageUpdateAutomation,
) (writeback.Policies, imagev1.ObservedPolicies, error) {
	var list imagev1.ImagePolicyList
	if err := r.Client.List(ctx, &list, client.InNamespace(a.Namespace)); err != nil {
		return writeback.Policies{}, nil, fmt.Errorf("listing image policies: %w", err)
	}
	policies, err := PoliciesOf(a, list.Items)
	if err != nil {
		return writeback.Policies{}, nil, refuse(imagev1.InvalidPolicySelectorReason, "spec.policySelector: %w", err)
	}
	return policies, refsOf(policies), nil
}

// refsOf are the chosen images as the status has them.
func refsOf(policies writeback.Policies) imagev1.ObservedPolicies {
	refs := imagev1.ObservedPolicies{}
	for policy, image := range policies.Chosen {
		refs[policy] = refOfImage(image)
	}
	return refs
}
