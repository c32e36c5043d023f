// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/test/make"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// policy is a Ready policy of generation 2 that chose app:<tag>.
func policy(tag string, change func(*imagev1.ImagePolicy)) imagev1.ImagePolicy {
	labelled := func(p *imagev1.ImagePolicy) { p.Generation, p.Labels = 2, map[string]string{"team": "a"} }
	p := make.ImagePolicy("apps", "app", labelled, make.Chosen(tag))
	if change != nil {
		change(p)
	}
	return *p
}

func TestPoliciesOfSaysWhyAPolicyIsNotWritten(t *testing.T) {
	tests := map[string]struct {
		automation func(a *imagev1.ImageUpdateAutomation)
		policy     imagev1.ImagePolicy
		wantChosen bool
		wantAbsent edit.Reason
		wantHeld   bool
	}{
		"a Ready policy is written": {policy: policy("2", nil), wantChosen: true},
		"a policy without a choice is not ready": {
			policy: policy("2", func(p *imagev1.ImagePolicy) { p.Status.LatestRef = nil }), wantAbsent: NotReady},
		"a policy without a Ready condition is not ready": {
			policy: policy("2", func(p *imagev1.ImagePolicy) { p.Status.Conditions = nil }), wantAbsent: NotReady},
		"a failed policy still shows an older choice": {
			policy:     policy("2", func(p *imagev1.ImagePolicy) { p.Status.Conditions[0].Status = metav1.ConditionFalse }),
			wantAbsent: NotReady},
		"a policy whose spec changed since it chose is not ready": {
			policy: policy("2", func(p *imagev1.ImagePolicy) { p.Generation = 3 }), wantAbsent: NotReady},
		"a suspended policy keeps its choice": {
			policy: policy("2", func(p *imagev1.ImagePolicy) { p.Generation, p.Spec.Suspend = 3, true }), wantChosen: true},
		"a policy outside of the selector is not selected": {
			automation: func(a *imagev1.ImageUpdateAutomation) {
				a.Spec.PolicySelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "b"}}
			},
			policy: policy("2", nil), wantAbsent: NotSelected},
		"a choice that the status holds is chosen and held": {
			automation: holds("2"), policy: policy("2", nil), wantChosen: true, wantHeld: true},
		"another choice than the held one is not held": {automation: holds("1"), policy: policy("2", nil), wantChosen: true},
		"a new resume request releases what is held": {
			automation: func(a *imagev1.ImageUpdateAutomation) {
				holds("2")(a)
				a.Annotations = map[string]string{imagev1.ResumeAnnotation: "now"}
			},
			policy: policy("2", nil), wantChosen: true},
		"a handled resume request releases nothing more": {
			automation: func(a *imagev1.ImageUpdateAutomation) {
				holds("2")(a)
				a.Annotations = map[string]string{imagev1.ResumeAnnotation: "then"}
				a.Status.LastHandledResume = "then"
			},
			policy: policy("2", nil), wantChosen: true, wantHeld: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			a := &imagev1.ImageUpdateAutomation{}
			a.Namespace = "apps"
			if tc.automation != nil {
				tc.automation(a)
			}
			want := Policies{Namespace: "apps", Chosen: map[string]edit.Image{}, Absent: map[string]edit.Reason{}, Held: map[string]bool{}}
			if tc.wantChosen {
				want.Chosen["app"] = edit.Image{Name: "app", Tag: "2"}
			}
			if tc.wantAbsent != "" {
				want.Absent["app"] = tc.wantAbsent
			}
			if tc.wantHeld {
				want.Held["app"] = true
			}
			got, err := PoliciesOf(a, []imagev1.ImagePolicy{tc.policy})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("policies (-want +got):\n%s", diff)
			}
		})
	}
}

func holds(tag string) func(*imagev1.ImageUpdateAutomation) {
	return func(a *imagev1.ImageUpdateAutomation) {
		a.Status.Held = []imagev1.HeldUpdate{{Policy: "app", Ref: imagev1.ImageRef{Name: "app", Tag: tag}}}
	}
}

func TestPoliciesOfRefusesASelectorThatCannotBeParsed(t *testing.T) {
	a := &imagev1.ImageUpdateAutomation{}
	a.Spec.PolicySelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "None"}}}
	if got, err := PoliciesOf(a, nil); err == nil {
		t.Errorf("got %+v", got)
	}
}
