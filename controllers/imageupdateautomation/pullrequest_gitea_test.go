// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/test/gitea"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
	"github.com/sluice-cd/sluice/writeback"
)

// giteaServer is a real forge, with a robot that proposes.
type giteaServer struct{ *gitea.Team }

func newGitea(t *testing.T) *giteaServer {
	t.Helper()
	return &giteaServer{gitea.RequireTeam(t)}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// giteaFixture is an automation that proposes to a repository of its own.
type giteaFixture struct {
	fixture
	t    *testing.T
	at   *giteaServer
	repo *gitea.Repo
	auto *imagev1.ImageUpdateAutomation
	last reconciler.Result
	// told are the reasons of all events.
	told []string
}

// proposes has an automation propose branch updates by pull request.
func proposes(changes ...func(*imagev1.PullRequestSpec)) func(*imagev1.ImageUpdateAutomation) {
	return func(a *imagev1.ImageUpdateAutomation) {
		spec := &imagev1.PullRequestSpec{Provider: "gitea"}
		for _, change := range changes {
			change(spec)
		}
		a.Spec.GitSpec.Push = &imagev1.PushSpec{Branch: "updates", PullRequest: spec}
	}
}

func byUs(spec *imagev1.PullRequestSpec) { spec.AutoMerge = imagev1.AutoMergeSelf }

func (s *giteaServer) fixture(t *testing.T, changes ...func(*imagev1.PullRequestSpec)) *giteaFixture {
	t.Helper()
	repo := s.TeamRepo(t, map[string]string{"a.yaml": markedFile})
	f := &giteaFixture{t: t, at: s, repo: repo, auto: automation(proposes(changes...))}
	f.fixture = newFixture(t, make.Secret("apps", "git", map[string]string{"username": "robot", "password": s.Robot.Token}),
		source(func(r *sourcev1.GitRepository) { r.Spec.URL = repo.URL }), policy("1"))
	f.Forges = forge.NewClients(forge.Options{})
	return f
}

// run reconciles once, as the runner does.
func (f *giteaFixture) run() {
	f.t.Helper()
	result, err := f.Reconcile(f.t.Context(), f.auto)
	must(f.t, err)
	f.auto.Status.ObservedGeneration = f.auto.Generation
	f.last = result
	for _, e := range result.Events {
		f.told = append(f.told, e.Reason)
	}
}

// choose has the policy choose a tag, and the automation run.
func (f *giteaFixture) choose(tag string) {
	f.t.Helper()
	f.release(tag)
	f.run()
}

// release has the policy choose a tag.
func (f *giteaFixture) release(tag string) {
	f.t.Helper()
	var p imagev1.ImagePolicy
	must(f.t, f.Client.Get(f.t.Context(), client.ObjectKey{Namespace: "apps", Name: "app"}, &p))
	p.Status.LatestRef.Tag = tag
	must(f.t, f.Client.Update(f.t.Context(), &p))
}

// until runs until something is so: the forge computes in the background.
func (f *giteaFixture) until(what string, so func() bool) {
	f.t.Helper()
	_, err := harness.Eventually(f.t.Context(), what, harness.Patience, func(context.Context) (bool, string) {
		f.run()
		return so(), fmt.Sprintf("%s: %+v", f.last.Message, f.auto.Status.PullRequest)
	})
	must(f.t, err)
}

// has is the tag on a branch.
func (f *giteaFixture) has(branch string) string {
	f.t.Helper()
	text, err := f.repo.File(f.t.Context(), branch, "a.yaml")
	must(f.t, err)
	image, _, _ := strings.Cut(text, " #")
	return strings.TrimPrefix(image, "image: app:")
}

func (f *giteaFixture) head(branch string) string {
	f.t.Helper()
	head, err := f.repo.Head(f.t.Context(), branch)
	must(f.t, err)
	return head
}

// forget loses the status, and all that a process had.
func (f *giteaFixture) forget() {
	f.auto.Status = imagev1.ImageUpdateAutomationStatus{}
	f.Writer = writeback.NewWriter(git.NewMirrors(f.t.TempDir(), clock.RealClock{}), clock.RealClock{})
}

// count is how many commits a branch has beyond another one.
func (f *giteaFixture) count(base, branch string) int {
	f.t.Helper()
	var found struct {
		Total int `json:"total_commits"`
	}
	f.call(http.MethodGet, "/compare/"+base+"..."+branch, nil, &found)
	return found.Total
}

// pulls are all pull requests of the repository, the newest first.
func (f *giteaFixture) pulls() []gitea.Pull {
	f.t.Helper()
	all, err := f.repo.Pulls(f.t.Context(), "all")
	must(f.t, err)
	return all
}

// pull is the only pull request of the repository.
func (f *giteaFixture) pull() gitea.Pull {
	f.t.Helper()
	all := f.pulls()
	if len(all) != 1 {
		f.t.Fatalf("there are %d pull requests: %+v; the status is %+v", len(all), all, f.auto.Status.PullRequest)
	}
	return all[0]
}

func (f *giteaFixture) call(method, path string, in, out any) {
	f.t.Helper()
	must(f.t, f.at.Admin.Call(f.t.Context(), method, "/repos/"+f.repo.Owner+"/"+f.repo.Name+path, in, out))
}

func (f *giteaFixture) comments() []string {
	f.t.Helper()
	var found []struct{ Body string }
	f.call(http.MethodGet, fmt.Sprintf("/issues/%d/comments", f.pull().Number), nil, &found)
	var bodies []string
	for _, c := range found {
		bodies = append(bodies, c.Body)
	}
	return bodies
}

func (f *giteaFixture) label(name string) {
	f.t.Helper()
	var made struct{ ID int64 }
	f.call(http.MethodPost, "/labels", map[string]any{"name": name, "color": "#00aabb"}, &made)
	f.call(http.MethodPost, fmt.Sprintf("/issues/%d/labels", f.pull().Number), map[string]any{"labels": []int64{made.ID}}, nil)
}

// wants checks the state of the pull request of the status and a part of the message.
func (f *giteaFixture) wants(state imagev1.PullRequestState, message string) {
	f.t.Helper()
	if status := f.auto.Status.PullRequest; status == nil || status.State != state || !strings.Contains(f.last.Message, message) {
		f.t.Errorf("the message is %q, and the status %+v; want state %s and %q", f.last.Message, status, state, message)
	}
}

func (f *giteaFixture) hasTold(reason string) {
	f.t.Helper()
	if n := len(slices.DeleteFunc(slices.Clone(f.told), func(r string) bool { return r != reason })); n != 1 {
		f.t.Errorf("%s was told %d times: %v", reason, n, f.told)
	}
}

func TestPullRequestsOfAnAutomationAtGitea(t *testing.T) {
	server := newGitea(t)
	for name, test := range map[string]func(*testing.T, *giteaServer){
		"an update is proposed, and changed in place by the next one": func(t *testing.T, s *giteaServer) {
			f := s.fixture(t, func(spec *imagev1.PullRequestSpec) {
				spec.Labels, spec.Assignees = []string{"images"}, []string{"alice"}
			})
			f.run()
			if got := f.pulls(); len(got) != 0 || f.auto.Status.PullRequest != nil {
				t.Fatalf("there is nothing to propose, and there are %+v", got)
			}
			f.choose("2")
			first := f.pull()
			if first.Title != "Update app to 2" || !strings.Contains(first.Body, "| app:1 | app:2 |") || first.Head.Branch != "updates" ||
				f.has("main") != "1" {
				t.Errorf("the pull request is %+v", first)
			}
			f.hasTold(imagev1.PullRequestOpenedReason)
			f.run()
			f.wants(imagev1.PullRequestOpen, "pull request #1, waits for a person to merge it")
			f.choose("3")
			f.run()
			if got := f.pull(); got.Title != "Update app to 3" || f.has("updates") != "3" || got.Number != first.Number || got.State != "open" {
				t.Errorf("the pull request is %+v", got)
			}
			f.hasTold(imagev1.PullRequestUpdatedReason)
			head := f.head("updates")
			f.run()
			if f.head("updates") != head || f.auto.Status.PullRequest.Head != head {
				t.Errorf("the head moved from %s to %s, and the status is %+v", head, f.head("updates"), f.auto.Status.PullRequest)
			}
		},
		"one that a person closes is declined for what it proposed, until it is reopened or asked for": func(t *testing.T, s *giteaServer) {
			f := s.fixture(t)
			f.choose("2")
			must(t, s.Alice.Close(t.Context(), f.repo, f.pull().Number))
			f.run()
			f.run()
			f.wants(imagev1.PullRequestClosed, "alice closed #1")
			if got := f.pull(); got.State != "closed" || len(f.auto.Status.Declined) != 1 {
				t.Errorf("the pull request is %+v, and declined is %+v", got, f.auto.Status.Declined)
			}
			f.hasTold(imagev1.PullRequestDeclinedReason)
			must(t, s.Alice.Reopen(t.Context(), f.repo, f.pull().Number))
			f.run()
			f.wants(imagev1.PullRequestOpen, "waits for a person to merge it")
			must(t, s.Alice.Close(t.Context(), f.repo, f.pull().Number))
			f.run()
			f.choose("3")
			if got := f.pulls(); len(got) != 2 || got[0].State != "open" || got[0].Title != "Update app to 3" {
				t.Errorf("the next content is proposed by %+v", got)
			}
			must(t, s.Alice.Close(t.Context(), f.repo, f.pulls()[0].Number))
			f.run()
			if got := f.pulls(); len(got) != 2 || got[0].State != "closed" {
				t.Errorf("the next was closed, and there are %+v", got)
			}
			f.auto.Annotations = map[string]string{imagev1.ResumeAnnotation: "now"}
			f.run()
			if got := f.pulls(); len(got) != 3 || got[0].State != "open" {
				t.Errorf("that it be proposed again was asked for, and there are %+v", got)
			}
		},
		"one that has nothing left to propose is closed by us, which declines nothing": func(t *testing.T, s *giteaServer) {
			f := s.fixture(t)
			f.choose("2")
			f.choose("1")
			f.wants(imagev1.PullRequestClosed, "")
			if got := f.pull(); got.State != "closed" || len(f.comments()) != 1 || len(f.auto.Status.Declined) != 0 {
				t.Errorf("the pull request is %+v, with comments %q; declined is %+v", got, f.comments(), f.auto.Status.Declined)
			}
			f.choose("2")
			if got := f.pulls(); len(got) != 2 || got[0].State != "open" {
				t.Errorf("the pull requests are %+v", got)
			}
		},
		"one that a person merges is followed by the next": func(t *testing.T, s *giteaServer) {
			f := s.fixture(t)
			f.choose("2")
			must(t, s.Alice.Merge(t.Context(), f.repo, f.pull().Number, gitea.StyleSquash))
			f.run()
			f.wants(imagev1.PullRequestMerged, "")
			f.hasTold(imagev1.PullRequestMergedReason)
			if f.has("main") != "2" || len(*f.woken) == 0 {
				t.Errorf("main has %s, and woken are %v", f.has("main"), *f.woken)
			}
			f.choose("3")
			if got := f.pulls(); len(got) != 2 || got[0].State != "open" || got[0].Title != "Update app to 3" {
				t.Errorf("the pull requests are %+v", got)
			}
		},
		"one that is complete is merged by us": func(t *testing.T, s *giteaServer) {
			f := s.fixture(t, byUs)
			must(t, f.repo.Protect(t.Context(), gitea.Protection{Branch: "main", Statuses: []string{"build"}}))
			f.choose("2")
			f.run()
			if f.has("main") != "1" {
				t.Fatal("it was merged before its check succeeded")
			}
			f.wants(imagev1.PullRequestOpen, "check build has not begun")
			must(t, s.Alice.SetStatus(t.Context(), f.repo, f.head("updates"), "build", "success"))
			f.until("the merge", func() bool { return f.has("main") == "2" })
			f.run()
			f.wants(imagev1.PullRequestMerged, "")
			f.hasTold(imagev1.PullRequestMergedReason)
			if got, err := f.repo.Pull(t.Context(), f.pull().Number); err != nil || !got.Merged || got.MergedBy == nil ||
				got.MergedBy.Name != "robot" {
				t.Errorf("the pull request is %+v, %v", got, err)
			}
		},
		"one that the forge is asked to merge is merged when its check succeeds": func(t *testing.T, s *giteaServer) {
			f := s.fixture(t, func(spec *imagev1.PullRequestSpec) {
				spec.AutoMerge, spec.MergeMethod, spec.Reviewers = imagev1.AutoMergePlatform, imagev1.MergeMethodSquash, []string{"alice"}
			})
			must(t, f.repo.Protect(t.Context(), gitea.Protection{Branch: "main", Statuses: []string{"build"}}))
			f.choose("2")
			f.until("the request to merge", func() bool { return f.auto.Status.PullRequest.AutoMerge })
			must(t, s.Alice.SetStatus(t.Context(), f.repo, f.head("updates"), "build", "success"))
			f.until("the merge", func() bool { return f.auto.Status.PullRequest.State == imagev1.PullRequestMerged })
			if f.has("main") != "2" || f.auto.Status.PullRequest.AutoMerge {
				t.Errorf("main has %s, and the status is %+v", f.has("main"), f.auto.Status.PullRequest)
			}
			f.hasTold(imagev1.PullRequestMergedReason)
		},
		"one that somebody commits to is theirs, until they hand it back": func(t *testing.T, s *giteaServer) {
			f := s.fixture(t, byUs)
			must(t, f.repo.Protect(t.Context(), gitea.Protection{Branch: "main", Approvals: 1}))
			f.choose("2")
			_, err := s.Alice.Commit(t.Context(), f.repo, gitea.Commit{Branch: "updates", Message: "Mine", Files: map[string]string{"mine": "x"}})
			must(t, err)
			theirs := f.head("updates")
			f.until("a comment", func() bool { return len(f.comments()) > 0 })
			f.choose("3")
			f.run()
			if f.head("updates") != theirs || len(f.comments()) != 1 {
				t.Errorf("the head moved to %s, and there are comments %q", f.head("updates"), f.comments())
			}
			f.hasTold(imagev1.PullRequestLeftAloneReason)
			f.label(forge.RetryLabel)
			f.until("a head of ours", func() bool { return f.has("updates") == "3" })
			if _, err := f.repo.File(t.Context(), "updates", "mine"); err == nil {
				t.Error("what somebody committed is still there")
			}
		},
		"one that is approved keeps what it proposes": func(t *testing.T, s *giteaServer) {
			f := s.fixture(t)
			f.choose("2")
			must(t, s.Alice.Approve(t.Context(), f.repo, f.pull().Number))
			f.choose("3")
			f.wants(imagev1.PullRequestOpen, "which keeps what it proposes: it is approved, waits for a person to merge it")
			if f.has("updates") != "2" {
				t.Errorf("the branch has %s", f.has("updates"))
			}
			must(t, s.Alice.Merge(t.Context(), f.repo, f.pull().Number, gitea.StyleMerge))
			f.run()
			if got := f.pulls(); f.has("main") != "2" || len(got) != 2 || got[0].Title != "Update app to 3" {
				t.Errorf("what comes next is %+v", got)
			}
			if len(*f.woken) == 0 {
				t.Error("no source was woken by a merge that was seen as the next pull request was opened")
			}
		},
		"one that somebody else opened from the branch is theirs": func(t *testing.T, s *giteaServer) {
			f := s.fixture(t)
			_, err := s.Alice.Commit(t.Context(), f.repo,
				gitea.Commit{Branch: "updates", From: "main", Message: "Mine", Files: map[string]string{"mine": "x"}})
			must(t, err)
			_, err = s.Alice.Open(t.Context(), f.repo, "updates", "main", "Mine")
			must(t, err)
			f.release("2")
			_, err = f.Reconcile(t.Context(), f.auto)
			if err == nil || !strings.Contains(err.Error(), "was opened by alice: it is theirs") {
				t.Errorf("got %v", err)
			}
			if got := f.pull(); got.Title != "Mine" || got.State != "open" || f.has("updates") != "1" {
				t.Errorf("the pull request is %+v", got)
			}
		},
		"commits of each policy are one pull request, whether or not the status is known": func(t *testing.T, s *giteaServer) {
			f := s.fixture(t, byUs)
			f.auto.Spec.GitSpec.Commit.Per = imagev1.CommitPerPolicy
			web := policy("2")
			web.Name = "web"
			must(t, f.Client.Create(t.Context(), web))
			_, err := s.Alice.Commit(t.Context(), f.repo, gitea.Commit{Branch: "main", Message: "Web", Files: map[string]string{
				"web.yaml": "image: app:1 # {\"$imagepolicy\": \"apps:web\"}\n"}})
			must(t, err)
			must(t, f.repo.Protect(t.Context(), gitea.Protection{Branch: "main", Statuses: []string{"build"}}))
			f.choose("2")
			first, head := f.pull(), f.head("updates")
			if first.Title != "Update app to 2, web to 2" || f.count("main", "updates") != 2 {
				t.Errorf("it has %d commits, and is %+v", f.count("main", "updates"), first)
			}
			f.forget()
			f.run()
			f.run()
			if got := f.head("updates"); got != head || f.auto.Status.PullRequest.LeftAlone != "" || len(f.comments()) != 0 {
				t.Errorf("without a status the head went from %s to %s; comments are %q, and the status %+v",
					head, got, f.comments(), f.auto.Status.PullRequest)
			}
			f.wants(imagev1.PullRequestOpen, "check build has not begun")
			f.forget()
			f.choose("3")
			f.run()
			if got := f.pull(); got.Number != first.Number || got.Title != "Update app to 3, web to 2" || f.has("updates") != "3" ||
				f.count("main", "updates") != 2 {
				t.Errorf("the next has %d commits, and is %+v", f.count("main", "updates"), got)
			}
			must(t, s.Alice.SetStatus(t.Context(), f.repo, f.head("updates"), "build", "success"))
			f.until("the merge", func() bool { return f.has("main") == "3" })
		},
		"what is said of it is what the templates say": func(t *testing.T, s *giteaServer) {
			f := s.fixture(t, func(spec *imagev1.PullRequestSpec) {
				spec.TitleTemplate = "{{ .AutomationObject.Name }}:{{ range .Changed.Changes }} {{ .NewValue }}{{ end }}"
				spec.BodyTemplate, spec.Draft = "Because of {{ .Values.why }}", true
			})
			f.auto.Spec.GitSpec.Commit.MessageTemplateValues = map[string]string{"why": "reasons"}
			f.choose("2")
			if got := f.pull(); !strings.HasSuffix(got.Title, "auto: app:2") || !strings.HasPrefix(got.Title, "WIP:") ||
				got.Body != "Because of reasons" {
				t.Errorf("the pull request is %+v", got)
			}
			f.auto.Spec.GitSpec.Push.PullRequest.BodyTemplate = "Because"
			f.auto.Generation++
			f.run()
			if got := f.pull(); got.Body != "Because" || !strings.HasPrefix(got.Title, "WIP:") {
				t.Errorf("the pull request is %+v", got)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { test(t, server) })
	}
}
