// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/workload"
)

// TestRevisionsHaveTheNamesThatFlaggerWouldLookFor after a hand-back.
func TestRevisionsHaveTheNamesThatFlaggerWouldLookFor(t *testing.T) {
	const v1, v2 = canary.DigestPrefix + "v1", canary.DigestPrefix + "v2"
	status := func(applied, appliedAlias, promoted, promotedAlias string) flaggerv1.CanaryStatus {
		return flaggerv1.CanaryStatus{
			AppliedRevision:  applied,
			LastAppliedSpec:  appliedAlias,
			PromotedRevision: promoted,
			LastPromotedSpec: promotedAlias,
		}
	}
	tests := map[string]struct {
		before            flaggerv1.CanaryStatus
		target            canary.Workload
		applied, promoted string
		want              flaggerv1.CanaryStatus
	}{
		"the target has the name of its template": {
			target: canary.Workload{Revision: v1, Alias: "one"}, applied: v1, promoted: v1, want: status(v1, "one", v1, "one")},
		"what was promoted keeps its name when the target moves on": {
			before: status(v1, "one", v1, "one"), target: canary.Workload{
				Revision: v2,
				Alias:    "two",
			}, applied: v2, promoted: v1, want: status(v2, "two", v1, "one")},
		"a promotion takes the name along, also if the target has moved on again": {
			before: status(v2, "two", v1, "one"), target: canary.Workload{
				Revision: "sha256:v3",
				Alias:    "three",
			}, applied: v2, promoted: v2, want: status(v2, "two", v2, "two")},
		"what only Flagger has seen keeps the name that Flagger wrote": {
			before: status("", "one", "", "one"), target: canary.Workload{
				Revision: v2,
				Alias:    "two",
			}, applied: v2, promoted: "one", want: status(v2, "two", "", "one")},
		"what Flagger has no name for is called by its digest": {
			target: canary.Workload{Revision: v1}, applied: v1, promoted: v1, want: status(v1, v1, v1, v1)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := &flaggerv1.Canary{Status: tc.before}
			recordRevisions(c, tc.target, canary.State{Applied: tc.applied, Promoted: tc.promoted})
			if diff := cmp.Diff(tc.want, c.Status); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAReleaseIsRecognisedWithItsConfiguration only: what Flagger calls a template
// says nothing about it.
func TestAReleaseIsRecognisedWithItsConfiguration(t *testing.T) {
	observed := &workload.Workloads{Copies: workload.Copies{
		Target:   canary.Workload{Alias: "one"},
		Revision: &workload.Revision{Configs: []workload.Config{{Kind: "ConfigMap", Name: "app", Tracked: "abc"}}},
	}}
	for name, tc := range map[string]struct {
		alias, tracked string
		want           bool
	}{
		"the same":              {"one", "abc", true},
		"another template":      {"two", "abc", false},
		"another configuration": {"one", "def", false},
	} {
		c := &flaggerv1.Canary{Status: flaggerv1.CanaryStatus{
			LastAppliedSpec: tc.alias,
			TrackedConfigs:  map[string]string{"configmap/app": tc.tracked},
		}}
		if got := recognised(c, observed); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
