// SPDX-License-Identifier: Apache-2.0

// Package automation tests the way from a chosen image to a pushed commit against
// a real API server and a real Git server. The choices are written into the
// policies' status, so that nothing but the automation itself is under test.
package automation

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/controllers/imageupdateautomation"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/git/access"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/wake"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
	"github.com/sluice-cd/sluice/writeback"
)

// fixture is a namespace of a playground in which the controller runs, with a
// GitRepository named app.
type fixture struct {
	*harness.Playground
	t      *testing.T
	ns     string
	shared string // another namespace, empty
	repo   *gitserver.Repo
	git    *sourcev1.GitRepository
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	return newFixtureIn(t, harness.Installed(t))
}

// newFixtureIn is one in a playground of its own.
func newFixtureIn(t *testing.T, p *harness.Playground) *fixture {
	t.Helper()
	f := &fixture{Playground: p, t: t, repo: gitserver.New(t, gitserver.WithBasicAuth("user", "secret")).Repo("app")}
	f.ns, f.shared = f.NewNamespace(t, "automation-", nil), f.NewNamespace(t, "shared-", nil)
	f.repo.Commit("main", gitserver.Files{"a.yaml": f.marked("app", "1")})
	f.must(f.Client.Create(t.Context(), make.Login(f.ns)))
	f.git = make.GitRepository(f.ns, "app", make.WithSecret("git"), func(r *sourcev1.GitRepository) { r.Spec.URL = f.repo.URL })
	f.must(f.Client.Create(t.Context(), f.git))
	f.start()
	return f
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: f.ns, Name: name, Labels: map[string]string{"app": name}}
}

// marked is a file with a marker of a policy.
func (f *fixture) marked(policy, tag string) string {
	return fmt.Sprintf("image: app:%s # {\"$imagepolicy\": \"%s:%s\"}\n", tag, f.ns, policy)
}

// start runs the controller for the fixture's namespace.
func (f *fixture) start() {
	f.t.Helper()
	f.run(func(mgr ctrl.Manager, opts reconciler.Options) error {
		return (&imageupdateautomation.Reconciler{
			Client: mgr.GetClient(), Access: access.Access{Client: mgr.GetClient()}, Sources: &wake.Source{}, Clock: clock.RealClock{},
			Writer: writeback.NewWriter(git.NewMirrors(f.t.TempDir(), clock.RealClock{}), clock.RealClock{}),
		}).SetupWithManager(f.t.Context(), mgr, opts)
	})
}

// run runs controllers until the test ends.
func (f *fixture) run(setup func(ctrl.Manager, reconciler.Options) error) {
	f.t.Helper()
	f.Serve(f.t, setup, f.ns, f.shared)
}

// automation makes an automation of all policies, changed as the test likes. Its
// interval is so long that nothing in a test happens because of it.
func (f *fixture) automation(name string, changes ...func(*imagev1.ImageUpdateAutomation)) *imagev1.ImageUpdateAutomation {
	f.t.Helper()
	a := &imagev1.ImageUpdateAutomation{ObjectMeta: f.named(name), Spec: imagev1.ImageUpdateAutomationSpec{
		SourceRef: imagev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "app"},
		Interval:  metav1.Duration{Duration: 24 * time.Hour},
		GitSpec: &imagev1.GitSpec{Commit: imagev1.CommitSpec{
			Author: imagev1.CommitUser{Name: "bot", Email: "bot@example.com"}, MessageTemplate: name}},
	}}
	for _, change := range changes {
		change(a)
	}
	f.must(f.Client.Create(f.t.Context(), a))
	return a
}

// policy makes a policy that has chosen nothing yet.
func (f *fixture) policy(name string) *imagev1.ImagePolicy {
	f.t.Helper()
	p := make.ImagePolicy(f.ns, name, func(p *imagev1.ImagePolicy) { p.Labels = map[string]string{"app": name} })
	f.must(f.Client.Create(f.t.Context(), p))
	return p
}

// choose writes a choice, as the policy's controller does.
func (f *fixture) choose(p *imagev1.ImagePolicy, tag string) {
	f.t.Helper()
	before := p.DeepCopy()
	p.Status.LatestRef = &imagev1.ImageRef{Name: "app", Tag: tag}
	apimeta.SetStatusCondition(&p.Status.Conditions, metav1.Condition{
		Type: meta.ReadyCondition, Status: metav1.ConditionTrue, Reason: "Succeeded", ObservedGeneration: p.Generation})
	f.must(f.Client.Status().Patch(f.t.Context(), p, client.MergeFrom(before)))
}

// fetched writes the artifact of a commit, as the source's controller does.
func (f *fixture) fetched(commit string) {
	f.t.Helper()
	f.must(f.Client.Get(f.t.Context(), client.ObjectKeyFromObject(f.git), f.git))
	before := f.git.DeepCopy()
	f.git.Status.ObservedGeneration = f.git.Generation
	f.git.Status.Artifact = &meta.Artifact{
		Revision: "main@sha1:" + commit, URL: "http://127.0.0.1/x", Path: "x",
		Digest: "sha256:" + strings.Repeat("0", 64), LastUpdateTime: metav1.Now(),
	}
	f.must(f.Client.Status().Patch(f.t.Context(), f.git, client.MergeFrom(before)))
}

// edit changes the present state of an automation.
func (f *fixture) edit(a *imagev1.ImageUpdateAutomation, change func()) {
	f.t.Helper()
	f.must(f.Client.Get(f.t.Context(), client.ObjectKeyFromObject(a), a))
	before := a.DeepCopy()
	change()
	f.must(f.Client.Patch(f.t.Context(), a, client.MergeFrom(before)))
}

// upToDate waits until the automation is Ready for its spec.
func (f *fixture) upToDate(a *imagev1.ImageUpdateAutomation) {
	f.t.Helper()
	harness.MustBecome(f.t, f.Client, a, a.Name+" is Ready", func() bool {
		ready := apimeta.FindStatusCondition(a.Status.Conditions, meta.ReadyCondition)
		return ready != nil && ready.Status == metav1.ConditionTrue && ready.ObservedGeneration == a.Generation &&
			ready.Message == "repository up-to-date"
	})
}

// stalled waits until the automation is Stalled for a reason, with a text.
func (f *fixture) stalled(a *imagev1.ImageUpdateAutomation, reason, text string) {
	f.t.Helper()
	harness.MustBecome(f.t, f.Client, a, a.Name+" is stalled: "+text, func() bool {
		stalled := apimeta.FindStatusCondition(a.Status.Conditions, meta.StalledCondition)
		return stalled != nil && stalled.Status == metav1.ConditionTrue && stalled.Reason == reason && strings.Contains(stalled.Message, text)
	})
}

// written waits until a file has a tag on main, pushed and told by a.
func (f *fixture) written(a *imagev1.ImageUpdateAutomation, file, policy, tag string) {
	f.t.Helper()
	harness.MustBecome(f.t, f.Client, a, file+" has tag "+tag, func() bool {
		head := f.repo.Head("main")
		return f.repo.File(head, file) == f.marked(policy, tag) && a.Status.LastPushCommit != "" &&
			strings.Contains(f.repo.Git("rev-list", head), a.Status.LastPushCommit) &&
			a.Status.ObservedPolicies[policy].Tag == tag
	})
}
