// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bytes"
	"os"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// TestCommandsCountOnlyUnderThePolicyOfThisVersion: one of the same name that lets more
// through is none.
func TestCommandsCountOnlyUnderThePolicyOfThisVersion(t *testing.T) {
	type guard struct {
		policy  *admissionv1.ValidatingAdmissionPolicy
		binding *admissionv1.ValidatingAdmissionPolicyBinding
	}
	const other, narrow = "is not the one of this version", "does not deny all that its policy refuses"
	for name, tc := range map[string]struct {
		change func(*guard)
		want   string // in the condition; empty is that commands count
	}{
		"as it is installed": {func(*guard) {}, ""},
		"with what the API server sets": {func(g *guard) {
			match := g.policy.Spec.MatchConstraints
			match.MatchPolicy = ptr.To(admissionv1.Equivalent)
			match.NamespaceSelector, match.ObjectSelector = &metav1.LabelSelector{}, &metav1.LabelSelector{}
			match.ResourceRules[0].Scope = ptr.To(admissionv1.AllScopes)
			g.binding.Spec.MatchResources = &admissionv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{}, MatchPolicy: ptr.To(admissionv1.Equivalent),
			}
		}, ""},
		"no policy": {
			func(g *guard) { g.policy = nil }, "the ValidatingAdmissionPolicy sluice-pipeline-commands is not installed",
		},
		"no binding": {
			func(g *guard) { g.binding = nil },
			"the ValidatingAdmissionPolicyBinding sluice-pipeline-commands is not installed",
		},
		"a validation that is always met": {func(g *guard) { g.policy.Spec.Validations[3].Expression = "true" }, other},
		"a validation less":               {func(g *guard) { g.policy.Spec.Validations = g.policy.Spec.Validations[:3] }, other},
		"a variable that says less":       {func(g *guard) { g.policy.Spec.Variables[1].Expression = "[]" }, other},
		"errors that let pass":            {func(g *guard) { g.policy.Spec.FailurePolicy = ptr.To(admissionv1.Ignore) }, other},
		"updates alone": {func(g *guard) {
			g.policy.Spec.MatchConstraints.ResourceRules[0].Operations = []admissionv1.OperationType{admissionv1.Update}
		}, other},
		"some namespaces alone": {func(g *guard) {
			g.policy.Spec.MatchConstraints.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"guarded": "yes"}}
		}, other},
		"conditions": {func(g *guard) {
			g.policy.Spec.MatchConditions = []admissionv1.MatchCondition{{Name: "some", Expression: "false"}}
		}, other},
		"a binding that warns": {
			func(g *guard) { g.binding.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Warn} }, narrow,
		},
		"a binding of another policy": {func(g *guard) { g.binding.Spec.PolicyName = "other" }, narrow},
		"a binding of some pipelines": {func(g *guard) {
			g.binding.Spec.MatchResources = &admissionv1.MatchResources{
				ObjectSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"guarded": "yes"}},
			}
		}, narrow},
		"a binding of some names": {func(g *guard) {
			g.binding.Spec.MatchResources = &admissionv1.MatchResources{ExcludeResourceRules: []admissionv1.NamedRuleWithOperations{{
				ResourceNames: []string{"shop"},
			}}}
		}, narrow},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, func(p *sluicev1.Pipeline) { p.Spec.Stages[1].Approval = &sluicev1.Approval{} })
			g := guard{binding: &admissionv1.ValidatingAdmissionPolicyBinding{}}
			var err error
			if g.policy, err = builtinPolicy(); err != nil {
				t.Fatal(err)
			}
			_, second, _ := bytes.Cut(policyManifest, []byte("\n---\n"))
			if err := yaml.UnmarshalStrict(second, g.binding); err != nil {
				t.Fatal(err)
			}
			tc.change(&g)
			if g.policy != nil {
				e.create(g.policy)
			}
			if g.binding != nil {
				e.create(g.binding)
			}
			e.reconcile()
			got := apimeta.FindStatusCondition(e.pipeline.Status.Conditions, sluicev1.ApprovalsEnforcedCondition)
			if got == nil || (got.Status == metav1.ConditionTrue) != (tc.want == "") || !strings.Contains(got.Message, tc.want) {
				t.Errorf("the condition is %+v, want %q", got, tc.want)
			}
		})
	}
}

func (e *env) create(object client.Object) {
	e.t.Helper()
	if err := e.Client.Create(e.t.Context(), object); err != nil {
		e.t.Fatal(err)
	}
}

// TestThePolicyOfCommandsIsTheOneThatIsInstalled fails where a copy is stale: the controller would say that
// nobody guards commands, in a cluster that has the policy of the same version.
func TestThePolicyOfCommandsIsTheOneThatIsInstalled(t *testing.T) {
	installed, err := os.ReadFile("../../config/admission/pipeline-commands.yaml")
	if err != nil {
		t.Fatal(err)
	}
	chart, err := os.ReadFile("../../charts/sluice/files/admission/pipeline-commands.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(installed, policyManifest) || !bytes.Equal(installed, chart) {
		t.Error("config/admission/pipeline-commands.yaml has copies that differ, in controllers/pipeline or the chart: make generate")
	}
}
