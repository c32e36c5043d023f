package main

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

// surveyPolicies says of every policy of the namespace what the automation makes
// of it, by the rules of its controller.
func surveyPolicies(ctx context.Context, c client.Client, a *imagev1.ImageUpdateAutomation) (writeback.Policies, error) {
	selector := labels.Everything()
	if a.Spec.PolicySelector != nil {
		var err error
		if selector, err = metav1.LabelSelectorAsSelector(a.Spec.PolicySelector); err != nil {
			return writeback.Policies{}, fmt.Errorf("ImageUpdateAutomation %s/%s: spec.policySelector: %w", a.Namespace, a.Name, err)
		}
	}
	var list imagev1.ImagePolicyList
	if err := c.List(ctx, &list, client.InNamespace(a.Namespace)); err != nil {
		return writeback.Policies{}, fmt.Errorf("listing the image policies of namespace %s: %w", a.Namespace, err)
	}
	known := writeback.Policies{
		Namespace: a.Namespace, Chosen: map[string]edit.Image{},
		Absent: map[string]edit.Reason{}, Held: map[string]bool{},
	}
	for i := range list.Items {
		switch p := &list.Items[i]; {
		case !selector.Matches(labels.Set(p.Labels)):
			known.Absent[p.Name] = writeback.NotSelected
		case !isChosen(p):
			known.Absent[p.Name] = writeback.NotReady
		default:
			known.Chosen[p.Name] = imageOf(*p.Status.LatestRef)
			known.Held[p.Name] = isHeld(a, p)
		}
	}
	return known, nil
}

// isChosen tells whether the policy stands for an image now: a suspended one
// keeps its last.
func isChosen(p *imagev1.ImagePolicy) bool {
	ready := apimeta.FindStatusCondition(p.Status.Conditions, meta.ReadyCondition)
	return p.Status.LatestRef != nil && ready != nil && ready.Status == metav1.ConditionTrue &&
		(ready.ObservedGeneration == p.Generation || p.Spec.Suspend)
}

// isHeld tells whether the automation does not write the choice because a person
// reverted it.
func isHeld(a *imagev1.ImageUpdateAutomation, p *imagev1.ImagePolicy) bool {
	for _, held := range a.Status.Held {
		if held.Policy == p.Name && held.Ref == *p.Status.LatestRef {
			return true
		}
	}
	return false
}
