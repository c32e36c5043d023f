// SPDX-License-Identifier: Apache-2.0

package automation

import (
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
)

// TestARevertIsHeldAndReleased takes an update back as a person would, and waits
// until the annotation, which `sluice resume` sets, brings it again.
func TestARevertIsHeldAndReleased(t *testing.T) {
	f := newFixture(t)
	p, q, a := f.policy("app"), f.policy("side"), f.automation("auto")
	f.repo.Commit("main", gitserver.Files{"side.yaml": f.marked("side", "1")})
	f.choose(p, "2")
	f.written(a, "a.yaml", "app", "2")
	f.upToDate(a)
	ours := a.Status.LastPushCommit

	reverted := f.repo.Commit("main", gitserver.Files{"a.yaml": f.marked("app", "1")})
	f.fetched(reverted)
	harness.MustBecome(f.t, f.Client, a, "the update is held", func() bool { return len(a.Status.Held) == 1 })
	if h := a.Status.Held[0]; h.Policy != "app" || h.Ref.Tag != "2" || h.Reverted != ours || h.By != reverted {
		t.Errorf("held %+v", h)
	}
	if ready := apimeta.FindStatusCondition(a.Status.Conditions, meta.ReadyCondition); ready.Status != metav1.ConditionTrue ||
		!strings.Contains(ready.Message, "holding app:2 of policy 'app'") {
		t.Errorf("ready is %+v", ready)
	}
	f.choose(q, "2") // goes on
	f.written(a, "side.yaml", "side", "2")
	if got := f.repo.File("main", "a.yaml"); got != f.marked("app", "1") || len(a.Status.Held) != 1 {
		t.Errorf("while it is held: %s, held %v", got, a.Status.Held)
	}

	f.edit(a, func() { a.Annotations = map[string]string{imagev1.ResumeAnnotation: "now"} })
	f.written(a, "a.yaml", "app", "2")
	f.upToDate(a)
	if a.Status.LastHandledResume != "now" || len(a.Status.Held) != 0 {
		t.Errorf("after the release: %+v", a.Status)
	}
	if m := a.Status.Markers; m == nil || m.Total != 2 || m.Current != 2 {
		t.Errorf("markers %+v", m)
	}
}

func TestUpdatesAreCommittedTogether(t *testing.T) {
	f := newFixture(t)
	p, q := f.policy("app"), f.policy("side")
	f.repo.Commit("main", gitserver.Files{"side.yaml": f.marked("side", "1")})
	a := f.automation("auto", func(a *imagev1.ImageUpdateAutomation) {
		a.Spec.GitSpec.Commit.Batch = &imagev1.CommitBatch{Quiet: metav1.Duration{Duration: 2 * time.Second}}
	})
	f.upToDate(a)
	f.choose(p, "2")
	harness.MustBecome(f.t, f.Client, a, "the first update waits", func() bool {
		ready := apimeta.FindStatusCondition(a.Status.Conditions, meta.ReadyCondition)
		return ready != nil && ready.Status == metav1.ConditionUnknown
	})
	f.choose(q, "2")
	f.written(a, "a.yaml", "app", "2")
	f.upToDate(a)
	if got := f.repo.File("main", "side.yaml"); got != f.marked("side", "2") {
		t.Errorf("the second update is not in the commit: %s", got)
	}
	if count := f.repo.Git("rev-list", "--count", "main"); count != "3" {
		t.Errorf("%s commits, want 3", count)
	}
}

// TestWritingAcrossNamespaces admits another namespace, and throws it out again.
func TestWritingAcrossNamespaces(t *testing.T) {
	f := newFixture(t)
	repo := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: f.shared, Name: "fleet"}, Spec: f.git.DeepCopy().Spec}
	f.must(f.Client.Create(t.Context(), make.Login(f.shared)))
	f.must(f.Client.Create(t.Context(), repo))
	f.choose(f.policy("app"), "2")
	a := f.automation("auto", func(a *imagev1.ImageUpdateAutomation) {
		a.Spec.SourceRef.Namespace, a.Spec.SourceRef.Name = f.shared, "fleet"
	})
	f.stalled(a, acl.AccessDeniedReason, imagev1.WriteFromAnnotation)

	admit := func(who string) {
		before := repo.DeepCopy()
		repo.Annotations = map[string]string{imagev1.WriteFromAnnotation: who}
		f.must(f.Client.Patch(t.Context(), repo, client.MergeFrom(before)))
	}
	admit("elsewhere, " + f.ns)
	f.written(a, "a.yaml", "app", "2")
	admit("elsewhere")
	f.stalled(a, acl.AccessDeniedReason, imagev1.WriteFromAnnotation)
}

// TestAPullRequestBranchFollowsMain keeps the branch on main's head.
func TestAPullRequestBranchFollowsMain(t *testing.T) {
	f := newFixture(t)
	f.choose(f.policy("app"), "2")
	a := f.automation("auto", func(a *imagev1.ImageUpdateAutomation) { a.Spec.GitSpec.Push = &imagev1.PushSpec{Branch: "updates"} })
	f.upToDate(a)
	if got := f.repo.File("updates", "a.yaml"); got != f.marked("app", "2") {
		t.Fatalf("the branch has %s", got)
	}
	top := f.repo.Commit("main", gitserver.Files{"n.txt": "n\n"})
	f.fetched(top)
	harness.MustBecome(f.t, f.Client, a, "the branch is on main's head", func() bool {
		return f.repo.Head("updates^") == top && a.Status.LastPushBase == top
	})
	if a.Status.LastPushCommit != f.repo.Head("updates") || f.repo.Head("main") != top {
		t.Errorf("status %+v", a.Status)
	}
}

// TestOnePolicyWithoutADigestStopsNoOther names the marker and writes the rest.
func TestOnePolicyWithoutADigestStopsNoOther(t *testing.T) {
	f := newFixture(t)
	digest := "digest: x # {\"$imagepolicy\": \"" + f.ns + ":side:digest\"}\n"
	f.repo.Commit("main", gitserver.Files{"side.yaml": digest})
	f.choose(f.policy("app"), "2")
	f.choose(f.policy("side"), "2")
	a := f.automation("auto")
	f.written(a, "a.yaml", "app", "2")
	harness.MustBecome(f.t, f.Client, a, "the digest is missed", func() bool {
		ready := apimeta.FindStatusCondition(a.Status.Conditions, meta.ReadyCondition)
		return ready != nil && ready.Status == metav1.ConditionFalse && ready.Reason == imagev1.UpdateFailedReason &&
			strings.Contains(ready.Message, "side.yaml:1: "+f.ns+":side:digest") && strings.Contains(ready.Message, "digestReflectionPolicy")
	})
	if m := a.Status.Markers; m == nil || m.Held != 1 || m.Current != 1 || f.repo.File("main", "side.yaml") != digest {
		t.Errorf("markers %+v", m)
	}
}

func TestAPullRequestNeedsABranchOfItsOwn(t *testing.T) {
	f := newFixture(t)
	a := f.automation("auto", func(a *imagev1.ImageUpdateAutomation) {
		a.Spec.GitSpec.Push = &imagev1.PushSpec{Branch: "main", PullRequest: &imagev1.PullRequestSpec{Provider: "gitea"}}
		a.Spec.GitSpec.Checkout = &imagev1.GitCheckoutSpec{Reference: imagev1.GitReference{Branch: "main"}}
	})
	harness.MustBecome(f.t, f.Client, a, "it is stalled", func() bool {
		return apimeta.IsStatusConditionTrue(a.Status.Conditions, meta.StalledCondition)
	})
	stalled := apimeta.FindStatusCondition(a.Status.Conditions, meta.StalledCondition)
	if stalled.Reason != imagev1.InvalidSpecReason || !strings.HasPrefix(stalled.Message, "spec.git.push.branch: ") {
		t.Errorf("stalled is %+v", stalled)
	}
}
