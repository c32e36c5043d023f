// SPDX-License-Identifier: Apache-2.0

package forge_test

import (
	"net/http"
	"slices"
	"strings"

	"github.com/sluice-cd/sluice/promotion/forge"
)

// fakeGitLab is a [fakeForge] that speaks the API of GitLab.
type fakeGitLab struct{ *fakeForge }

// serveGitLab serves a fakeForge as GitLab does: shapes and quirks are from its API
// documentation and its behaviour.
func serveGitLab(at *fakeForge) http.Handler {
	fake := fakeGitLab{at}
	mux, project := http.NewServeMux(), "/api/v4/projects/{project}"
	handle := func(pattern string, do func(http.ResponseWriter, *http.Request)) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" "+project+path, func(rw http.ResponseWriter, r *http.Request) {
			if r.PathValue("project") != fullName {
				fail(rw, 404, "404 Project Not Found")
				return
			}
			do(rw, r)
		})
	}
	on := fake.onPull(handle, "")
	mux.HandleFunc("GET /api/v4/user", func(rw http.ResponseWriter, _ *http.Request) { reply(rw, 200, object{"id": 1, "username": us}) })
	mux.HandleFunc("GET /api/v4/users", func(rw http.ResponseWriter, r *http.Request) {
		reply(rw, 200, []object{{"id": 2, "username": r.FormValue("username")}})
	})
	// The list of everything has others' merge requests, too.
	mux.HandleFunc("GET /api/v4/merge_requests", func(rw http.ResponseWriter, _ *http.Request) { fake.Error("the global list is asked") })
	handle("GET /merge_requests", func(rw http.ResponseWriter, r *http.Request) {
		list := []object{}
		for _, c := range fake.recent() {
			branch, base := r.FormValue("source_branch"), r.FormValue("target_branch")
			if (branch == "" || branch == c.branch) && (base == "" || base == c.base) {
				list = append(list, fake.render(c))
			}
		}
		reply(rw, 200, firstPage(list))
	})
	on("GET", "/merge_requests/{n}", func(rw http.ResponseWriter, _ object, c *fakePull) {
		c.reads++
		reply(rw, 200, fake.render(c))
	})
	on("GET", "/merge_requests/{n}/approvals", func(rw http.ResponseWriter, _ object, c *fakePull) {
		by := []object{}
		for who := range c.approved {
			by = append(by, object{"user": object{"username": who}})
		}
		reply(rw, 200, object{"approved_by": by, "approved": len(by) > 0})
	})
	on("PUT", "/merge_requests/{n}", fake.edit)
	on("PUT", "/merge_requests/{n}/merge", fake.tryMerge)
	on("POST", "/merge_requests/{n}/cancel_merge_when_pipeline_succeeds", func(rw http.ResponseWriter, _ object, c *fakePull) {
		if !c.auto {
			fail(rw, 406, "can't cancel")
			return
		}
		c.auto = false
		reply(rw, 201, fake.render(c))
	})
	on("POST", "/merge_requests/{n}/notes", func(rw http.ResponseWriter, _ object, _ *fakePull) { reply(rw, 201, object{"id": 1}) })
	handle("POST /merge_requests", func(rw http.ResponseWriter, r *http.Request) {
		in := fake.read(r)
		branch, base := in["source_branch"].(string), in["target_branch"].(string)
		if len(in["title"].(string)) > 255 {
			reply(rw, 400, object{"message": object{"title": []string{"is too long (maximum is 255 characters)"}}})
			return
		}
		if fake.opened(base, branch) != nil {
			reply(rw, 409, object{"message": []string{"Another open merge request already exists for this source branch: !1"}})
			return
		}
		c := fake.add(in["title"].(string), in["description"].(string), base, branch)
		c.draft = strings.HasPrefix(c.title, "Draft:")
		if labels, ok := in["labels"].(string); ok {
			c.labels = strings.Split(labels, ",")
		}
		reply(rw, 201, fake.render(c))
	})
	fake.serveRest(handle)
	return mux
}

func (fake fakeGitLab) serveRest(handle func(string, func(http.ResponseWriter, *http.Request))) {
	handle("GET /repository/commits/{sha}", func(rw http.ResponseWriter, r *http.Request) {
		reply(rw, 200, object{"id": r.PathValue("sha"), "last_pipeline": object{"id": 77}})
	})
	handle("POST /statuses/{sha}", func(rw http.ResponseWriter, r *http.Request) {
		in := fake.read(r)
		if in["pipeline_id"] != 77.0 {
			fake.Error("a status starts a pipeline of its own")
		}
		state := map[any]forge.CheckState{"pending": forge.CheckPending, "success": forge.CheckSuccess, "failed": forge.CheckFailure}[in["state"]]
		s := forge.Status{Context: in["context"].(string), State: state, Description: in["description"].(string)}
		s.URL, _ = in["target_url"].(string)
		if slices.Contains(fake.statuses[r.PathValue("sha")], s) {
			fail(rw, 400, "Cannot transition status via :enqueue from :pending")
			return
		}
		fake.setStatus(r.PathValue("sha"), s)
		reply(rw, 201, object{})
	})
	handle("GET /repository/commits/{sha}/statuses", func(rw http.ResponseWriter, r *http.Request) {
		list := []object{}
		for _, s := range fake.statuses[r.PathValue("sha")] {
			state := map[forge.CheckState]string{forge.CheckPending: "running", forge.CheckSuccess: "success", forge.CheckFailure: "failed"}[s.State]
			list = append(list, object{"name": s.Context, "status": state, "description": s.Description, "target_url": s.URL})
		}
		reply(rw, 200, list)
	})
	handle("GET ", func(rw http.ResponseWriter, _ *http.Request) {
		method := "merge"
		if fake.only == forge.FastForward {
			method = "ff"
		}
		reply(rw, 200, object{
			"path_with_namespace": fullName, "merge_method": method, "squash_option": "default_off",
			"only_allow_merge_if_pipeline_succeeds": fake.required != "",
		})
	})
	handle("GET /protected_branches/main", func(rw http.ResponseWriter, _ *http.Request) {
		if fake.required == "" {
			fail(rw, 404, "404 Not Found")
			return
		}
		reply(rw, 200, object{"name": "main"})
	})
	handle("GET /approval_rules", func(rw http.ResponseWriter, _ *http.Request) {
		needed := 0
		if fake.required != "" {
			needed = 1
		}
		reply(rw, 200, []object{{"approvals_required": needed}})
	})
}

func (fake fakeGitLab) render(c *fakePull) object {
	source := 10
	if c.headRepo != fullName {
		source = 11
	}
	status := "mergeable"
	blockers := fake.blockers(c)
	switch {
	case c.state != forge.Open:
		status = "not_open"
	case c.reads <= fake.checking:
		status = "checking"
	case c.draft:
		status = "draft_status"
	case slices.Contains(blockers, forge.ByApprovals):
		status = "not_approved"
	case slices.Contains(blockers, forge.ByChecks):
		status = "ci_must_pass"
	}
	mr := object{
		"iid": c.number, "web_url": fake.server.URL + "/mr",
		"title": c.title, "description": c.body, "draft": strings.HasPrefix(c.title, "Draft:"),
		"author": object{"username": c.author}, "source_branch": c.branch, "target_branch": c.base, "sha": c.head, "labels": c.labels,
		"source_project_id": source, "target_project_id": 10, "detailed_merge_status": status, "merge_when_pipeline_succeeds": c.auto,
		"state":     map[forge.PullRequestState]string{forge.Open: "opened", forge.Closed: "closed", forge.Merged: "merged"}[c.state],
		"closed_by": nil, "merge_commit_sha": nil, "squash_commit_sha": nil,
	}
	if c.closedBy != "" {
		mr["closed_by"], mr["created_at"], mr["closed_at"] = object{"username": c.closedBy}, opened, opened.Add(c.openFor)
	}
	if c.state == forge.Merged {
		mr["merge_user"] = object{"username": c.mergedBy}
		if c.landed != c.head { // of a fast-forward it stays null
			mr["merge_commit_sha"] = c.landed
		}
	}
	return mr
}

func (fake fakeGitLab) edit(rw http.ResponseWriter, in object, c *fakePull) {
	if title, ok := in["title"].(string); ok {
		c.title, c.draft = title, strings.HasPrefix(title, "Draft:")
	}
	if body, ok := in["description"].(string); ok {
		c.body = body
	}
	switch event := in["state_event"]; {
	case event == "close" && c.state == forge.Open:
		fake.close(c, us)
	case event == "reopen" && fake.branches[c.branch] != "": // else it is ignored
		c.state = forge.Open
	}
	fake.touch(c)
	reply(rw, 200, fake.render(c))
}

func (fake fakeGitLab) tryMerge(rw http.ResponseWriter, in object, c *fakePull) {
	for _, message := range []string{"merge_commit_message", "squash_commit_message"} {
		if in[message] == "" {
			fail(rw, 422, "Commit message cannot be empty")
			return
		}
	}
	method := forge.MergeCommit
	switch {
	case in["squash"] == true:
		method = forge.Squash
	case fake.only == forge.FastForward:
		method = forge.FastForward
	}
	auto := in["auto_merge"] == true
	switch {
	case auto != (in["merge_when_pipeline_succeeds"] == true):
		fail(rw, 400, "an older server would merge at once")
	case c.state == forge.Open && in["sha"] != c.head:
		fail(rw, 409, "SHA does not match HEAD of source branch: "+c.head)
	case c.state == forge.Open && auto && !c.draft:
		c.auto, c.autoMethod = true, method
		reply(rw, 200, fake.render(c))
	case c.state != forge.Open, len(fake.blockers(c)) > 0, c.reads <= fake.checking:
		fail(rw, 405, "405 Method Not Allowed")
	default:
		fake.merge(c, method, us)
		reply(rw, 200, fake.render(c))
	}
}
