// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
)

// policyName names the ValidatingAdmissionPolicy that guards commands, and its binding.
const policyName = "sluice-pipeline-commands"

// cares reports whether it matters to a pipeline that commands are guarded.
func cares(p *sluicev1.Pipeline, commands []promotion.Command) bool {
	return len(commands) > 0 || slices.ContainsFunc(p.Spec.Stages, func(s sluicev1.Stage) bool { return s.Approval != nil })
}

// guarded reports whether the API server lets nobody write a command who may not give it:
// the policy is there, and bound so that it denies.
func (r *Reconciler) guarded(ctx context.Context) bool {
	var policy admissionv1.ValidatingAdmissionPolicy
	var binding admissionv1.ValidatingAdmissionPolicyBinding
	key := client.ObjectKey{Name: policyName}
	if r.Live.Get(ctx, key, &policy) != nil || r.Live.Get(ctx, key, &binding) != nil {
		return false
	}
	if binding.Spec.PolicyName != policyName || len(policy.Spec.Validations) == 0 {
		return false
	}
	for _, action := range binding.Spec.ValidationActions {
		if action == admissionv1.Deny {
			return true
		}
	}
	return false
}
