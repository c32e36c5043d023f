// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/test/harness"
)

func TestAPushBecomesAChoice(t *testing.T) {
	f := newFixture(t)
	f.start(f.ns)
	f.push("1.0.0", "1.0.0.sig", "2.0.0")
	repo, policy := f.repository(time.Hour), f.policy(f.ns, "1.x")
	f.chosen(policy, "1.0.0")
	f.told("resolved to 1.0.0; first of 1 by semver 1.x; 1 tag dropped: 1 outside the range (2.0.0)")
	f.push("1.1.0")
	f.request(repo)
	f.chosen(policy, "1.1.0")
	if previous := policy.Status.ObservedPreviousRef; previous == nil || previous.Tag != "1.0.0" {
		t.Errorf("previous %v", previous)
	}
	if got := repo.Status.LastScanResult; got.TagCount != 3 || got.LatestTags[0] != "2.0.0" {
		t.Errorf("last scan %+v", got)
	}
	ready := apimeta.FindStatusCondition(repo.Status.Conditions, meta.ReadyCondition)
	if want := "successful scan: found 3 tags with checksum " + repo.Status.LastScanResult.Revision; ready.Message != want {
		t.Errorf("message %q", ready.Message)
	}
}

func TestAnImageThatComesLaterIsFound(t *testing.T) {
	f := newFixture(t)
	f.start(f.ns)
	policy := f.policy(f.ns, "*")
	f.failing(policy, imagev1.DependencyNotReadyReason)
	repo := f.repository(time.Hour)
	f.failing(repo, imagev1.ReadOperationFailedReason)
	f.failing(policy, imagev1.DependencyNotReadyReason)
	f.push("1.0.0")
	f.request(repo)
	f.chosen(policy, "1.0.0")
}

func TestScansThatFindNothingNewWriteNothing(t *testing.T) {
	f := newFixture(t)
	f.start(f.ns)
	f.push("1.0.0")
	repo, policy := f.repository(time.Second), f.policy(f.ns, "1.x")
	f.chosen(policy, "1.0.0")
	harness.MustBecome(f.t, f.Client, repo, "the repository is ready", func() bool {
		return apimeta.IsStatusConditionTrue(repo.Status.Conditions, meta.ReadyCondition)
	})
	versions := []string{repo.ResourceVersion, policy.ResourceVersion}
	enough := f.scans.Load() + 3
	_, err := harness.Eventually(t.Context(), "three more scans", harness.Patience, func(context.Context) (bool, string) {
		return f.scans.Load() >= enough, fmt.Sprint(f.scans.Load())
	})
	f.must(err)
	harness.MustBecome(f.t, f.Client, repo, "nothing was written", func() bool { return repo.ResourceVersion == versions[0] })
	harness.MustBecome(f.t, f.Client, policy, "nothing was written", func() bool { return policy.ResourceVersion == versions[1] })
	f.push("1.1.0")
	f.chosen(policy, "1.1.0")
}

func TestARestartBringsTheTagsBackWithoutANoise(t *testing.T) {
	f := newFixture(t)
	stop := f.start(f.ns)
	f.push("1.0.0", "2.0.0")
	repo, policy := f.repository(time.Hour), f.policy(f.ns, "1.x")
	f.chosen(policy, "1.0.0")
	harness.MustBecome(f.t, f.Client, repo, "the repository is ready", func() bool { return repo.Status.LastScanResult != nil })
	stop()
	before := policy.ResourceVersion
	scans := f.scans.Load()
	other := f.policy(f.NewNamespace(t, "image-", nil), "2.x") // has never chosen: needs the tags
	f.edit(repo, func() { repo.Spec.AccessFrom = everybody() })
	f.start(f.ns, other.Namespace)
	f.chosen(other, "2.0.0")
	if f.scans.Load() == scans {
		t.Error("chosen without a scan")
	}
	f.must(f.Client.Get(t.Context(), key(policy), policy))
	if policy.ResourceVersion != before {
		t.Errorf("the standing choice was written again: %v", policy.Status)
	}
}

func TestAccessIsGrantedAndWithdrawn(t *testing.T) {
	f := newFixture(t)
	tenant := f.NewNamespace(t, "image-", map[string]string{"tenant": "a"})
	f.start(f.ns, tenant)
	f.push("1.0.0")
	repo, policy := f.repository(time.Hour), f.policy(tenant, "1.x")
	f.failing(policy, acl.AccessDeniedReason)
	f.edit(repo, func() {
		repo.Spec.AccessFrom = &acl.AccessFrom{NamespaceSelectors: []acl.NamespaceSelector{{MatchLabels: map[string]string{"tenant": "a"}}}}
	})
	f.chosen(policy, "1.0.0")
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: tenant}}
	f.edit(ns, func() { ns.Labels["tenant"] = "b" })
	f.failing(policy, acl.AccessDeniedReason)
	f.edit(ns, func() { ns.Labels["tenant"] = "a" })
	f.chosen(policy, "1.0.0")
}

func TestASuspendedRepositoryIsNotScanned(t *testing.T) {
	f := newFixture(t)
	f.start(f.ns)
	f.push("1.0.0")
	repo, policy := f.repository(time.Hour), f.policy(f.ns, "1.x")
	f.chosen(policy, "1.0.0")
	f.edit(repo, func() { repo.Spec.Suspend = true })
	f.push("1.1.0")
	f.edit(policy, func() { policy.Spec.Policy.SemVer.Range = ">=1.0.0" }) // a round without a scan
	f.chosen(policy, "1.0.0")
	f.edit(repo, func() { repo.Spec.Suspend = false })
	f.chosen(policy, "1.1.0")
}

func TestAnEditOfTheExclusionsIsNeverAnsweredFromOldTags(t *testing.T) {
	f := newFixture(t)
	f.start(f.ns)
	f.push("1.0.0", "1.1.0")
	repo, policy := f.repository(time.Hour), f.policy(f.ns, "1.x")
	f.chosen(policy, "1.1.0")
	f.edit(repo, func() { repo.Spec.ExclusionList = []string{`^1\.1`} })
	f.chosen(policy, "1.0.0")
	if previous := policy.Status.ObservedPreviousRef; previous.Tag != "1.1.0" {
		t.Errorf("previous %v", previous)
	}
}

func TestAFaultOfThePolicyStallsIt(t *testing.T) {
	f := newFixture(t)
	f.start(f.ns)
	f.push("1.0.0")
	f.repository(time.Hour)
	policy := f.policy(f.ns, "1.x")
	f.chosen(policy, "1.0.0")
	f.edit(policy, func() { policy.Spec.FilterTags = &imagev1.TagFilter{Pattern: "("} })
	f.failing(policy, imagev1.InvalidPolicyReason)
	if !apimeta.IsStatusConditionTrue(policy.Status.Conditions, meta.StalledCondition) {
		t.Error("not stalled")
	}
	f.edit(policy, func() { policy.Spec.FilterTags.Pattern = "^2" })
	f.failing(policy, metav1.StatusFailure)
	f.edit(policy, func() { policy.Spec.FilterTags.Pattern = "^1" })
	f.chosen(policy, "1.0.0")
}

func TestAServiceAccountInACloudNeedsAFeatureGate(t *testing.T) {
	f := newFixture(t)
	f.start(f.ns)
	f.push("1.0.0")
	repo := f.repository(time.Hour)
	f.edit(repo, func() { repo.Spec.Provider, repo.Spec.ServiceAccountName = "gcp", "app" })
	f.failing(repo, meta.FeatureGateDisabledReason)
	f.edit(repo, func() { repo.Spec.Provider, repo.Spec.ServiceAccountName = "generic", "" })
	harness.MustBecome(f.t, f.Client, repo, "it is ready", func() bool {
		return apimeta.IsStatusConditionTrue(repo.Status.Conditions, meta.ReadyCondition)
	})
}

func TestTheSchemaTiesTheIntervalToAlways(t *testing.T) {
	f := newFixture(t)
	p := &imagev1.ImagePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: "app"}}
	p.Spec.ImageRepositoryRef.Name = "app"
	p.Spec.Interval = &metav1.Duration{Duration: time.Minute}
	err := f.Client.Create(t.Context(), p.DeepCopy())
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.interval is only accepted") {
		t.Errorf("got %v", err)
	}
	p.Spec.Interval, p.Spec.DigestReflectionPolicy = nil, imagev1.ReflectAlways
	err = f.Client.Create(t.Context(), p)
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.interval must be set") {
		t.Errorf("got %v", err)
	}
}
