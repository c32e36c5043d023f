// SPDX-License-Identifier: Apache-2.0

package forge_test

import (
	"net/http"
	"strings"

	"github.com/sluice-cd/sluice/promotion/forge"
)

// fakeBitbucket is a [fakeForge] that speaks the API of Bitbucket.
type fakeBitbucket struct{ *fakeForge }

// serveBitbucket serves a fakeForge as Bitbucket Cloud does: shapes and quirks are from its
// API documentation and its behaviour.
func serveBitbucket(at *fakeForge) http.Handler {
	fake := fakeBitbucket{at}
	mux, repo := http.NewServeMux(), "/2.0/repositories/"+fullName
	refuse := func(rw http.ResponseWriter, code int, message string) {
		reply(rw, code, object{"type": "error", "error": object{"message": message}})
	}
	on := fake.onPull(mux.HandleFunc, repo+"/pullrequests/{n}")
	mux.HandleFunc("GET /2.0/user", func(rw http.ResponseWriter, _ *http.Request) { reply(rw, 200, object{"nickname": us}) })
	mux.HandleFunc("GET "+repo+"/pullrequests", func(rw http.ResponseWriter, r *http.Request) {
		list := []object{}
		for _, c := range fake.recent() {
			query := r.FormValue("q")
			matched := query == "" || strings.Contains(query, `source.branch.name="`+c.branch+`"`) &&
				strings.Contains(query, `source.repository.full_name="`+c.headRepo+`"`)
			if matched && (c.state == forge.Open || len(r.Form["state"]) == 4) { // only open ones otherwise
				list = append(list, fake.render(c))
			}
		}
		reply(rw, 200, object{"values": firstPage(list)})
	})
	mux.HandleFunc("POST "+repo+"/pullrequests", func(rw http.ResponseWriter, r *http.Request) {
		in := fake.read(r)
		branch := in["source"].(object)["branch"].(object)["name"].(string)
		base := in["destination"].(object)["branch"].(object)["name"].(string)
		if fake.branches[branch] == fake.branches[base] {
			refuse(rw, 400, "There are no changes to be pulled")
			return
		} // a second one is not refused
		reply(rw, 201, fake.render(fake.add(in["title"].(string), in["description"].(string), base, branch)))
	})
	on("GET", "", func(rw http.ResponseWriter, _ object, c *fakePull) {
		c.reads++
		reply(rw, 200, fake.render(c))
	})
	on("PUT", "", func(rw http.ResponseWriter, in object, c *fakePull) {
		c.title, c.body = in["title"].(string), in["description"].(string)
		kept := map[string]bool{} // who is not named is removed, with the approval
		reviewers, _ := in["reviewers"].([]any)
		for _, reviewer := range reviewers {
			if name := strings.Trim(reviewer.(object)["uuid"].(string), "{}"); c.approved[name] {
				kept[name] = true
			}
		}
		c.approved = kept
		fake.touch(c)
		reply(rw, 200, fake.render(c))
	})
	on("POST", "/merge", func(rw http.ResponseWriter, in object, c *fakePull) {
		method := map[any]forge.Method{
			"merge_commit": forge.MergeCommit, "squash": forge.Squash, "fast_forward": forge.FastForward,
		}[in["merge_strategy"]]
		switch {
		case c.state != forge.Open:
			refuse(rw, 400, "This pull request is already closed.")
		case len(fake.blockers(c)) > 0:
			refuse(rw, 400, "Merge checks failed: "+string(fake.blockers(c)[0]))
		default:
			fake.merge(c, method, us)
			reply(rw, 202, nil)
		}
	})
	on("POST", "/decline", func(rw http.ResponseWriter, _ object, c *fakePull) {
		if c.state != forge.Open {
			refuse(rw, 400, "This pull request is already closed.")
			return
		}
		fake.close(c, us)
		reply(rw, 200, fake.render(c))
	})
	on("POST", "/comments", func(rw http.ResponseWriter, _ object, _ *fakePull) { reply(rw, 201, object{"id": 1}) })
	mux.HandleFunc("GET "+repo+"/commit/{hash}", func(rw http.ResponseWriter, r *http.Request) {
		for _, c := range fake.pulls {
			for _, hash := range []string{c.head, c.landed} {
				if hash != "" && strings.HasPrefix(hash, r.PathValue("hash")) {
					reply(rw, 200, object{"hash": hash})
					return
				}
			}
		}
		refuse(rw, 404, "Commit not found")
	})
	mux.HandleFunc("POST "+repo+"/commit/{sha}/statuses/build", func(rw http.ResponseWriter, r *http.Request) {
		in := fake.read(r)
		if len(in["key"].(string)) > 40 {
			refuse(rw, 400, "key: Ensure this value has at most 40 characters")
			return
		}
		fake.setBuild(rw, r.PathValue("sha"), in)
	})
	mux.HandleFunc("GET "+repo+"/commit/{sha}/statuses", func(rw http.ResponseWriter, r *http.Request) {
		reply(rw, 200, object{"values": fake.builds(r.PathValue("sha"))})
	})
	mux.HandleFunc("GET "+repo+"/branch-restrictions", func(rw http.ResponseWriter, _ *http.Request) {
		list := []object{{"kind": "push", "branch_match_kind": "glob", "pattern": "other", "value": nil}}
		if fake.required != "" {
			list = append(list,
				object{"kind": "require_approvals_to_merge", "branch_match_kind": "glob", "pattern": "main", "value": 1},
				object{"kind": "require_passing_builds_to_merge", "branch_match_kind": "glob", "pattern": "main", "value": 1})
		}
		reply(rw, 200, object{"values": list})
	})
	return mux
}

// render has short hashes.
func (fake fakeBitbucket) render(c *fakePull) object {
	participants, reviewers := []object{}, []object{}
	for name := range c.approved {
		participants = append(participants, object{"approved": true})
		reviewers = append(reviewers, object{"uuid": "{" + name + "}", "nickname": name})
	}
	pull := object{
		"id": c.number, "title": c.title, "description": c.body, "author": object{"nickname": c.author},
		"state": map[forge.PullRequestState]string{forge.Open: "OPEN", forge.Closed: "DECLINED", forge.Merged: "MERGED"}[c.state],
		"source": object{"branch": object{"name": c.branch}, "commit": object{"hash": c.head[:12]},
			"repository": object{"full_name": c.headRepo}},
		"destination": object{"branch": object{"name": c.base}}, "participants": participants, "reviewers": reviewers,
		"links": object{"html": object{"href": fake.server.URL + "/pr"}}, "closed_by": nil, "merge_commit": nil,
	}
	if c.state == forge.Merged {
		pull["merge_commit"], pull["closed_by"] = object{"hash": c.landed[:12]}, object{"nickname": c.mergedBy}
	}
	if c.state == forge.Closed {
		pull["closed_by"] = object{"nickname": c.closedBy}
	}
	return pull
}
