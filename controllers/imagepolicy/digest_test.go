// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// Each case reconciles, pushes other images under the same tags, edits the
// policy, and reconciles again.
func TestDigests(t *testing.T) {
	const none, first, second = "", "first", "second"
	tests := map[string]struct {
		before, after   imagev1.ReflectionPolicy
		rangeAfter      string
		want, wantAfter string // digests, by push
		wantPrevious    string // digest of observedPreviousRef, or "absent"
		wantInterval    time.Duration
	}{
		"by default no digest is told": {
			want: none, wantAfter: none, wantPrevious: "absent"},
		"Never tells none": {
			before: imagev1.ReflectNever, after: imagev1.ReflectNever, wantPrevious: "absent"},
		"Always follows the registry": {
			before: imagev1.ReflectAlways, after: imagev1.ReflectAlways,
			want: first, wantAfter: second, wantPrevious: first, wantInterval: 10 * time.Minute},
		"IfNotPresent keeps the digest of the choice": {
			before: imagev1.ReflectIfNotPresent, after: imagev1.ReflectIfNotPresent,
			want: first, wantAfter: first, wantPrevious: "absent"},
		"IfNotPresent looks up a new choice": {
			before: imagev1.ReflectIfNotPresent, after: imagev1.ReflectIfNotPresent, rangeAfter: "2.x",
			want: first, wantAfter: second, wantPrevious: first},
		"IfNotPresent keeps the digest when another rule makes the same choice": {
			before: imagev1.ReflectIfNotPresent, after: imagev1.ReflectIfNotPresent, rangeAfter: "=1.1.0",
			want: first, wantAfter: first, wantPrevious: "absent"},
		"from Never to IfNotPresent": {
			before: imagev1.ReflectNever, after: imagev1.ReflectIfNotPresent,
			want: none, wantAfter: second, wantPrevious: none},
		"from Always to Never": {
			before: imagev1.ReflectAlways, after: imagev1.ReflectNever,
			want: first, wantAfter: none, wantPrevious: first},
		"from IfNotPresent to Never": {
			before: imagev1.ReflectIfNotPresent, after: imagev1.ReflectNever,
			want: first, wantAfter: none, wantPrevious: first},
		"from IfNotPresent to Always": {
			before: imagev1.ReflectIfNotPresent, after: imagev1.ReflectAlways,
			want: first, wantAfter: second, wantPrevious: first, wantInterval: 10 * time.Minute},
		"from Always to IfNotPresent": {
			before: imagev1.ReflectAlways, after: imagev1.ReflectIfNotPresent,
			want: first, wantAfter: first, wantPrevious: "absent"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			digests := map[string]string{"absent": "absent"}
			f.push(t, "2.0.0")
			digests[first] = f.push(t, "1.1.0")
			reflect(f, tc.before)
			f.mustReconcile(t)
			if diff := cmp.Diff(digests[tc.want], f.policy.Status.LatestRef.Digest); diff != "" {
				t.Fatal(diff)
			}
			digests[second] = f.push(t, "1.1.0")
			if tc.rangeAfter != "" {
				f.policy.Spec.Policy.SemVer.Range = tc.rangeAfter
			}
			if tc.rangeAfter == "2.x" {
				digests[second] = f.push(t, "2.0.0")
			}
			reflect(f, tc.after)
			result := f.mustReconcile(t)
			if diff := cmp.Diff(digests[tc.wantAfter], f.policy.Status.LatestRef.Digest); diff != "" {
				t.Error(diff)
			}
			previous := "absent"
			if ref := f.policy.Status.ObservedPreviousRef; ref != nil {
				previous = ref.Digest
			}
			if diff := cmp.Diff(digests[tc.wantPrevious], previous); diff != "" {
				t.Error(diff)
			}
			if result.After != tc.wantInterval {
				t.Errorf("next look after %s, want %s", result.After, tc.wantInterval)
			}
		})
	}
}

func reflect(f *fixture, how imagev1.ReflectionPolicy) {
	f.policy.Spec.DigestReflectionPolicy, f.policy.Spec.Interval = how, nil
	if how == imagev1.ReflectAlways {
		f.policy.Spec.Interval = &metav1.Duration{Duration: 10 * time.Minute}
	}
}

func TestAMessageNamesBothReferences(t *testing.T) {
	status := &imagev1.ImagePolicyStatus{
		LatestRef:           &imagev1.ImageRef{Name: "app", Tag: "2", Digest: "sha256:b"},
		ObservedPreviousRef: &imagev1.ImageRef{Name: "app", Tag: "1", Digest: "sha256:a"},
	}
	want := "Latest image tag for app resolved to 2 with digest sha256:b (previously app:1@sha256:a)"
	if diff := cmp.Diff(want, message(status)); diff != "" {
		t.Error(diff)
	}
}
