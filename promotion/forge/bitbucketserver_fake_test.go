// SPDX-License-Identifier: Apache-2.0

package forge_test

import (
	"net/http"
	"slices"
	"strings"

	"github.com/sluice-cd/sluice/promotion/forge"
)

// fakeDataCenter is a [fakeForge] that speaks the API of Bitbucket Data Center.
type fakeDataCenter struct{ *fakeForge }

// serveDataCenter serves a fakeForge as Bitbucket Data Center does: shapes and quirks
// are from its API documentation and its behaviour.
func serveDataCenter(at *fakeForge) http.Handler {
	fake := fakeDataCenter{at}
	mux, repo := http.NewServeMux(), "/rest/api/latest/projects/"+owner+"/repos/"+repoName
	refuse := func(rw http.ResponseWriter, code int, message string) {
		reply(rw, code, object{"errors": []object{{"context": nil, "message": message}}})
	}
	onAny := fake.onPull(mux.HandleFunc, repo+"/pull-requests/{n}")
	on := func(method, path string, do func(http.ResponseWriter, object, *fakePull)) {
		onAny(method, path, func(rw http.ResponseWriter, in object, c *fakePull) {
			if version, ok := in["version"].(float64); ok && int(version) != c.version {
				refuse(rw, 409, "You are attempting to modify a pull request based on out-of-date information.")
				return
			}
			do(rw, in, c)
		})
	}
	mux.HandleFunc("GET "+repo, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("X-AUSERNAME", us)
		reply(rw, 200, object{})
	})
	mux.HandleFunc("GET "+repo+"/pull-requests", func(rw http.ResponseWriter, r *http.Request) {
		list := []object{}
		for _, c := range fake.recent() {
			at := r.FormValue("at")
			if r.FormValue("state") == "ALL" && (at == "" || at == "refs/heads/"+c.branch && r.FormValue("direction") == "OUTGOING") {
				list = append(list, fake.render(c))
			}
		}
		reply(rw, 200, object{"values": firstPage(list)})
	})
	mux.HandleFunc("POST "+repo+"/pull-requests", func(rw http.ResponseWriter, r *http.Request) {
		in := fake.read(r)
		branch := strings.TrimPrefix(in["fromRef"].(object)["id"].(string), "refs/heads/")
		base := strings.TrimPrefix(in["toRef"].(object)["id"].(string), "refs/heads/")
		switch {
		case fake.opened(base, branch) != nil:
			refuse(rw, 409, "Only one pull request may be open for a given source and target branch")
		case fake.branches[branch] == fake.branches[base]:
			refuse(rw, 409, "main is already up-to-date with branch")
		default:
			reply(rw, 201, fake.render(fake.add(in["title"].(string), in["description"].(string), base, branch)))
		}
	})
	on("GET", "", func(rw http.ResponseWriter, _ object, c *fakePull) {
		c.reads++
		reply(rw, 200, fake.render(c))
	})
	on("PUT", "", func(rw http.ResponseWriter, in object, c *fakePull) {
		c.title, c.body = in["title"].(string), in["description"].(string)
		kept := map[string]bool{} // who is not named is removed, with the approval
		for _, reviewer := range in["reviewers"].([]any) {
			name := reviewer.(object)["user"].(object)["name"].(string)
			if approved, ok := c.approved[name]; ok {
				kept[name] = approved
			}
			if !slices.Contains(c.reviewers, name) {
				c.reviewers = append(c.reviewers, name)
			}
		}
		c.approved = kept
		fake.touch(c)
		reply(rw, 200, fake.render(c))
	})
	on("GET", "/merge", func(rw http.ResponseWriter, _ object, c *fakePull) {
		vetoes := []object{}
		for _, why := range fake.blockers(c) {
			summary := map[forge.Blocker]string{
				forge.ByApprovals: "Requires approvals", forge.ByChecks: "Not all required builds are successful yet",
			}[why]
			vetoes = append(vetoes, object{"summaryMessage": summary})
		}
		reply(rw, 200, object{"canMerge": len(vetoes) == 0 && c.reads > fake.checking, "conflicted": false, "vetoes": vetoes})
	})
	on("POST", "/merge", func(rw http.ResponseWriter, in object, c *fakePull) {
		method := map[any]forge.Method{
			"no-ff": forge.MergeCommit, "squash": forge.Squash, "rebase-ff-only": forge.Rebase, "ff-only": forge.FastForward,
		}[in["strategyId"]]
		switch {
		case in["version"] == nil:
			refuse(rw, 409, "a version is needed")
		case c.state != forge.Open:
			refuse(rw, 409, "This pull request has already been "+string(c.state))
		case len(fake.blockers(c)) > 0, c.reads <= fake.checking:
			refuse(rw, 409, "The pull request cannot be merged, it has been vetoed")
		default:
			fake.merge(c, method, us)
			reply(rw, 200, fake.render(c))
		}
	})
	on("POST", "/decline", func(rw http.ResponseWriter, _ object, c *fakePull) {
		if c.state != forge.Open {
			refuse(rw, 409, "This pull request has already been closed")
			return
		}
		fake.close(c, us)
		reply(rw, 200, fake.render(c))
	})
	on("POST", "/reopen", func(rw http.ResponseWriter, _ object, c *fakePull) {
		if fake.branches[c.branch] == "" {
			refuse(rw, 409, "The source branch does not exist")
			return
		}
		c.state, c.closedBy = forge.Open, ""
		fake.touch(c)
		reply(rw, 200, fake.render(c))
	})
	on("GET", "/activities", func(rw http.ResponseWriter, _ object, c *fakePull) {
		list := []object{{"action": "COMMENTED", "user": object{"name": "carol"}}}
		if c.closedBy != "" {
			list = append(list, object{"action": "DECLINED", "user": object{"name": c.closedBy}})
		}
		if c.state == forge.Merged {
			list = append(list, object{"action": "MERGED", "user": object{"name": c.mergedBy}, "commit": object{"id": c.landed}})
		}
		reply(rw, 200, object{"values": append(list, object{"action": "OPENED", "user": object{"name": us}})})
	})
	on("POST", "/comments", func(rw http.ResponseWriter, _ object, _ *fakePull) { reply(rw, 201, object{"id": 1}) })
	fake.serveRest(mux, repo)
	return mux
}

func (fake fakeDataCenter) serveRest(mux *http.ServeMux, repo string) {
	mux.HandleFunc("POST /rest/build-status/1.0/commits/{sha}", func(rw http.ResponseWriter, r *http.Request) {
		fake.setBuild(rw, r.PathValue("sha"), fake.read(r))
	})
	mux.HandleFunc("GET /rest/build-status/1.0/commits/{sha}", func(rw http.ResponseWriter, r *http.Request) {
		reply(rw, 200, object{"values": fake.builds(r.PathValue("sha"))})
	})
	mux.HandleFunc("GET "+repo+"/settings/pull-requests", func(rw http.ResponseWriter, _ *http.Request) {
		needed := 0
		if fake.required != "" {
			needed = 1
		}
		reply(rw, 200, object{"requiredApprovers": needed, "requiredSuccessfulBuilds": needed, "mergeConfig": object{
			"strategies": []object{{"id": "no-ff", "enabled": true}, {"id": "squash", "enabled": false}}}})
	})
}

// setBuild and builds are build statuses, as both Bitbuckets have them.
func (fake *fakeForge) setBuild(rw http.ResponseWriter, sha string, in object) {
	if in["url"] == "" || in["key"] == "" {
		fail(rw, 400, "url and key are required")
		return
	}
	state := map[any]forge.CheckState{
		"INPROGRESS": forge.CheckPending, "SUCCESSFUL": forge.CheckSuccess, "FAILED": forge.CheckFailure,
	}[in["state"]]
	fake.setStatus(sha,
		forge.Status{Context: in["name"].(string), State: state, Description: in["description"].(string), URL: in["url"].(string)})
	reply(rw, 201, object{})
}

func (fake *fakeForge) builds(sha string) []object {
	list := []object{}
	for _, s := range fake.statuses[sha] {
		state := map[forge.CheckState]string{
			forge.CheckPending: "INPROGRESS", forge.CheckSuccess: "SUCCESSFUL", forge.CheckFailure: "FAILED",
		}[s.State]
		list = append(list, object{"key": "k", "name": s.Context, "state": state, "description": s.Description, "url": s.URL})
	}
	return list
}

func (fake fakeDataCenter) render(c *fakePull) object {
	project, slug, _ := strings.Cut(c.headRepo, "/")
	reviewers := []object{}
	for name := range c.approved {
		reviewers = append(reviewers, object{"user": object{"name": name}, "approved": true, "status": "APPROVED"})
	}
	for _, name := range c.reviewers {
		if !c.approved[name] {
			reviewers = append(reviewers, object{"user": object{"name": name}, "approved": false, "status": "UNAPPROVED"})
		}
	}
	return object{
		"id": c.number, "version": c.version, "title": c.title, "description": c.body,
		"state":     map[forge.PullRequestState]string{forge.Open: "OPEN", forge.Closed: "DECLINED", forge.Merged: "MERGED"}[c.state],
		"author":    object{"user": object{"name": c.author}},
		"reviewers": reviewers, "toRef": object{"id": "refs/heads/" + c.base},
		"fromRef": object{"id": "refs/heads/" + c.branch, "latestCommit": c.head,
			"repository": object{"slug": slug, "project": object{"key": strings.ToUpper(project)}}},
		"links": object{"self": []object{{"href": fake.server.URL + "/pr"}}},
	}
}
