// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/test/gitea"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
)

const headOfProduction = "sluice/apps.shop.production"

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

// forgeEnv is a pipeline whose production takes pull requests at a real forge.
type forgeEnv struct {
	*env
	at   *giteaServer
	repo *gitea.Repo
}

// proposes makes production take pull requests.
func proposes(changes ...func(*sluicev1.PullRequest)) func(*sluicev1.Pipeline) {
	return func(p *sluicev1.Pipeline) {
		pr := &sluicev1.PullRequest{}
		for _, change := range changes {
			change(pr)
		}
		p.Spec.Forge = &sluicev1.Forge{Provider: "gitea"}
		p.Spec.Stages[1].Write = sluicev1.Write{Path: "production", PullRequest: pr}
	}
}

func (s *giteaServer) env(t *testing.T, changes ...func(*sluicev1.Pipeline)) *forgeEnv {
	t.Helper()
	repo := s.TeamRepo(t, map[string]string{"staging/app.yaml": marked, "production/app.yaml": marked})
	head := func(branch string) string {
		commit, err := repo.Head(t.Context(), branch)
		must(t, err)
		return commit
	}
	source := sourcev1.GitRepositorySpec{URL: repo.URL, SecretRef: &meta.LocalObjectReference{Name: "robot"}}
	e := &forgeEnv{env: newEnvAt(t, source, head, changes...), at: s, repo: repo}
	must(t, e.Client.Create(t.Context(), make.Secret("apps", "robot", map[string]string{"username": "robot", "password": s.Robot.Token})))
	e.Forges = forge.NewClients(forge.Options{})
	if e.pipeline.Spec.State == sluicev1.StateNone {
		e.pipeline.ResourceVersion = ""
		e.create(e.pipeline)
	}
	return e
}

// briefly is an env whose state is in the status of the pipeline. Each of its changes on a
// branch would be a push, for which Gitea starts itself several times.
func (s *giteaServer) briefly(t *testing.T, changes ...func(*sluicev1.Pipeline)) *forgeEnv {
	t.Helper()
	return s.env(t, append(changes, inStatus)...)
}

// verify has a version be verified in staging.
func (e *forgeEnv) verify(version string) {
	e.t.Helper()
	e.reconcile()
	e.release(version)
	e.reconcile()
	e.apply("staging")
	e.reconcile()
}

// has is the version of a stage on a branch.
func (e *forgeEnv) has(branch, stage string) string {
	e.t.Helper()
	text, err := e.repo.File(e.t.Context(), branch, stage+"/app.yaml")
	must(e.t, err)
	image, _, _ := strings.Cut(text, " #")
	return strings.TrimPrefix(image, "image: registry/app:")
}

// pull is the only pull request of the repository.
func (e *forgeEnv) pull() *gitea.Pull {
	e.t.Helper()
	all, err := e.repo.Pulls(e.t.Context(), "all")
	must(e.t, err)
	if len(all) != 1 {
		e.t.Fatalf("there are %d pull requests: %+v; the status is %+v", len(all), all, e.pipeline.Status.Stages[1])
	}
	return &all[0]
}

// newestPull is the number of the newest pull request.
func (e *forgeEnv) newestPull() int64 {
	e.t.Helper()
	all, err := e.repo.Pulls(e.t.Context(), "open")
	must(e.t, err)
	if len(all) != 1 {
		e.t.Fatalf("there are %d open pull requests: %+v; the status is %+v", len(all), all, e.stage())
	}
	return all[0].Number
}

// until reconciles until something is so: the forge computes in the background.
func (e *forgeEnv) until(what string, so func() bool) {
	e.t.Helper()
	_, err := harness.Eventually(e.t.Context(), what, harness.Patience, func(context.Context) (bool, string) {
		e.clock.Step(time.Minute)
		e.reconcile()
		return so(), fmt.Sprintf("%+v", e.pipeline.Status.Stages[1])
	})
	must(e.t, err)
}

// look has the pipeline look at everything.
func (e *forgeEnv) look() {
	e.t.Helper()
	e.clock.Step(e.pipeline.Spec.Interval.Duration)
	e.reconcile()
}

func (e *forgeEnv) stage() sluicev1.StageStatus { return e.pipeline.Status.Stages[1] }

// call asks the API of the repository as the administrator.
func (e *forgeEnv) call(method, path string, in, out any) {
	e.t.Helper()
	must(e.t, e.at.Admin.Call(e.t.Context(), method, "/repos/"+e.repo.Owner+"/"+e.repo.Name+path, in, out))
}

func (e *forgeEnv) parents(branch string) []string {
	e.t.Helper()
	var commit struct {
		Parents []struct{ SHA string }
	}
	e.call(http.MethodGet, "/git/commits/"+e.head(branch), nil, &commit)
	var parents []string
	for _, p := range commit.Parents {
		parents = append(parents, p.SHA)
	}
	return parents
}

// comments is how many the pull request has.
func (e *forgeEnv) comments() int {
	e.t.Helper()
	var found []struct{ Body string }
	e.call(http.MethodGet, fmt.Sprintf("/issues/%d/comments", e.pull().Number), nil, &found)
	return len(found)
}

// label gives the pull request a label.
func (e *forgeEnv) label(name string) {
	e.t.Helper()
	var made struct{ ID int64 }
	e.call(http.MethodPost, "/labels", map[string]any{"name": name, "color": "#00aabb"}, &made)
	e.call(http.MethodPost, fmt.Sprintf("/issues/%d/labels", e.pull().Number), map[string]any{"labels": []int64{made.ID}}, nil)
}

// status is what the gates say on a commit.
func (e *forgeEnv) status(sha string) string {
	e.t.Helper()
	var found []struct{ Context, Status string }
	e.call(http.MethodGet, "/commits/"+sha+"/statuses?sort=recentupdate", nil, &found)
	for _, s := range found {
		if s.Context == headOfProduction {
			return s.Status
		}
	}
	return ""
}

// imitate commits something to the head in our name, as whoever may push can.
func (e *forgeEnv) imitate() {
	e.t.Helper()
	var head struct {
		Commit struct{ Message string }
	}
	e.call(http.MethodGet, "/git/commits/"+e.head(headOfProduction), nil, &head)
	us := map[string]string{"name": "Sluice", "email": "sluice@users.noreply.sluice.dev"}
	e.call(http.MethodPost, "/contents/evil", map[string]any{
		"branch": headOfProduction, "message": head.Commit.Message, "content": "eA==", "author": us, "committer": us,
	}, nil)
}

func never(pr *sluicev1.PullRequest) { pr.AutoMerge = sluicev1.AutoMergeNever }

func TestPullRequestsAtGitea(t *testing.T) {
	server := newGitea(t)
	for name, test := range map[string]func(*testing.T, *giteaServer){
		"a bundle is proposed, and merged once all is green": func(t *testing.T, s *giteaServer) {
			e := s.env(t, proposes())
			e.verify("2")
			pr := e.pull()
			if pr.Head.Branch != headOfProduction || pr.Title != "Promote shop to production: app 2" ||
				!strings.Contains(pr.Body, "| app | 1 | 2 |") ||
				!strings.Contains(pr.Body, "- verified in staging at ") {
				t.Errorf("the pull request is %+v", pr)
			}
			e.until("the merge", func() bool { return e.has("main", "production") == "2" })
			e.apply("production")
			e.reconcile()
			if got := e.stage(); got.Phase != sluicev1.StageVerified || len(got.Landings) != 2 || got.Landings[0].Kind != sluicev1.LandingPromotion {
				t.Errorf("production is %+v", got)
			}
		},
		"one that a person closes is not proposed again, until it is reopened; then a newer bundle changes it, " +
			"until it is approved, and it lands with that bundle": func(t *testing.T, s *giteaServer) {
			e := s.briefly(t, proposes(never))
			e.verify("2")
			number := e.pull().Number
			must(t, s.Alice.Close(t.Context(), e.repo, number))
			e.look()
			e.look()
			if pr := e.pull(); pr.State != "closed" {
				t.Errorf("the pull request is %+v", pr)
			}
			must(t, s.Alice.Reopen(t.Context(), e.repo, number))
			e.look()
			if got := e.stage(); got.PullRequest == nil || got.PullRequest.State != "open" || got.PullRequest.Bundle == "" {
				t.Errorf("the status is %+v", got)
			}
			e.verify("3")
			if pr := e.pull(); pr.Title != "Promote shop to production: app 3" || e.has(headOfProduction, "production") != "3" {
				t.Errorf("the pull request is %+v", pr)
			}
			if parents := e.parents(headOfProduction); len(parents) != 1 || parents[0] != e.head("main") {
				t.Errorf("the head is on %v, and main at %s", parents, e.head("main"))
			}
			must(t, s.Alice.Approve(t.Context(), e.repo, e.pull().Number))
			e.look()
			e.verify("4")
			if got := e.stage(); e.has(headOfProduction, "production") != "3" || got.PullRequest == nil ||
				got.PullRequest.Frozen != "it is approved" {
				t.Errorf("the status is %+v", got)
			}
			must(t, s.Alice.Merge(t.Context(), e.repo, e.pull().Number, gitea.StyleSquash))
			e.look()
			e.apply("production")
			e.look()
			if got := e.stage(); e.has("main", "production") != "3" || got.Landings[0].Bundle.Versions[0].Tag != "3" {
				t.Errorf("production is %+v", got)
			}
			if all, err := e.repo.Pulls(t.Context(), "open"); err != nil || len(all) != 1 || all[0].Title != "Promote shop to production: app 4" {
				t.Errorf("what comes next is %+v, %v", all, err)
			}
		},
		"one that somebody commits to is theirs, until they hand it back": func(t *testing.T, s *giteaServer) {
			e := s.briefly(t, proposes(never))
			e.verify("2")
			_, err := s.Alice.Commit(t.Context(), e.repo,
				gitea.Commit{Branch: headOfProduction, Message: "Mine", Files: map[string]string{"mine": "x"}})
			must(t, err)
			theirs := e.head(headOfProduction)
			e.look()
			e.verify("3")
			if e.head(headOfProduction) != theirs || e.has("main", "production") != "1" || e.comments() != 1 {
				t.Errorf("the head moved to %s, there are %d comments, and the status is %+v", e.head(headOfProduction), e.comments(), e.stage())
			}
			e.label(forge.RetryLabel)
			e.pipeline.Spec.Stages[1].Write.PullRequest.AutoMerge = sluicev1.AutoMergeSelf
			e.until("the merge", func() bool { return e.has("main", "production") == "3" })
		},
		"a head that only says that it is ours is not merged": func(t *testing.T, s *giteaServer) {
			e := s.briefly(t, proposes(never))
			e.verify("2")
			e.imitate()
			e.pipeline.Spec.Stages[1].Write.PullRequest.AutoMerge = sluicev1.AutoMergeSelf
			e.pipeline.Generation++
			e.until("the merge", func() bool { return e.has("main", "production") == "2" })
			if _, err := e.repo.File(t.Context(), "main", "evil"); err == nil {
				t.Error("what somebody put on the branch was merged")
			}
		},
		"the gates are a status that the branch can require": func(t *testing.T, s *giteaServer) {
			e := s.briefly(t, proposes(), func(p *sluicev1.Pipeline) { p.Spec.Stages[1].Approval = &sluicev1.Approval{MinApprovals: 1} })
			e.verify("2")
			must(t, e.repo.Protect(t.Context(), gitea.Protection{Branch: "main", Statuses: []string{headOfProduction}}))
			if state := e.status(e.pull().Head.SHA); state != "pending" {
				t.Errorf("the status is %s: %+v", state, e.stage())
			}
			e.pipeline.Spec.Stages[1].Approval = nil
			e.pipeline.Generation++
			e.until("the merge", func() bool { return e.has("main", "production") == "2" })
		},
	} {
		t.Run(name, func(t *testing.T) { test(t, server) })
	}
}

func TestHowAPullRequestIsMergedAtGitea(t *testing.T) {
	e := newGitea(t).briefly(t, proposes())
	for i, tc := range []struct {
		method sluicev1.MergeMethod
		style  gitea.MergeStyle
	}{
		{"", gitea.StyleSquash}, {sluicev1.MergeMethodMerge, gitea.StyleMerge},
		{sluicev1.MergeMethodRebase, gitea.StyleRebase}, {sluicev1.MergeMethodFastForward, gitea.StyleFastForward},
	} {
		t.Run("method "+string(tc.method)+" where "+string(tc.style)+" is allowed", func(t *testing.T) {
			version := strconv.Itoa(i + 2)
			e.pipeline.Spec.Stages[1].Write.PullRequest.MergeMethod = tc.method
			must(t, e.repo.Allow(t.Context(), tc.style))
			e.verify(version)
			e.until("the merge", func() bool { return e.has("main", "production") == version })
			e.apply("production")
			e.look()
			if got := e.stage(); got.Phase != sluicev1.StageVerified || got.Landings[0].Kind != sluicev1.LandingPromotion ||
				got.Landings[0].Bundle.Versions[0].Tag != version {
				t.Errorf("production is %+v", got)
			}
		})
	}
}
