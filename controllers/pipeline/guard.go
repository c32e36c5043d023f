// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/promotion"
)

// PolicyName names the ValidatingAdmissionPolicy that guards commands, and its binding.
const PolicyName = "sluice-pipeline-commands"

// policyManifest has both as they are installed: a copy of the file in config/admission.
//
//go:embed pipeline-commands.yaml
var policyManifest []byte

// needsGuard reports whether a pipeline depends on the admission policy for commands: it
// has approvals, or somebody gave it a command.
func needsGuard(p *sluicev1.Pipeline, commands []promotion.Command) bool {
	return len(commands) > 0 || slices.ContainsFunc(p.Spec.Stages, func(s sluicev1.Stage) bool { return s.Approval != nil })
}

// guarded reports whether the API server lets nobody write a command who may not give it,
// and if not, why: the policy has to say what it said when this program was built, and to
// be bound so that it denies.
func (r *Reconciler) guarded(ctx context.Context) (bool, string) {
	var policy admissionv1.ValidatingAdmissionPolicy
	var binding admissionv1.ValidatingAdmissionPolicyBinding
	key := client.ObjectKey{Name: PolicyName}
	if why := missing("ValidatingAdmissionPolicy", r.Client.Get(ctx, key, &policy)); why != "" {
		return false, why
	}
	if why := missing("ValidatingAdmissionPolicyBinding", r.Client.Get(ctx, key, &binding)); why != "" {
		return false, why
	}
	want, err := builtinPolicy()
	switch {
	case err != nil:
		return false, err.Error()
	case !equality.Semantic.DeepEqual(defaulted(policy.Spec), defaulted(want.Spec)):
		return false, "the ValidatingAdmissionPolicy " + PolicyName + " is not the one of this version: apply config/admission"
	case !denies(&binding):
		return false, "the ValidatingAdmissionPolicyBinding " + PolicyName + " does not deny all that its policy refuses: apply config/admission"
	}
	return true, ""
}

func missing(kind string, err error) string {
	switch {
	case err == nil:
		return ""
	case apierrors.IsNotFound(err):
		return "the " + kind + " " + PolicyName + " is not installed: apply config/admission"
	}
	return fmt.Sprintf("reading the %s %s: %v", kind, PolicyName, err)
}

// builtinPolicy is the policy of this version.
func builtinPolicy() (*admissionv1.ValidatingAdmissionPolicy, error) {
	first, _, _ := bytes.Cut(policyManifest, []byte("\n---\n"))
	policy := &admissionv1.ValidatingAdmissionPolicy{}
	if err := yaml.UnmarshalStrict(first, policy); err != nil {
		return nil, fmt.Errorf("decoding the policy of this version: %w", err)
	}
	return policy, nil
}

// defaulted is a spec with what the API server sets where it says nothing.
func defaulted(spec admissionv1.ValidatingAdmissionPolicySpec) *admissionv1.ValidatingAdmissionPolicySpec {
	all := spec.DeepCopy()
	if all.FailurePolicy == nil {
		all.FailurePolicy = ptr.To(admissionv1.Fail)
	}
	match := all.MatchConstraints
	if match == nil {
		return all
	}
	if match.MatchPolicy == nil {
		match.MatchPolicy = ptr.To(admissionv1.Equivalent)
	}
	if match.NamespaceSelector == nil {
		match.NamespaceSelector = &metav1.LabelSelector{}
	}
	if match.ObjectSelector == nil {
		match.ObjectSelector = &metav1.LabelSelector{}
	}
	for _, rules := range [][]admissionv1.NamedRuleWithOperations{match.ResourceRules, match.ExcludeResourceRules} {
		for i := range rules {
			if rules[i].Scope == nil {
				rules[i].Scope = ptr.To(admissionv1.AllScopes)
			}
		}
	}
	return all
}

// denies reports whether a binding has requests denied, and leaves none out.
func denies(binding *admissionv1.ValidatingAdmissionPolicyBinding) bool {
	if m := binding.Spec.MatchResources; m != nil {
		for _, selector := range []*metav1.LabelSelector{m.NamespaceSelector, m.ObjectSelector} {
			if selector != nil && len(selector.MatchLabels)+len(selector.MatchExpressions) > 0 {
				return false
			}
		}
		if len(m.ResourceRules)+len(m.ExcludeResourceRules) > 0 {
			return false
		}
	}
	return binding.Spec.PolicyName == PolicyName && binding.Spec.ParamRef == nil &&
		slices.Contains(binding.Spec.ValidationActions, admissionv1.Deny)
}

// watchGuard reconciles the pipelines that need the guard when the policy or its binding changes.
func (r *Reconciler) watchGuard() []reconciler.Watch {
	return []reconciler.Watch{
		r.watch(&admissionv1.ValidatingAdmissionPolicy{}, r.affected().pipelinesToGuard),
		r.watch(&admissionv1.ValidatingAdmissionPolicyBinding{}, r.affected().pipelinesToGuard),
	}
}
