// SPDX-License-Identifier: Apache-2.0

package forge_test

import (
	"net/http"
	"slices"
	"strings"

	"github.com/sluice-cd/sluice/promotion/forge"
)

// fakeAzure is a [fakeForge] that speaks the API of Azure DevOps.
type fakeAzure struct{ *fakeForge }

// serveAzure serves a fakeForge as Azure DevOps does: shapes and quirks are from its API
// documentation and its behaviour.
func serveAzure(at *fakeForge) http.Handler {
	fake := fakeAzure{at}
	mux, project := http.NewServeMux(), "/org/"+owner
	repo := project + "/_apis/git/repositories/" + repoName
	handle := func(pattern string, do func(http.ResponseWriter, *http.Request)) {
		mux.HandleFunc(pattern, func(rw http.ResponseWriter, r *http.Request) {
			if !strings.Contains(pattern, "connectionData") && !strings.HasPrefix(r.FormValue("api-version"), "7.1") {
				fail(rw, 400, "No api-version was supplied")
				return
			}
			do(rw, r)
		})
	}
	on := fake.onPull(handle, repo)
	handle("GET /org/_apis/connectionData", func(rw http.ResponseWriter, _ *http.Request) {
		reply(rw, 200, object{"authenticatedUser": object{"id": "id-of-" + us, "properties": object{"Account": object{"$value": us}}}})
	})
	handle("GET "+repo+"/pullrequests", func(rw http.ResponseWriter, r *http.Request) {
		list := []object{}
		for _, c := range slices.Backward(fake.pulls) { // by creation
			source, target := r.FormValue("searchCriteria.sourceRefName"), r.FormValue("searchCriteria.targetRefName")
			all := r.FormValue("searchCriteria.status") == "all" || c.state == forge.Open
			if all && (source == "" || source == "refs/heads/"+c.branch) && (target == "" || target == "refs/heads/"+c.base) {
				pull := fake.render(c)
				delete(pull, "labels")
				list = append(list, pull)
			}
		}
		reply(rw, 200, object{"value": firstPage(list)})
	})
	handle("POST "+repo+"/pullrequests", func(rw http.ResponseWriter, r *http.Request) {
		in := fake.read(r)
		branch, ok := strings.CutPrefix(in["sourceRefName"].(string), "refs/heads/")
		base := strings.TrimPrefix(in["targetRefName"].(string), "refs/heads/")
		switch {
		case !ok, len(in["description"].(string)) > 4000:
			fail(rw, 400, "invalid argument")
			return
		case fake.opened(base, branch) != nil:
			fail(rw, 409, "TF401179: An active pull request for the source and target branch already exists.")
			return
		}
		c := fake.add(in["title"].(string), in["description"].(string), base, branch)
		c.draft = in["isDraft"] == true
		for _, label := range in["labels"].([]any) {
			c.labels = append(c.labels, label.(object)["name"].(string))
		}
		reply(rw, 201, fake.render(c))
	})
	on("GET", "/pullrequests/{n}", func(rw http.ResponseWriter, _ object, c *fakePull) {
		if c.reads++; c.completing != "" { // in the background
			fake.merge(c, c.completing, us)
			c.completing = ""
		}
		reply(rw, 200, fake.render(c))
	})
	on("PATCH", "/pullrequests/{n}", fake.edit)
	on("POST", "/pullrequests/{n}/threads", func(rw http.ResponseWriter, _ object, _ *fakePull) { reply(rw, 200, object{}) })
	on("POST", "/pullrequests/{n}/statuses", func(rw http.ResponseWriter, in object, c *fakePull) {
		fake.setStatus(c.head, azureStatusOf(in)) // what policies look at
		reply(rw, 200, object{})
	})
	fake.serveRest(handle, repo, project)
	return mux
}

func azureStatusOf(in object) forge.Status {
	s := forge.Status{Context: in["context"].(object)["name"].(string), Description: in["description"].(string)}
	s.URL, _ = in["targetUrl"].(string)
	s.State = map[any]forge.CheckState{
		"pending": forge.CheckPending, "succeeded": forge.CheckSuccess, "failed": forge.CheckFailure,
	}[in["state"]]
	return s
}

func (fake fakeAzure) serveRest(handle func(string, func(http.ResponseWriter, *http.Request)), repo, project string) {
	handle("POST "+repo+"/commits/{sha}/statuses", func(rw http.ResponseWriter, r *http.Request) {
		s := azureStatusOf(fake.read(r))
		sha := r.PathValue("sha")
		fake.commitStatuses = append(slices.DeleteFunc(fake.commitStatuses,
			func(o shaStatus) bool { return o.sha == sha && o.Context == s.Context }),
			shaStatus{sha, s})
		reply(rw, 201, object{})
	})
	handle("GET "+repo+"/commits/{sha}/statuses", func(rw http.ResponseWriter, r *http.Request) {
		list := []object{}
		for _, s := range fake.commitStatuses {
			if s.sha == r.PathValue("sha") {
				state := map[forge.CheckState]string{
					forge.CheckPending: "pending", forge.CheckSuccess: "succeeded", forge.CheckFailure: "error",
				}[s.State]
				list = append(list, object{"state": state, "description": s.Description, "targetUrl": s.URL, "context": object{"name": s.Context}})
			}
		}
		reply(rw, 200, object{"value": list})
	})
	handle("GET "+repo, func(rw http.ResponseWriter, _ *http.Request) { reply(rw, 200, object{"id": "repository-id"}) })
	policies := func() []object {
		if fake.required == "" {
			return nil
		}
		return []object{
			{"isEnabled": true, "isBlocking": true,
				"type": object{"id": "fa4e907d-c16b-4a4c-9dfa-4906e5d171dd"}, "settings": object{"minimumApproverCount": 1}},
			{"isEnabled": true, "isBlocking": true,
				"type": object{"id": "cbdc66da-9728-4af8-aada-9a5a32e4a226"}, "settings": object{"statusName": fake.required}},
		}
	}
	handle("GET "+project+"/_apis/git/policy/configurations", func(rw http.ResponseWriter, r *http.Request) {
		if r.FormValue("repositoryId") != "repository-id" || r.FormValue("refName") != "refs/heads/main" {
			fail(rw, 400, "invalid argument")
			return
		}
		reply(rw, 200, object{"value": policies()})
	})
	handle("GET "+project+"/_apis/policy/evaluations", func(rw http.ResponseWriter, r *http.Request) {
		artifact := r.FormValue("artifactId")
		c := fake.pull(int(artifact[len(artifact)-1] - '0'))
		list := []object{}
		for i, policy := range policies() {
			status := "approved"
			if slices.Contains(fake.blockers(c), []forge.Blocker{forge.ByApprovals, forge.ByChecks}[i]) {
				status = "queued"
			}
			list = append(list, object{"status": status, "configuration": policy})
		}
		reply(rw, 200, object{"value": list})
	})
}

func (fake fakeAzure) render(c *fakePull) object {
	status := "succeeded" // of a draft, too
	if c.reads <= fake.checking {
		status = "queued"
	}
	reviewers := []object{{"id": "a-group", "isContainer": true, "vote": 10}}
	for range c.approved {
		reviewers = append(reviewers, object{"id": person, "vote": 10})
	}
	pull := object{
		"pullRequestId": c.number, "title": c.title, "description": c.body,
		"isDraft": c.draft, "createdBy": object{"id": "x", "uniqueName": c.author},
		"sourceRefName": "refs/heads/" + c.branch, "targetRefName": "refs/heads/" + c.base, "mergeStatus": status, "reviewers": reviewers,
		"lastMergeSourceCommit": object{"commitId": c.head}, "lastMergeCommit": object{"commitId": "a-test-merge"},
		"repository": object{"project": object{"id": "project-id"}},
		"status":     map[forge.PullRequestState]string{forge.Open: "active", forge.Closed: "abandoned", forge.Merged: "completed"}[c.state],
	}
	pull["labels"] = named(c.labels)
	if c.headRepo != fullName {
		pull["forkSource"] = object{"repository": object{"name": repoName}}
	}
	if c.auto {
		pull["autoCompleteSetBy"] = object{"id": "id-of-" + us}
	}
	if c.state == forge.Merged {
		pull["lastMergeCommit"], pull["closedBy"] = object{"commitId": c.landed}, object{"uniqueName": c.mergedBy}
	}
	if c.state == forge.Closed {
		pull["closedBy"] = object{"uniqueName": c.closedBy}
	}
	return pull
}

func (fake fakeAzure) edit(rw http.ResponseWriter, in object, c *fakePull) {
	if title, ok := in["title"].(string); ok {
		c.title, c.body, c.draft = title, in["description"].(string), in["isDraft"] == true
	}
	options, _ := in["completionOptions"].(object)
	method := map[any]forge.Method{
		"noFastForward": forge.MergeCommit, "squash": forge.Squash, "rebase": forge.Rebase,
	}[options["mergeStrategy"]]
	if by, ok := in["autoCompleteSetBy"].(object); ok {
		c.auto, c.autoMethod = by["id"] == "id-of-"+us, method
	}
	source, _ := in["lastMergeSourceCommit"].(object)
	switch in["status"] {
	case "abandoned":
		if c.state != forge.Open {
			fail(rw, 400, "TF401181: The pull request cannot be edited due to its state.")
			return
		}
		fake.close(c, us)
	case "active":
		if fake.branches[c.branch] == "" {
			fail(rw, 400, "TF401398: The pull request cannot be activated because the source and/or the target branch no longer exists")
			return
		}
		c.state, c.closedBy = forge.Open, ""
	case "completed":
		switch {
		case source["commitId"] != c.head:
			fail(rw, 409, "TF401192: This pull request was updated by a stale push")
			return
		case len(fake.blockers(c)) > 0:
			fake.Error("a completion is sent that would be refused in the background")
		}
		c.completing = method
	}
	fake.touch(c)
	reply(rw, 200, fake.render(c))
}
