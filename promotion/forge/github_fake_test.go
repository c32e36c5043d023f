// SPDX-License-Identifier: Apache-2.0

package forge_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sluice-cd/sluice/promotion/forge"
)

// fakeGitHub is a [fakeForge] that speaks the API of GitHub.
type fakeGitHub struct{ *fakeForge }

// serveGitHub serves a fakeForge as GitHub does: shapes and quirks are from its API
// documentation and its behaviour.
func serveGitHub(at *fakeForge) http.Handler {
	fake := fakeGitHub{at}
	mux, repo := http.NewServeMux(), "/api/v3/repos/"+fullName
	mux.HandleFunc("POST /api/graphql", func(rw http.ResponseWriter, r *http.Request) { fake.graphQL(rw, fake.read(r)) })
	mux.HandleFunc("GET "+repo+"/pulls", func(rw http.ResponseWriter, r *http.Request) {
		// A head without an owner filters nothing.
		from, branch, filtered := strings.Cut(r.FormValue("head"), ":")
		list := []object{}
		for _, c := range fake.recent() {
			if filtered && (c.branch != branch || from != strings.Split(c.headRepo, "/")[0]) {
				continue
			}
			if r.FormValue("state") == "all" || c.state == forge.Open {
				list = append(list, fake.render(c, false))
			}
		}
		reply(rw, 200, firstPage(list))
	})
	on := fake.onPull(mux.HandleFunc, repo)
	on("GET", "/pulls/{n}", func(rw http.ResponseWriter, _ object, c *fakePull) {
		c.reads++
		reply(rw, 200, fake.render(c, true))
	})
	on("GET", "/issues/{n}", func(rw http.ResponseWriter, _ object, c *fakePull) {
		kind := "User"
		if strings.HasSuffix(c.closedBy, "[bot]") {
			kind = "Bot"
		}
		reply(rw, 200, object{
			"number": c.number, "closed_by": object{"login": c.closedBy, "type": kind}, "created_at": opened, "closed_at": opened.Add(c.openFor),
		})
	})
	on("PATCH", "/pulls/{n}", fake.edit)
	on("PUT", "/pulls/{n}/merge", fake.tryMerge)
	on("POST", "/issues/{n}/comments", func(rw http.ResponseWriter, _ object, _ *fakePull) { reply(rw, 201, object{"id": 1}) })
	on("POST", "/issues/{n}/assignees", func(rw http.ResponseWriter, _ object, _ *fakePull) { reply(rw, 201, object{}) })
	on("POST", "/pulls/{n}/requested_reviewers", func(rw http.ResponseWriter, in object, c *fakePull) {
		c.reviewers = texts(in["reviewers"])
		reply(rw, 201, fake.render(c, true))
	})
	mux.HandleFunc("POST "+repo+"/issues/{n}/labels", func(rw http.ResponseWriter, r *http.Request) {
		c := fake.numbered(rw, r)
		c.labels = []string{"promotion", "production"} // the body is a list, which read does not decode
		reply(rw, 200, []object{})
	})
	mux.HandleFunc("POST "+repo+"/pulls", func(rw http.ResponseWriter, r *http.Request) { fake.open(rw, fake.read(r)) })
	fake.serveRest(mux, repo)
	return mux
}

func (fake fakeGitHub) serveRest(mux *http.ServeMux, repo string) {
	mux.HandleFunc("POST "+repo+"/statuses/{sha}", func(rw http.ResponseWriter, r *http.Request) {
		in := fake.read(r)
		s := forge.Status{Context: in["context"].(string), State: forge.CheckState(in["state"].(string)), Description: in["description"].(string)}
		s.URL, _ = in["target_url"].(string)
		fake.setStatus(r.PathValue("sha"), s)
		reply(rw, 201, object{})
	})
	mux.HandleFunc("GET "+repo+"/commits/{sha}/status", func(rw http.ResponseWriter, r *http.Request) {
		list := []object{}
		for _, s := range fake.statuses[r.PathValue("sha")] {
			list = append(list, object{"context": s.Context, "state": string(s.State), "description": s.Description, "target_url": s.URL})
		}
		reply(rw, 200, object{"statuses": list, "total_count": len(list)})
	})
	mux.HandleFunc("GET "+repo+"/commits/{sha}/check-runs", func(rw http.ResponseWriter, r *http.Request) {
		runs := fake.checkRuns
		if runs == nil {
			runs = []object{}
		}
		reply(rw, 200, object{"total_count": len(runs), "check_runs": runs})
	})
	mux.HandleFunc("GET "+repo, func(rw http.ResponseWriter, _ *http.Request) {
		reply(rw, 200, object{"full_name": fullName, "allow_merge_commit": true, "allow_squash_merge": true, "allow_rebase_merge": false})
	})
	mux.HandleFunc("GET "+repo+"/rules/branches/main", func(rw http.ResponseWriter, _ *http.Request) {
		list := []object{}
		if fake.required != "" {
			list = append(list,
				object{
					"type":       "pull_request",
					"parameters": object{"required_approving_review_count": 1, "allowed_merge_methods": []string{"merge", "rebase"}},
				},
				object{"type": "required_status_checks", "parameters": object{
					"strict_required_status_checks_policy": true, "required_status_checks": []object{{"context": fake.required}}}},
				object{"type": "merge_queue", "parameters": object{"merge_method": "MERGE"}})
		}
		reply(rw, 200, list)
	})
	mux.HandleFunc("GET "+repo+"/branches/main/protection",
		func(rw http.ResponseWriter, _ *http.Request) { fail(rw, 404, "Branch not protected") })
}

func (fake fakeGitHub) render(c *fakePull, whole bool) object {
	pr := object{
		"number": c.number, "node_id": fmt.Sprintf("PR_%d", c.number), "html_url": fake.server.URL + "/pull", "title": c.title, "body": c.body,
		"draft": c.draft, "user": object{"login": c.author}, "state": "closed", "base": object{"ref": c.base},
		"head": object{"ref": c.branch, "sha": c.head, "repo": object{"full_name": c.headRepo}},
		// Before the merge it is a test merge.
		"merge_commit_sha": "feedfacefeedfacefeedfacefeedfacefeedface",
	}
	pr["labels"] = named(c.labels)
	if c.auto {
		pr["auto_merge"] = object{"merge_method": "merge"}
	}
	if c.state == forge.Open {
		pr["state"] = "open"
	}
	if c.state == forge.Merged {
		pr["merged_at"], pr["merge_commit_sha"] = c.mergedTime.Format(time.RFC3339), c.landed
	}
	if !whole {
		return pr
	}
	pr["merged"] = c.state == forge.Merged
	if c.mergedBy != "" {
		pr["merged_by"] = object{"login": c.mergedBy}
	}
	state := "clean"
	switch {
	case c.reads <= fake.checking:
		state = "unknown"
	case c.draft:
		state = "draft"
	case len(fake.blockers(c)) > 0:
		state = "blocked"
	}
	pr["mergeable_state"] = state
	return pr
}

func (fake fakeGitHub) open(rw http.ResponseWriter, in object) {
	invalid := func(message string) {
		reply(rw, 422, object{"message": "Validation Failed", "errors": []object{{"resource": "PullRequest", "message": message}}})
	}
	branch, base := in["head"].(string), in["base"].(string)
	switch {
	case fake.branches[branch] == "":
		invalid("head is invalid")
	case fake.opened(base, branch) != nil:
		invalid("A pull request already exists for acme:" + branch + ".")
	case fake.branches[branch] == fake.branches[base]:
		invalid("No commits between " + base + " and " + branch)
	default:
		c := fake.add(in["title"].(string), in["body"].(string), base, branch)
		c.draft = in["draft"] == true
		reply(rw, 201, fake.render(c, true))
	}
}

func (fake fakeGitHub) edit(rw http.ResponseWriter, in object, c *fakePull) {
	if title, ok := in["title"].(string); ok {
		c.title = title
	}
	if body, ok := in["body"].(string); ok {
		c.body = body
	}
	switch state := in["state"]; {
	case state == "closed" && c.state == forge.Open:
		fake.close(c, us)
	case state == "open" && fake.branches[c.branch] == "":
		reply(rw, 422,
			object{"message": "Validation Failed", "errors": []object{{"message": "state cannot be changed. The branch has been deleted."}}})
		return
	case state == "open":
		c.state, c.closedBy = forge.Open, ""
	}
	fake.touch(c)
	reply(rw, 200, fake.render(c, true))
}

func (fake fakeGitHub) tryMerge(rw http.ResponseWriter, in object, c *fakePull) {
	blockers := fake.blockers(c)
	switch {
	case c.state != forge.Open, c.reads <= fake.checking:
		fail(rw, 405, "Pull Request is not mergeable")
	case c.draft:
		fail(rw, 405, "Pull Request is still a draft")
	case slices.Contains(blockers, forge.ByApprovals):
		fail(rw, 405, "At least 1 approving review is required by reviewers with write access.")
	case slices.Contains(blockers, forge.ByChecks):
		fail(rw, 405, `Required status check "`+fake.required+`" is expected.`)
	case in["sha"] != c.head:
		fail(rw, 409, "Head branch was modified. Review and try the merge again.")
	default:
		fake.merge(c, forge.Method(in["merge_method"].(string)), us)
		reply(rw, 200, object{"sha": c.landed, "merged": true})
	}
}

// graphQL answers the documents that are sent, by what is in them.
func (fake fakeGitHub) graphQL(rw http.ResponseWriter, in object) {
	query, _ := in["query"].(string)
	variables, _ := in["variables"].(object)
	input, _ := variables["input"].(object)
	refuse := func(kind, message string) {
		reply(rw, 200, object{"data": nil, "errors": []object{{"type": kind, "message": message}}})
	}
	switch {
	case strings.Contains(query, "viewer"):
		reply(rw, 200, object{"data": object{"viewer": object{"login": us}}})
		return
	case strings.Contains(query, "reviewDecision"):
		c := fake.pull(int(variables["number"].(float64)))
		reviews, decision := []object{}, "REVIEW_REQUIRED"
		for range c.approved {
			reviews, decision = append(reviews, object{"state": "APPROVED"}), "APPROVED"
		}
		reply(rw, 200, object{"data": object{"repository": object{"pullRequest": object{
			"reviewDecision": decision, "isInMergeQueue": c.queued, "latestOpinionatedReviews": object{"nodes": reviews}}}}})
		return
	}
	var number int
	_, _ = fmt.Sscanf(fmt.Sprint(input["pullRequestId"]), "PR_%d", &number)
	c := fake.pull(number)
	if c == nil {
		refuse("NOT_FOUND", "Could not resolve to a node")
		return
	}
	if expected, ok := input["expectedHeadOid"]; ok && expected != c.head {
		refuse("UNPROCESSABLE", "Head sha did not match the expected one")
		return
	}
	switch {
	case strings.Contains(query, "convertPullRequestToDraft(input: $input)"):
		c.draft = true
	case strings.Contains(query, "markPullRequestReadyForReview(input: $input)"):
		c.draft = false
	case strings.Contains(query, "enablePullRequestAutoMerge(input: $input)"):
		if len(fake.blockers(c)) == 0 {
			refuse("UNPROCESSABLE", "Pull request Pull request is in clean status")
			return
		}
		c.auto, c.autoMethod = true, forge.Method(strings.ToLower(input["mergeMethod"].(string)))
	case strings.Contains(query, "disablePullRequestAutoMerge(input: $input)"):
		c.auto = false
	case strings.Contains(query, "enqueuePullRequest(input: $input)"):
		if _, ok := input["mergeMethod"]; ok {
			fake.Error("a method is passed to the queue")
		}
		c.queued = true
	default:
		refuse("", "unknown document")
		return
	}
	fake.touch(c)
	reply(rw, 200, object{"data": object{}})
}
