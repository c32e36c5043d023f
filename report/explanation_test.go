// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"slices"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/policy"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/test/make"
)

// policyOf is the ImagePolicy apps/app for a range of versions.
func policyOf(t *testing.T, versions string) *imagev1.ImagePolicy {
	t.Helper()
	return make.ImagePolicy("apps", "app", func(p *imagev1.ImagePolicy) { p.Spec.Policy.SemVer.Range = versions })
}

func ruleOf(t *testing.T, versions string) *policy.Policy {
	t.Helper()
	rule, err := policy.CompileSpec(&policyOf(t, versions).Spec, now)
	if err != nil {
		t.Fatal(err)
	}
	return rule
}

func TestExplanation(t *testing.T) {
	seen := metav1.NewTime(now.Add(-time.Hour))
	p := policyOf(t, "1.x")
	p.Spec.Verify = &imagev1.Verification{}
	p.Status.LatestRef = &imagev1.ImageRef{Name: "ghcr.io/acme/app", Tag: "1.0.0"}
	p.Status.Decision = &imagev1.Decision{Candidates: []imagev1.Candidate{
		{Tag: "1.1.0", Digest: "sha256:feed", FirstSeen: &seen, Gate: "minAge", Dropped: "younger than 24h"},
		{Tag: "2.0.0", Gate: "verify", Dropped: "not signed"},
	}}
	got := report.Explain(p, ruleOf(t, "1.x"), slices.Values([]string{"1.0.0", "2.0.0", "1.1.0", "latest"}))
	want := report.Explanation{
		Namespace: "apps", Policy: "app", Rule: "semver 1.x", Total: 4, Qualified: 2, Why: got.Why, ForTheController: []string{"verify"},
		Tags: []report.Tag{
			{Tag: "1.1.0", Text: "1.1.0", Rank: 1, Gate: "minAge", Why: "younger than 24h", Digest: "sha256:feed", FirstSeen: &seen.Time},
			{Tag: "1.0.0", Text: "1.0.0", Rank: 2, Chosen: true},
			{Tag: "2.0.0", Text: "2.0.0", Gate: "policy", Why: "outside the range"}, // which comes before what the status says
			{Tag: "latest", Text: "latest", Gate: "policy", Why: "not a semantic version"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got.Why == "" {
		t.Error("it does not say why")
	}
}

// A digest was taken for a verified signature, also where spec.verify was added to a policy that nobody has reconciled since.
func TestASignatureIsVerifiedWhereTheControllerHasVerifiedIt(t *testing.T) {
	ready := func(is metav1.ConditionStatus) []metav1.Condition {
		return []metav1.Condition{{Type: meta.ReadyCondition, Status: is}}
	}
	for name, tc := range map[string]struct {
		change func(*imagev1.ImagePolicy)
		want   bool
	}{
		"of the chosen image":               {func(*imagev1.ImagePolicy) {}, true},
		"nothing is to be verified":         {func(p *imagev1.ImagePolicy) { p.Spec.Verify = nil }, false},
		"spec.verify came later":            {func(p *imagev1.ImagePolicy) { p.Generation++ }, false},
		"and while the policy is suspended": {func(p *imagev1.ImagePolicy) { p.Generation++; p.Spec.Suspend = true }, false},
		"it was suspended after that":       {func(p *imagev1.ImagePolicy) { p.Spec.Suspend = true }, true},
		"no image qualifies any more":       {func(p *imagev1.ImagePolicy) { p.Status.Conditions = ready(metav1.ConditionFalse) }, false},
		"nothing is known of it":            {func(p *imagev1.ImagePolicy) { p.Status.Conditions = nil }, false},
		"no image was chosen":               {func(p *imagev1.ImagePolicy) { p.Status.LatestRef = nil }, false},
		"one was chosen without a digest":   {func(p *imagev1.ImagePolicy) { p.Status.LatestRef.Digest = "" }, false},
		"another digest was looked at":      {func(p *imagev1.ImagePolicy) { p.Status.Decision.Candidates[0].Digest = "sha256:beef" }, false},
		"a gate has dropped it":             {func(p *imagev1.ImagePolicy) { p.Status.Decision.Candidates[0].Gate = "verify" }, false},
		"nothing was decided":               {func(p *imagev1.ImagePolicy) { p.Status.Decision = nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := policyOf(t, "1.x")
			p.Generation, p.Status.ObservedGeneration, p.Status.Conditions = 3, 3, ready(metav1.ConditionTrue)
			p.Spec.Verify = &imagev1.Verification{}
			p.Status.LatestRef = &imagev1.ImageRef{Name: "ghcr.io/acme/app", Tag: "1.0.0", Digest: "sha256:feed"}
			p.Status.Decision = &imagev1.Decision{Candidates: []imagev1.Candidate{{Tag: "1.0.0", Digest: "sha256:feed"}}}
			tc.change(p)
			if got := report.Explain(p, ruleOf(t, "1.x"), slices.Values([]string{"1.0.0"})).SignatureVerified; got != tc.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

// Of tags that rank after the one that was chosen nothing was said.
func TestTagsThatRankAfterTheBestSaySo(t *testing.T) {
	for name, tc := range map[string]struct {
		chosen     string
		candidates []imagev1.Candidate
		want       []string
	}{
		"nothing is known yet": {"", nil,
			[]string{"first by semver 1.x", "after 1.2.0 in the order", "after 1.2.0 in the order", "not a semantic version"}},
		"the best is chosen": {"1.2.0", nil,
			[]string{"", "after 1.2.0 in the order", "after 1.2.0 in the order", "not a semantic version"}},
		"a trial has another best one": {"1.1.0", nil,
			[]string{"first by semver 1.x", "after 1.2.0 in the order", "after 1.2.0 in the order", "not a semantic version"}},
		"a gate drops the first": {"1.1.0", []imagev1.Candidate{{Tag: "1.2.0", Gate: "verify", Dropped: "not signed"}},
			[]string{"not signed", "", "after 1.1.0 in the order", "not a semantic version"}},
		"a gate dropped it before another was chosen": {"", []imagev1.Candidate{{Tag: "1.2.0", Gate: "verify", Dropped: "not signed"}},
			[]string{"not signed", "the best by semver 1.x that no gate drops", "after 1.1.0 in the order", "not a semantic version"}},
		"a gate drops the first, and only the reason is known": {"1.1.0", []imagev1.Candidate{{Tag: "1.2.0", Dropped: "too young"}},
			[]string{"too young", "", "after 1.1.0 in the order", "not a semantic version"}},
		"a gate drops one that comes later": {"1.2.0", []imagev1.Candidate{{Tag: "1.2.0"}, {Tag: "1.1.0", Gate: "minAge", Dropped: "too young"}},
			[]string{"", "too young", "after 1.2.0 in the order", "not a semantic version"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := policyOf(t, "1.x")
			p.Status.LatestRef = &imagev1.ImageRef{Name: "ghcr.io/acme/app", Tag: tc.chosen}
			p.Status.Decision = &imagev1.Decision{Candidates: tc.candidates}
			var got []string
			for _, tag := range report.Explain(p, ruleOf(t, "1.x"), slices.Values([]string{"latest", "1.0.0", "1.2.0", "1.1.0"})).Tags {
				got = append(got, tag.Why)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLimitedExplanations(t *testing.T) {
	all := report.Explain(policyOf(t, "1.x"), ruleOf(t, "1.x"), slices.Values([]string{"1.0.0", "1.1.0", "1.2.0", "a", "b"}))
	for limit, want := range map[int][]string{
		0: {"1.2.0", "1.1.0", "1.0.0", "a", "b"},
		1: {"1.2.0", "a"},
		2: {"1.2.0", "1.1.0", "a", "b"},
		9: {"1.2.0", "1.1.0", "1.0.0", "a", "b"},
	} {
		var got []string
		for _, tag := range all.Limited(limit).Tags {
			got = append(got, tag.Tag)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("limit %d (-want +got):\n%s", limit, diff)
		}
	}
	if len(all.Tags) != 5 {
		t.Error("the explanation itself was changed")
	}
}

// The funnel of the page was counted from the tags that were kept, and the chosen tag was among those that were not.
func TestALimitedExplanationCountsWhatItLeavesOutAndKeepsTheChosenTag(t *testing.T) {
	p := policyOf(t, "1.x")
	p.Status.LatestRef = &imagev1.ImageRef{Tag: "1.0.0"}
	got := report.Explain(p, ruleOf(t, "1.x"), slices.Values([]string{"1.0.0", "1.1.0", "1.2.0", "2.0.0", "3.0.0", "a"})).Limited(1)
	var tags []string
	for _, tag := range got.Tags {
		tags = append(tags, tag.Tag)
	}
	if diff := cmp.Diff([]string{"1.2.0", "1.0.0"}, tags[:2]); diff != "" || len(tags) != 3 || got.LeftOut != 3 {
		t.Errorf("kept %v and left out %d: %s", tags, got.LeftOut, diff)
	}
	if diff := cmp.Diff([]report.GateCount{{Gate: "policy", Dropped: 3}}, got.Gates); diff != "" {
		t.Error(diff)
	}
}

func TestTheStatusSaysBeforeAScanWhenATagWasFirstSeen(t *testing.T) {
	seen := metav1.NewTime(now.Add(-time.Hour))
	p := policyOf(t, "1.x")
	p.Status.Decision = &imagev1.Decision{Candidates: []imagev1.Candidate{{Tag: "1.1.0", Digest: "sha256:feed", FirstSeen: &seen}}}
	got := report.Explain(p, ruleOf(t, "1.x"), slices.Values([]string{"1.0.0", "1.1.0", "latest"}))
	scans := map[string]time.Time{"1.0.0": now.Add(-24 * time.Hour), "1.1.0": now.Add(-48 * time.Hour)}
	got.AddFirstSeen(func(tag string) time.Time { return scans[tag] })
	for i, want := range []*time.Time{&seen.Time, new(scans["1.0.0"]), nil} {
		if diff := cmp.Diff(want, got.Tags[i].FirstSeen); diff != "" {
			t.Errorf("%s: %s", got.Tags[i].Tag, diff)
		}
	}
}

func TestFieldsThatOnlyTheControllerJudges(t *testing.T) {
	tests := map[string]struct {
		spec imagev1.ImagePolicySpec
		want []string
	}{
		"none":                    {imagev1.ImagePolicySpec{}, nil},
		"an age":                  {imagev1.ImagePolicySpec{MinAge: &metav1.Duration{}}, []string{"minAge"}},
		"an age and a pin":        {imagev1.ImagePolicySpec{MinAge: &metav1.Duration{}, Pin: &imagev1.Pin{}}, nil},
		"a platform":              {imagev1.ImagePolicySpec{Platform: "linux/arm64"}, []string{"platform"}},
		"a rejected tag":          {imagev1.ImagePolicySpec{Reject: []imagev1.Rejection{{Tag: "x"}}}, nil},
		"a rejected digest":       {imagev1.ImagePolicySpec{Reject: []imagev1.Rejection{{Tag: "x"}, {Digest: "x"}}}, []string{"reject.digest"}},
		"signatures to be looked": {imagev1.ImagePolicySpec{Verify: &imagev1.Verification{}}, []string{"verify"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, report.FieldsForTheController(&tc.spec)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
