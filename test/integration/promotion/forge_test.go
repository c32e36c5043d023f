// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/gitea"
	"github.com/sluice-cd/sluice/test/harness"
)

// forgeGit is a repository at a real forge, which the pipeline reaches as a robot.
type forgeGit struct {
	*gitea.Repo
	at    *forgeServer
	robot *gitea.Person
}

func (g forgeGit) remote() (url, username, password string) {
	return g.URL, g.robot.Name, g.robot.Token
}

func (g forgeGit) head(ctx context.Context, branch string) (string, error) {
	return g.Head(ctx, branch)
}

func (g forgeGit) file(ctx context.Context, branch, path string) (string, error) {
	return g.File(ctx, branch, path)
}

func (g forgeGit) messages(ctx context.Context) ([]string, error) {
	var commits []struct{ Commit struct{ Message string } }
	err := g.at.Admin.Call(ctx, http.MethodGet, "/repos/"+g.Owner+"/"+g.Name+"/commits?sha=main&stat=false", nil, &commits)
	var messages []string
	for _, c := range commits {
		messages = append(messages, c.Commit.Message)
	}
	return messages, err
}

func (g forgeGit) commit(ctx context.Context, message string, files map[string]string) error {
	_, err := g.at.alice.Commit(ctx, g.Repo, gitea.Commit{Branch: gitea.Branch, Message: message, Files: files})
	return err
}

// proposals is a scenario whose production takes pull requests at a real forge.
type proposals struct {
	*scenario
	repo  forgeGit
	at    *forgeServer
	proxy *proxy
}

// byPullRequests are two stages, the second of which takes pull requests; MERGE says who
// merges them.
const byPullRequests = `
apiVersion: v1
kind: Secret
metadata: {name: NAME-forge, namespace: NAMESPACE}
stringData: {token: "PASSWORD"}
---
apiVersion: sluice.dev/v1alpha1
kind: Pipeline
metadata: {name: NAME, namespace: NAMESPACE}
spec:
  interval: 1h
  artifacts: [{name: app, imagePolicyRef: {name: NAME}}]
  sourceRef: {kind: GitRepository, name: NAME}
  forge: {provider: gitea, url: "FORGE/api/v1", secretRef: {name: NAME-forge}}
  stages:
  - name: staging
    write: {commit: {}, path: ./staging}
    ready: [{kind: Kustomization, name: NAME-staging}]
  - name: production
    after: {stages: [staging]}
    write: {pullRequest: {autoMerge: MERGE}, path: ./production}
    ready: [{kind: Kustomization, name: NAME-production}]
`

// newProposals begins a scenario of pull requests that are merged by self, platform or never.
func newProposals(t *testing.T, name, merge string) *proposals {
	t.Helper()
	return newProposalsIn(t, name, merge, sluices)
}

func newProposalsIn(t *testing.T, name, merge string, in func() (*environment, error)) *proposals {
	t.Helper()
	t.Parallel()
	harness.Installed(t)
	harness.RequireUpstream(t, "gitea")
	at, err := giteas()
	if err != nil {
		t.Fatal(err)
	}
	w, err := in()
	if err != nil {
		t.Fatal(err)
	}
	f := &proposals{scenario: &scenario{T: t, environment: w, name: name}, at: at, proxy: newProxy(t, at.URL)}
	robot, err := at.NewPerson(t.Context(), "robot-"+name) // limits are those of an identity
	f.must(err)
	repo, err := at.NewRepo(t.Context(), organization, name, f.first())
	f.must(err)
	f.must(repo.Invite(t.Context(), gitea.Write, robot, at.alice))
	f.must(repo.Invite(t.Context(), gitea.Read, at.mallory))
	f.repo = forgeGit{repo, at, robot}
	f.git = f.repo
	f.pushFirst()
	f.ends()
	f.begin(strings.NewReplacer("FORGE", f.proxy.URL, "MERGE", merge).Replace(byPullRequests))
	return f
}

// branch is that of the pull requests of production.
func (f *proposals) branch() string { return "sluice/" + f.namespace + "." + f.name + ".production" }

// proposed releases a version, and waits until it is proposed to production.
func (f *proposals) proposed(version string) *sluicev1.Pipeline {
	f.Helper()
	f.push(version)
	return f.pipelineBecomes(version+" is proposed", func(p *sluicev1.Pipeline) bool {
		return statusOf(p, "production").Phase == sluicev1.StageProposed && f.proposes(version)
	})
}

// proposes reports whether an open pull request of the pipeline is about a version.
func (f *proposals) proposes(version string) bool {
	f.Helper()
	for _, pr := range f.pulls("open") {
		if pr.Head.Branch == f.branch() && pr.Title == "Promote "+f.name+" to production: app "+version {
			return true
		}
	}
	return false
}

func (f *proposals) pulls(state string) []gitea.Pull {
	f.Helper()
	found, err := f.repo.Pulls(f.Context(), state)
	f.must(err)
	return found
}

// pull is the only pull request of the repository.
func (f *proposals) pull() gitea.Pull {
	f.Helper()
	all := f.pulls("all")
	if len(all) != 1 {
		f.Fatalf("there are %d pull requests: %+v; %s", len(all), all, standing(f.pipeline()))
	}
	return all[0]
}

// call asks the API of the repository as a person.
func (f *proposals) call(who *gitea.Person, method, path string, in, out any) error {
	return who.Call(f.Context(), method, "/repos/"+f.repo.Owner+"/"+f.repo.Name+path, in, out)
}

// comments are those of a pull request.
func (f *proposals) comments(number int64) []string {
	f.Helper()
	var found []struct{ Body string }
	f.must(f.call(f.at.Admin, http.MethodGet, fmt.Sprintf("/issues/%d/comments", number), nil, &found))
	var bodies []string
	for _, comment := range found {
		bodies = append(bodies, comment.Body)
	}
	return bodies
}

// squash merges a pull request as alice does at its page, with a message of her own.
func (f *proposals) squash(number int64, title, message string) {
	f.Helper()
	request := map[string]any{"Do": gitea.StyleSquash, "MergeTitleField": title, "MergeMessageField": message}
	var refused error
	_, err := harness.Eventually(f.Context(), "the merge", harness.Patience, func(context.Context) (bool, string) {
		refused = f.call(f.at.alice, http.MethodPost, fmt.Sprintf("/pulls/%d/merge", number), request, nil)
		var answer *gitea.StatusError
		again := errors.As(refused, &answer) && strings.Contains(strings.ToLower(answer.Message), "try again later")
		return !again, fmt.Sprint(refused)
	})
	f.must(errors.Join(err, refused))
}

// proxy stands between a pipeline and the API of its forge.
type proxy struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string // method and path of each request, in order
	// instead may answer in the place of the forge, and reports whether it did.
	instead func(http.ResponseWriter, *http.Request) bool
	// after sees the answer of the forge before the pipeline does; an error keeps it from
	// that.
	after func(*http.Response) error
}

func newProxy(t *testing.T, forge string) *proxy {
	t.Helper()
	target, err := url.Parse(forge)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{}
	back := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(answer *http.Response) error {
			p.mu.Lock()
			after := p.after
			p.mu.Unlock()
			if after == nil {
				return nil
			}
			return after(answer)
		},
	}
	p.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked = append(p.asked, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/api/v1"))
		instead := p.instead
		p.mu.Unlock()
		if instead == nil || !instead(rw, r) {
			back.ServeHTTP(rw, r)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

// answer has requests be answered in the place of the forge; nil is by the forge.
func (p *proxy) answer(instead func(http.ResponseWriter, *http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.instead = instead
}

// times is how often something was asked: the method, and how the path ends.
func (p *proxy) times(method, path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, asked := range p.asked {
		if strings.HasPrefix(asked, method+" ") && strings.HasSuffix(asked, path) {
			n++
		}
	}
	return n
}

// isMerge reports whether a request merges a pull request.
func isMerge(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/merge")
}
