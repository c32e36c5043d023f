// SPDX-License-Identifier: Apache-2.0

package image

import (
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/test/harness"
)

func TestTheSchemaRefusesWhatAPolicyCannotMean(t *testing.T) {
	f := newFixture(t)
	semver, numerical := &imagev1.SemVerPolicy{Range: "1.x"}, &imagev1.NumericalPolicy{}
	tests := map[string]struct {
		edit func(*imagev1.ImagePolicySpec)
		want string
	}{
		"no policy": {
			func(s *imagev1.ImagePolicySpec) { s.Policy.SemVer = nil },
			"exactly one of semver, alphabetical and numerical must be set",
		},
		"two policies": {
			func(s *imagev1.ImagePolicySpec) { s.Policy.Numerical = numerical },
			"exactly one of semver, alphabetical and numerical must be set",
		},
		"a rejection of nothing": {
			func(s *imagev1.ImagePolicySpec) { s.Reject = []imagev1.Rejection{{}} },
			"exactly one of tag and digest must be set",
		},
		"a rejection of both": {func(s *imagev1.ImagePolicySpec) {
			s.Reject = []imagev1.Rejection{{Tag: "1", Digest: "sha256:" + strings.Repeat("0", 64)}}
		}, "exactly one of tag and digest must be set"},
		"a digest that is none": {
			func(s *imagev1.ImagePolicySpec) { s.Reject = []imagev1.Rejection{{Digest: "sha256:0"}} },
			"spec.reject[0].digest",
		},
		"a pin of nothing":        {func(s *imagev1.ImagePolicySpec) { s.Pin = &imagev1.Pin{} }, "spec.pin.tag"},
		"a platform that is none": {func(s *imagev1.ImagePolicySpec) { s.Platform = "arm64" }, "spec.platform"},
		"a signature of wax": {
			func(s *imagev1.ImagePolicySpec) { s.Verify = &imagev1.Verification{Provider: "wax"} },
			"spec.verify.provider",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p := &imagev1.ImagePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, GenerateName: "refused-"}}
			p.Spec.ImageRepositoryRef.Name, p.Spec.Policy.SemVer = "app", semver
			tc.edit(&p.Spec)
			if err := f.Client.Create(t.Context(), p); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Nothing but the clock brings the policy back: the next scan is an hour away.
func TestATagIsChosenWhenItIsOldEnough(t *testing.T) {
	f := newFixture(t)
	f.start(f.ns)
	f.push("1.0.0")
	repo := f.repository(time.Hour)
	policy := f.policy(f.ns, "1.x")
	f.chosen(policy, "1.0.0")
	f.push("1.1.0")
	f.edit(policy, func() { policy.Spec.MinAge = &metav1.Duration{Duration: 5 * time.Second} })
	f.request(repo)
	harness.MustBecome(f.t, f.Client, policy, "1.1.0 is waited for", func() bool {
		d := policy.Status.Decision
		return d != nil && d.NextMaturity != nil && len(d.Candidates) == 2 &&
			strings.HasPrefix(d.Candidates[0].Dropped, "younger than 5s")
	})
	f.chosen(policy, "1.1.0")
	harness.MustBecome(f.t, f.Client, policy, "nothing is waited for", func() bool { return policy.Status.Decision.NextMaturity == nil })
}

func TestAPinComesAndGoes(t *testing.T) {
	f := newFixture(t)
	f.start(f.ns)
	f.push("1.0.0", "1.1.0")
	f.repository(time.Hour)
	policy := f.policy(f.ns, "1.x")
	f.chosen(policy, "1.1.0")
	f.edit(policy, func() { policy.Spec.Pin = &imagev1.Pin{Tag: "0.9.0"} })
	f.failing(policy, metav1.StatusFailure)
	if policy.Status.LatestRef.Tag != "1.1.0" {
		t.Errorf("the choice is %v", policy.Status.LatestRef)
	}
	f.edit(policy, func() {
		policy.Spec.Pin = &imagev1.Pin{Tag: "1.0.0", Reason: "1.1.0 leaks", Until: &metav1.Time{Time: time.Now().Add(3 * time.Second)}}
	})
	f.chosen(policy, "1.0.0")
	f.told("pinned by spec.pin: 1.1.0 leaks")
	harness.MustBecome(f.t, f.Client, policy, "the pin has ended", func() bool { return policy.Status.LatestRef.Tag == "1.1.0" })
}
