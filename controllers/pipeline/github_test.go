// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/test/make"
)

// gitHub is a repository at GitHub: as much of the API as pipelines use, above the branches
// of a real Git repository. Package forge tries the rest of the protocol.
type gitHub struct {
	*httptest.Server
	t    *testing.T
	repo *gitserver.Repo

	mu       sync.Mutex
	pulls    []*gitHubPull
	statuses map[string]map[string]string // states, by commit and context
	required []string                     // checks of main
	queue    bool                         // of main
	full     bool                         // the queue takes nothing
	older    bool                         // it is that of a protection, which no rule tells of
	requests []string
	// refuse answers a request, if it says so.
	refuse func(http.ResponseWriter, *http.Request) bool
}

type gitHubPull struct {
	number                        int
	title, body, branch, state    string
	base                          string // "" is main
	draft, auto, queued, approved bool
	landed, closedBy, mergedBy    string
	labels, comments              []string
	updated                       int
}

type document = map[string]any

const gitHubRepo = "/api/v3/repos/acme/fleet"

func newGitHub(t *testing.T, repo *gitserver.Repo) *gitHub {
	t.Helper()
	g := &gitHub{t: t, repo: repo, statuses: map[string]map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+gitHubRepo, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, document{"allow_merge_commit": true, "allow_squash_merge": true, "allow_rebase_merge": true})
	})
	mux.HandleFunc("GET "+gitHubRepo+"/rules/branches/main", g.rules)
	mux.HandleFunc("GET "+gitHubRepo+"/branches/main/protection", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 404, document{"message": "Branch not protected"})
	})
	mux.HandleFunc("GET "+gitHubRepo+"/commits/{sha}/status", g.status)
	mux.HandleFunc("GET "+gitHubRepo+"/commits/{sha}/check-runs", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, document{"total_count": 0, "check_runs": []document{}})
	})
	mux.HandleFunc("POST "+gitHubRepo+"/statuses/{sha}", func(w http.ResponseWriter, r *http.Request) {
		in := g.read(r)
		g.setStatus(r.PathValue("sha"), fmt.Sprint(in["context"]), fmt.Sprint(in["state"]))
		answer(w, 201, document{})
	})
	mux.HandleFunc("GET "+gitHubRepo+"/pulls", g.list)
	mux.HandleFunc("POST "+gitHubRepo+"/pulls", g.open)
	mux.HandleFunc("GET "+gitHubRepo+"/pulls/{n}", func(w http.ResponseWriter, r *http.Request) { answer(w, 200, g.show(g.numbered(r))) })
	mux.HandleFunc("PATCH "+gitHubRepo+"/pulls/{n}", g.edit)
	mux.HandleFunc("PUT "+gitHubRepo+"/pulls/{n}/merge", g.merge)
	mux.HandleFunc("GET "+gitHubRepo+"/issues/{n}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, document{"closed_by": document{"login": g.numbered(r).closedBy}})
	})
	mux.HandleFunc("POST "+gitHubRepo+"/issues/{n}/comments", func(w http.ResponseWriter, r *http.Request) {
		p := g.numbered(r)
		p.comments = append(p.comments, fmt.Sprint(g.read(r)["body"]))
		answer(w, 201, document{"id": 1})
	})
	mux.HandleFunc("POST "+gitHubRepo+"/pulls/{n}/requested_reviewers", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 422, document{"message": "Reviews may only be requested from collaborators."})
	})
	mux.HandleFunc("POST /api/graphql", g.graphQL)
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.requests = append(g.requests, r.Method+" "+r.URL.Path)
		if g.refuse == nil || !g.refuse(w, r) {
			mux.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(g.Close)
	return g
}

func answer(w http.ResponseWriter, code int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(value)
}

func (g *gitHub) read(r *http.Request) document {
	in := document{}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		g.t.Error(err)
	}
	return in
}

// numbered is the pull request of a path.
func (g *gitHub) numbered(r *http.Request) *gitHubPull {
	number, _ := strconv.Atoi(r.PathValue("n"))
	return g.pulls[number-1]
}

// touch has a pull request be the one that changed last.
func (g *gitHub) touch(p *gitHubPull) { p.updated = len(g.requests) }

func (g *gitHub) setStatus(sha, name, state string) {
	if g.statuses[sha] == nil {
		g.statuses[sha] = map[string]string{}
	}
	g.statuses[sha][name] = state
	for _, p := range g.pulls {
		if p.auto && p.state == "open" && g.head(p) == sha && g.blocked(p) == "clean" {
			g.land(p, "sluice-bot")
		}
	}
}

func (g *gitHub) head(p *gitHubPull) string { return g.repo.Head(p.branch) }

// blocked is the mergeable_state of an open pull request.
func (g *gitHub) blocked(p *gitHubPull) string {
	if p.draft {
		return "draft"
	}
	for _, name := range g.required {
		if g.statuses[g.head(p)][name] != "success" {
			return "blocked"
		}
	}
	return "clean"
}

// land merges a pull request by a merge commit.
func (g *gitHub) land(p *gitHubPull, by string) {
	tree := g.repo.Git("merge-tree", "--write-tree", "main", p.branch)
	p.landed = g.repo.Git("-c", "user.name=GitHub", "-c", "user.email=noreply@github.com",
		"commit-tree", tree, "-p", "main", "-p", p.branch, "-m", p.title)
	g.repo.Git("update-ref", "refs/heads/main", p.landed)
	p.state, p.mergedBy, p.auto, p.queued = "merged", by, false, false
	g.touch(p)
}

func (g *gitHub) show(p *gitHubPull) document {
	labels := []document{}
	for _, name := range p.labels {
		labels = append(labels, document{"name": name})
	}
	shown := document{
		"number": p.number, "node_id": fmt.Sprint("PR_", p.number),
		"html_url": fmt.Sprint("https://github.example.com/acme/fleet/pull/", p.number),
		"title":    p.title, "body": p.body, "draft": p.draft,
		"state": "closed", "base": document{"ref": cmp.Or(p.base, "main")}, "user": document{"login": "sluice-bot"},
		"head":   document{"ref": p.branch, "sha": g.head(p), "repo": document{"full_name": "acme/fleet"}},
		"labels": labels, "mergeable_state": "unknown",
	}
	if p.auto {
		shown["auto_merge"] = document{"merge_method": "merge"}
	}
	switch p.state {
	case "open":
		shown["state"], shown["mergeable_state"] = "open", g.blocked(p)
	case "merged":
		shown["merged"], shown["merged_at"], shown["merge_commit_sha"], shown["merged_by"] = true, "2026-03-01T09:00:00Z", p.landed, document{
			"login": p.mergedBy,
		}
	}
	return shown
}

func (g *gitHub) list(w http.ResponseWriter, r *http.Request) {
	list := slices.Clone(g.pulls)
	slices.SortFunc(list, func(a, b *gitHubPull) int { return b.updated - a.updated })
	shown := []document{}
	_, branch, only := strings.Cut(r.FormValue("head"), ":")
	for _, p := range list {
		if !only || p.branch == branch && cmp.Or(p.base, "main") == r.FormValue("base") {
			shown = append(shown, g.show(p))
		}
	}
	answer(w, 200, shown)
}

func (g *gitHub) open(w http.ResponseWriter, r *http.Request) {
	in := g.read(r)
	p := &gitHubPull{
		number: len(g.pulls) + 1, title: fmt.Sprint(in["title"]), body: fmt.Sprint(in["body"]),
		branch: fmt.Sprint(in["head"]), base: fmt.Sprint(in["base"]), state: "open", draft: in["draft"] == true,
	}
	g.pulls = append(g.pulls, p)
	g.touch(p)
	answer(w, 201, g.show(p))
}

func (g *gitHub) edit(w http.ResponseWriter, r *http.Request) {
	p, in := g.numbered(r), g.read(r)
	if title, ok := in["title"].(string); ok {
		p.title, p.body = title, fmt.Sprint(in["body"])
	}
	if in["state"] == "closed" {
		p.state, p.closedBy = "closed", "sluice-bot"
	}
	g.touch(p)
	answer(w, 200, g.show(p))
}

func (g *gitHub) merge(w http.ResponseWriter, r *http.Request) {
	p, in := g.numbered(r), g.read(r)
	switch state := g.blocked(p); {
	case in["sha"] != g.head(p):
		answer(w, 409, document{"message": "Head branch was modified. Review and try the merge again."})
	case state != "clean":
		answer(w, 405, document{"message": "Required status check is expected."})
	default:
		g.land(p, "sluice-bot")
		answer(w, 200, document{"sha": p.landed, "merged": true})
	}
}

func (g *gitHub) rules(w http.ResponseWriter, _ *http.Request) {
	checks := []document{}
	for _, name := range g.required {
		checks = append(checks, document{"context": name})
	}
	rules := []document{}
	if len(checks) > 0 {
		rules = append(rules, document{"type": "required_status_checks", "parameters": document{"required_status_checks": checks}})
	}
	if g.queue && !g.older {
		rules = append(rules, document{"type": "merge_queue", "parameters": document{"merge_method": "MERGE"}})
	}
	answer(w, 200, rules)
}

func (g *gitHub) status(w http.ResponseWriter, r *http.Request) {
	list := []document{}
	for name, state := range g.statuses[r.PathValue("sha")] {
		list = append(list, document{"context": name, "state": state})
	}
	answer(w, 200, document{"statuses": list, "total_count": len(list)})
}

// graphQL answers documents by what is in them.
func (g *gitHub) graphQL(w http.ResponseWriter, r *http.Request) {
	in := g.read(r)
	query := fmt.Sprint(in["query"])
	variables, _ := in["variables"].(document)
	if strings.Contains(query, "viewer") {
		answer(w, 200, document{"data": document{"viewer": document{"login": "sluice-bot"}}})
		return
	}
	if number, ok := variables["number"].(float64); ok {
		p, reviews := g.pulls[int(number)-1], []document{}
		if p.approved {
			reviews = append(reviews, document{"state": "APPROVED"})
		}
		answer(w, 200, document{"data": document{"repository": document{"pullRequest": document{
			"isInMergeQueue": p.queued, "isMergeQueueEnabled": g.queue, "latestOpinionatedReviews": document{"nodes": reviews}}}}})
		return
	}
	input, _ := variables["input"].(document)
	number, _ := strconv.Atoi(strings.TrimPrefix(fmt.Sprint(input["pullRequestId"]), "PR_"))
	p := g.pulls[number-1]
	if expected, ok := input["expectedHeadOid"]; ok && expected != g.head(p) {
		answer(w, 200, document{"errors": []document{{"type": "UNPROCESSABLE", "message": "Head sha did not match the expected one"}}})
		return
	}
	if g.full && strings.Contains(query, "enqueuePullRequest(") {
		answer(w, 200, document{"errors": []document{{"type": "UNPROCESSABLE", "message": "Pull request is not mergeable"}}})
		return
	}
	if strings.Contains(query, "enqueuePullRequest(") && (p.queued || input["mergeMethod"] != nil) {
		g.t.Errorf("it is queued again, or with a method: %v", input) // which does nothing, in silence
	}
	for name, do := range map[string]func(){
		"convertPullRequestToDraft": func() { p.draft = true }, "markPullRequestReadyForReview": func() { p.draft = false },
		"enablePullRequestAutoMerge": func() { p.auto = true }, "disablePullRequestAutoMerge": func() { p.auto = false },
		"enqueuePullRequest": func() { p.queued = true },
	} {
		if strings.Contains(query, name+"(") {
			do()
		}
	}
	g.touch(p)
	answer(w, 200, document{"data": document{}})
}

// gitHubEnv is a pipeline whose production takes pull requests at GitHub.
type gitHubEnv struct {
	*env
	forge *gitHub
}

func newGitHubEnv(t *testing.T, changes ...func(*sluicev1.Pipeline)) *gitHubEnv {
	t.Helper()
	server := gitserver.New(t)
	repo := server.Repo("acme/fleet")
	repo.Commit("main", gitserver.Files{"staging/app.yaml": marked, "production/app.yaml": marked})
	e := &gitHubEnv{forge: newGitHub(t, repo)}
	at := func(p *sluicev1.Pipeline) {
		p.Spec.Forge = &sluicev1.Forge{
			Provider: forge.GitHub, URL: e.forge.URL + "/api/v3", SecretRef: &meta.LocalObjectReference{Name: "github"},
		}
	}
	e.env = newEnvAt(t, sourcev1.GitRepositorySpec{URL: repo.URL},
		repo.Head, append([]func(*sluicev1.Pipeline){proposes(), at}, changes...)...)
	e.server, e.repo = server, repo
	must(t, e.Client.Create(t.Context(), make.Secret("apps", "github", map[string]string{"token": "t0ken"})))
	e.Forges = forge.NewClients(forge.Options{Clock: e.clock})
	return e
}

// opts changes the pull request of production.
func opts(change func(*sluicev1.PullRequest)) func(*sluicev1.Pipeline) {
	return func(p *sluicev1.Pipeline) { change(p.Spec.Stages[1].Write.PullRequest) }
}

// verify has a version be verified in staging.
func (e *gitHubEnv) verify(version string) {
	e.t.Helper()
	e.reconcile()
	e.release(version)
	e.reconcile()
	e.apply("staging")
	e.reconcile()
}

// look has the pipeline look at everything.
func (e *gitHubEnv) look() {
	e.t.Helper()
	e.clock.Step(e.pipeline.Spec.Interval.Duration)
	e.reconcile()
}

// at does something at the forge.
func (e *gitHubEnv) at(do func(*gitHub)) {
	e.forge.mu.Lock()
	defer e.forge.mu.Unlock()
	do(e.forge)
}

// asked are the requests since the last call.
func (e *gitHubEnv) asked() (requests []string) {
	e.at(func(g *gitHub) { requests, g.requests = g.requests, nil })
	return requests
}

// pull is a copy of the only pull request.
func (e *gitHubEnv) pull() gitHubPull {
	e.t.Helper()
	e.forge.mu.Lock()
	defer e.forge.mu.Unlock()
	if len(e.forge.pulls) != 1 {
		e.t.Fatalf("there are %d pull requests; the status is %+v", len(e.forge.pulls), e.production())
	}
	return *e.forge.pulls[0]
}

func (e *gitHubEnv) production() sluicev1.StageStatus { return e.pipeline.Status.Stages[1] }
