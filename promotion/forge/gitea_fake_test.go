// SPDX-License-Identifier: Apache-2.0

package forge_test

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sluice-cd/sluice/promotion/forge"
)

// fakeGitea is a [fakeForge] that speaks the API of Gitea.
type fakeGitea struct{ *fakeForge }

// serveGitea serves a fakeForge as Gitea 1.26 does: shapes and quirks are from its API
// documentation and its behaviour.
func serveGitea(at *fakeForge) http.Handler {
	fake := fakeGitea{at}
	mux, repo := http.NewServeMux(), "/api/v1/repos/"+fullName
	mux.HandleFunc("GET /api/v1/user", func(rw http.ResponseWriter, _ *http.Request) { reply(rw, 200, object{"login": us}) })
	mux.HandleFunc("GET "+repo+"/pulls", func(rw http.ResponseWriter, r *http.Request) {
		// There is no filter by branch.
		list := []object{}
		for _, c := range fake.recent() {
			if state := r.FormValue("state"); state == "all" || state == "" && c.state == forge.Open {
				list = append(list, fake.render(c))
			}
		}
		if r.FormValue("page") > "1" {
			list = list[:0]
		}
		reply(rw, 200, firstPage(list))
	})
	mux.HandleFunc("GET "+repo+"/pulls/{base}/{head...}", func(rw http.ResponseWriter, r *http.Request) {
		// The oldest, whatever its state.
		for _, c := range fake.pulls {
			if c.base == r.PathValue("base") && c.branch == r.PathValue("head") && c.headRepo == fullName {
				reply(rw, 200, fake.render(c))
				return
			}
		}
		fail(rw, 404, "pull request does not exist")
	})
	on := fake.onPull(mux.HandleFunc, repo)
	on("GET", "/pulls/{n}", func(rw http.ResponseWriter, _ object, c *fakePull) {
		c.reads++
		reply(rw, 200, fake.render(c))
	})
	on("PATCH", "/pulls/{n}", fake.edit)
	on("PATCH", "/issues/{n}", func(rw http.ResponseWriter, in object, c *fakePull) {
		c.assignees = texts(in["assignees"])
		reply(rw, 201, object{"number": c.number})
	})
	on("POST", "/pulls/{n}/merge", fake.tryMerge)
	on("DELETE", "/pulls/{n}/merge", func(rw http.ResponseWriter, _ object, c *fakePull) {
		if !c.auto {
			fail(rw, 404, "not found")
			return
		}
		c.auto = false
		reply(rw, 204, nil)
	})
	on("GET", "/pulls/{n}/reviews", func(rw http.ResponseWriter, _ object, c *fakePull) {
		list := []object{}
		for who := range c.approved {
			list = append(list, object{"user": object{"login": who}, "state": "COMMENT"}, object{"user": object{"login": who}, "state": "APPROVED"})
		}
		reply(rw, 200, list)
	})
	on("POST", "/pulls/{n}/requested_reviewers", func(rw http.ResponseWriter, in object, c *fakePull) {
		c.reviewers = texts(in["reviewers"])
		reply(rw, 201, []object{})
	})
	on("POST", "/issues/{n}/comments", func(rw http.ResponseWriter, _ object, _ *fakePull) { reply(rw, 201, object{"id": 1}) })
	on("POST", "/issues/{n}/labels", fake.addLabels)
	on("GET", "/issues/{n}/timeline", func(rw http.ResponseWriter, _ object, c *fakePull) {
		reply(rw, 200, []object{{"type": "comment", "user": object{"login": "carol"}},
			{"type": "label", "user": object{"login": "carol"}, "label": object{"id": 1, "name": "sluice"}},
			{"type": "close", "user": object{"login": c.closedBy}}})
	})
	mux.HandleFunc("POST "+repo+"/pulls", func(rw http.ResponseWriter, r *http.Request) { fake.open(rw, fake.read(r)) })
	fake.serveRest(mux, repo)
	return mux
}

// serveRest are labels, statuses and rules.
func (fake fakeGitea) serveRest(mux *http.ServeMux, repo string) {
	mux.HandleFunc("GET "+repo+"/labels", func(rw http.ResponseWriter, _ *http.Request) {
		list := []object{}
		for i, name := range fake.labels {
			list = append(list, object{"id": i + 1, "name": name})
		}
		reply(rw, 200, list)
	})
	mux.HandleFunc("POST "+repo+"/labels", func(rw http.ResponseWriter, r *http.Request) {
		fake.labels = append(fake.labels, fake.read(r)["name"].(string))
		reply(rw, 201, object{"id": len(fake.labels), "name": fake.labels[len(fake.labels)-1]})
	})
	mux.HandleFunc("POST "+repo+"/statuses/{sha}", func(rw http.ResponseWriter, r *http.Request) {
		in := fake.read(r)
		fake.setStatus(r.PathValue("sha"), forge.Status{
			Context: in["context"].(string), State: forge.CheckState(in["state"].(string)),
			Description: in["description"].(string), URL: in["target_url"].(string),
		})
		reply(rw, 201, object{})
	})
	mux.HandleFunc("GET "+repo+"/commits/{sha}/status", func(rw http.ResponseWriter, r *http.Request) {
		list := []object{}
		for _, s := range fake.statuses[r.PathValue("sha")] {
			list = append(list, object{"context": s.Context, "status": string(s.State), "description": s.Description, "target_url": s.URL})
		}
		reply(rw, 200, object{"statuses": list, "total_count": len(list)})
	})
	mux.HandleFunc("GET "+repo, func(rw http.ResponseWriter, _ *http.Request) {
		reply(rw, 200, object{"allow_merge_commits": true, "allow_squash_merge": true, "allow_rebase": false, "full_name": fullName})
	})
	mux.HandleFunc("GET "+repo+"/branches/{branch...}", func(rw http.ResponseWriter, r *http.Request) {
		if fake.branches[r.PathValue("branch")] == "" {
			fail(rw, 404, "branch does not exist")
			return
		}
		b := object{"name": r.PathValue("branch"), "protected": fake.required != "", "user_can_merge": true}
		if fake.required != "" {
			b["required_approvals"], b["enable_status_check"], b["status_check_contexts"] = 1, true, []string{fake.required}
			b["effective_branch_protection_name"] = fake.protection // which only administrators are told
		}
		reply(rw, 200, b)
	})
	mux.HandleFunc("GET "+repo+"/branch_protections/main",
		func(rw http.ResponseWriter, _ *http.Request) { fail(rw, 403, "for administrators") })
}

func (fake fakeGitea) render(c *fakePull) object {
	_, exists := fake.branches[c.branch]
	ref := c.branch
	if !exists {
		ref = "refs/pull/1/head"
	}
	title := c.title
	head := object{"label": c.branch, "ref": ref, "sha": c.head, "repo": object{"full_name": c.headRepo}}
	pr := object{
		"number": c.number, "html_url": fake.server.URL + "/pulls", "title": title, "body": c.body, "draft": strings.HasPrefix(title, "WIP:"),
		"user": object{"login": c.author}, "base": object{"label": c.base, "ref": c.base}, "head": head, "state": "closed",
		// False while it is being computed, and true whatever the rules say.
		"mergeable": c.state == forge.Open && !c.draft && c.reads > fake.checking,
	}
	pr["labels"] = named(c.labels)
	switch c.state {
	case forge.Open:
		pr["state"] = "open"
	case forge.Closed:
		pr["closed_at"] = c.closedAt.Format(time.RFC3339)
	case forge.Merged:
		pr["merged"], pr["merge_commit_sha"], pr["merged_by"] = true, c.landed, object{"login": c.mergedBy}
	}
	return pr
}

func (fake fakeGitea) open(rw http.ResponseWriter, in object) {
	branch := in["head"].(string)
	switch {
	case len(in["title"].(string)) > 255:
		fail(rw, 422, "title is too long")
	case fake.branches[branch] == "":
		fail(rw, 404, "not found")
	case fake.opened(in["base"].(string), branch) != nil:
		fail(rw, 409, "pull request already exists for these targets")
	default:
		c := fake.add(in["title"].(string), in["body"].(string), in["base"].(string), branch)
		c.draft = strings.HasPrefix(c.title, "WIP:")
		reply(rw, 201, fake.render(c))
	}
}

func (fake fakeGitea) edit(rw http.ResponseWriter, in object, c *fakePull) {
	if title, _ := in["title"].(string); title != "" {
		c.title, c.draft = title, strings.HasPrefix(title, "WIP:")
	}
	if body, ok := in["body"].(string); ok {
		c.body = body
	}
	switch state, _ := in["state"].(string); {
	case state == "":
	case c.state == forge.Merged:
		fail(rw, 412, "cannot change state of this pull request, it was already merged")
		return
	case state == "closed" && c.state == forge.Open:
		fake.close(c, us)
	case state == "open": // also without the branch
		c.state, c.closedBy = forge.Open, ""
	}
	fake.touch(c)
	reply(rw, 201, fake.render(c))
}

func (fake fakeGitea) addLabels(rw http.ResponseWriter, in object, c *fakePull) {
	for _, id := range in["labels"].([]any) {
		n, ok := id.(float64) // by number only
		if !ok {
			fail(rw, 422, "labels are numbers")
			return
		}
		c.labels = append(c.labels, fake.labels[int(n)-1])
	}
	reply(rw, 200, []object{})
}

func (fake fakeGitea) tryMerge(rw http.ResponseWriter, in object, c *fakePull) {
	style, _ := in["Do"].(string)
	method := forge.Method(strings.TrimSuffix(style, "-only"))
	blockers := fake.blockers(c)
	auto := in["merge_when_checks_succeed"] == true
	switch {
	case c.state == forge.Merged:
		fail(rw, 405, "")
	case c.state == forge.Closed:
		fail(rw, 404, "not found")
	case c.draft:
		fail(rw, 405, "Work in progress PRs cannot be merged")
	case auto && c.auto:
		fail(rw, 409, "pull request is already scheduled to auto merge when checks succeed [pull_id: 1]")
	case auto && len(blockers) > 0:
		c.auto, c.autoMethod = true, method
		reply(rw, 201, nil)
	case c.reads <= fake.checking:
		fail(rw, 405, "Please try again later")
	case slices.Contains(blockers, forge.ByApprovals):
		fail(rw, 405, "Does not have enough approvals")
	case slices.Contains(blockers, forge.ByChecks):
		fail(rw, 405, "Not all required status checks successful")
	case in["head_commit_id"] != c.head:
		fail(rw, 409, "head out of date")
	default:
		fake.merge(c, method, us)
		reply(rw, 200, nil)
	}
}
