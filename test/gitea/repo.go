// SPDX-License-Identifier: Apache-2.0

package gitea

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
)

// Branch is the default branch of every repository.
const Branch = "main"

// Repo is a private repository. Its methods act as the server's administrator.
type Repo struct {
	Owner, Name string
	URL         string // for Git over HTTP, without credentials
	SSHURL      string // for Git over SSH

	server *Server
}

// NewRepo makes a repository of a person or an organization, whose first commit has
// the files (path to content).
func (s *Server) NewRepo(ctx context.Context, owner, name string, files map[string]string) (*Repo, error) {
	r := s.repo(owner, name)
	err := s.Admin.Call(ctx, http.MethodPost, "/admin/users/"+owner+"/repos",
		map[string]any{"name": name, "private": true, "default_branch": Branch, "auto_init": len(files) == 0}, nil)
	if err != nil || len(files) == 0 {
		return r, err
	}
	_, err = s.Admin.Commit(ctx, r, Commit{Branch: Branch, Message: "Begin", Files: files})
	return r, err
}

func (s *Server) repo(owner, name string) *Repo {
	return &Repo{
		Owner: owner, Name: name, server: s,
		URL:    s.URL + "/" + owner + "/" + name + ".git",
		SSHURL: "ssh://git@" + s.ssh + "/" + owner + "/" + name + ".git",
	}
}

// Fork makes a fork of a repository that the person may read, and owns then. A pull
// request from it names its branch as person:branch.
func (p *Person) Fork(ctx context.Context, r *Repo) (*Repo, error) {
	return p.server.repo(p.Name, r.Name), p.Call(ctx, http.MethodPost, r.path("/forks"), map[string]any{}, nil)
}

// Permission is what a collaborator may do in a repository.
type Permission string

// Permissions, as Gitea spells them.
const (
	Read       Permission = "read"
	Write      Permission = "write"
	Administer Permission = "admin"
)

// Invite makes people collaborators.
func (r *Repo) Invite(ctx context.Context, permission Permission, people ...*Person) error {
	for _, p := range people {
		if err := r.admin(ctx, http.MethodPut, "/collaborators/"+p.Name, map[string]any{"permission": permission}, nil); err != nil {
			return err
		}
	}
	return nil
}

// Protection is the rule of a branch. Nobody pushes to it but by a pull request; its
// rules hold for administrators, too.
type Protection struct {
	Branch string `json:"rule_name"`
	// Statuses must have succeeded on the head; they may be patterns.
	Statuses []string `json:"status_check_contexts,omitempty"`
	// Approvals is how many people with write permission have to approve.
	Approvals int `json:"required_approvals,omitempty"`
	// Mergers, if there are any, are the only ones who may merge.
	Mergers []string `json:"merge_whitelist_usernames,omitempty"`
	// UpToDate demands that the head contains the base.
	UpToDate bool `json:"block_on_outdated_branch,omitempty"`
	// DismissStale takes approvals back when the head changes.
	DismissStale bool `json:"dismiss_stale_approvals,omitempty"`
}

// Protect makes or replaces the rule of a branch.
func (r *Repo) Protect(ctx context.Context, rule Protection) error {
	request := struct {
		Protection
		CheckStatus bool `json:"enable_status_check"`
		OnlyMergers bool `json:"enable_merge_whitelist"`
		Rejections  bool `json:"block_on_rejected_reviews"`
		Admins      bool `json:"block_admin_merge_override"`
	}{rule, len(rule.Statuses) > 0, len(rule.Mergers) > 0, true, true}
	err := r.admin(ctx, http.MethodDelete, "/branch_protections/"+url.PathEscape(rule.Branch), nil, nil)
	var answer *StatusError
	if err != nil && (!errors.As(err, &answer) || answer.Code != http.StatusNotFound) {
		return err
	}
	return r.admin(ctx, http.MethodPost, "/branch_protections", request, nil)
}

// MergeStyle is how a pull request is merged.
type MergeStyle string

// Merge styles, as Gitea spells them.
const (
	StyleMerge       MergeStyle = "merge"
	StyleRebase      MergeStyle = "rebase"
	StyleRebaseMerge MergeStyle = "rebase-merge"
	StyleSquash      MergeStyle = "squash"
	StyleFastForward MergeStyle = "fast-forward-only"
)

// Allow lets pull requests be merged in these styles only; the first is the default.
func (r *Repo) Allow(ctx context.Context, styles ...MergeStyle) error {
	request := map[string]any{"has_pull_requests": true, "default_merge_style": styles[0]}
	for name, style := range map[string]MergeStyle{
		"allow_merge_commits": StyleMerge, "allow_rebase": StyleRebase, "allow_rebase_explicit": StyleRebaseMerge,
		"allow_squash_merge": StyleSquash, "allow_fast_forward_only_merge": StyleFastForward,
	} {
		request[name] = slices.Contains(styles, style)
	}
	return r.admin(ctx, http.MethodPatch, "", request, nil)
}

// DeleteMerged lets the pages offer to delete the branch of a pull request that is merged.
func (r *Repo) DeleteMerged(ctx context.Context) error {
	return r.admin(ctx, http.MethodPatch, "", map[string]any{"has_pull_requests": true, "default_delete_branch_after_merge": true}, nil)
}

// AddWebhook sends events to a URL on loopback as JSON, signed with the secret. Events
// are spelled as Gitea does: push, pull_request, pull_request_review, pull_request_sync,
// status.
func (r *Repo) AddWebhook(ctx context.Context, url, secret string, events ...string) error {
	return r.admin(ctx, http.MethodPost, "/hooks", map[string]any{
		"type": "gitea", "active": true, "events": events,
		"config": map[string]string{"url": url, "secret": secret, "content_type": "json"},
	}, nil)
}

// Commit is a change that somebody makes to a branch through the API.
type Commit struct {
	// Branch is where it goes; From, if it is not empty, is the branch that a new Branch
	// starts from.
	Branch, From string
	Message      string
	Files        map[string]string // path to new content
	Delete       []string          // paths
}

// Commit makes a commit as the person, and returns its SHA.
func (p *Person) Commit(ctx context.Context, r *Repo, c Commit) (string, error) {
	request, from := map[string]any{"message": c.Message, "branch": c.Branch}, c.Branch
	if c.From != "" {
		from = c.From
		request["branch"], request["new_branch"] = c.From, c.Branch
	}
	var operations []map[string]string
	for _, path := range slices.Sorted(maps.Keys(c.Files)) {
		operations = append(operations, map[string]string{
			"operation": "upload", "path": path, "content": base64.StdEncoding.EncodeToString([]byte(c.Files[path]))})
	}
	for _, path := range c.Delete {
		var file struct{ SHA string }
		if err := p.Call(ctx, http.MethodGet, r.path("/contents/"+escape(path)+"?ref="+url.QueryEscape(from)), nil, &file); err != nil {
			return "", err
		}
		operations = append(operations, map[string]string{"operation": "delete", "path": path, "sha": file.SHA})
	}
	request["files"] = operations
	var made struct {
		Commit struct{ SHA string }
	}
	err := p.Call(ctx, http.MethodPost, r.path("/contents"), request, &made)
	return made.Commit.SHA, err
}

// DeleteBranch deletes a branch as the person.
func (p *Person) DeleteBranch(ctx context.Context, r *Repo, branch string) error {
	return p.Call(ctx, http.MethodDelete, r.path("/branches/"+escape(branch)), nil, nil)
}

// File is the content of a file at a branch, a tag or a commit.
func (r *Repo) File(ctx context.Context, ref, path string) (string, error) {
	data, err := r.server.Admin.fetch(ctx, http.MethodGet, r.path("/raw/"+escape(path)+"?ref="+url.QueryEscape(ref)), nil)
	return string(data), err
}

// Head is the commit that a branch points at; "" when there is no such branch.
func (r *Repo) Head(ctx context.Context, branch string) (string, error) {
	var found struct{ Commit struct{ ID string } }
	err := r.admin(ctx, http.MethodGet, "/branches/"+escape(branch), nil, &found)
	var answer *StatusError
	if errors.As(err, &answer) && answer.Code == http.StatusNotFound {
		return "", nil
	}
	return found.Commit.ID, err
}

// admin calls the API of the repository as the administrator.
func (r *Repo) admin(ctx context.Context, method, path string, in, out any) error {
	return r.server.Admin.Call(ctx, method, r.path(path), in, out)
}

func (r *Repo) path(path string) string { return "/repos/" + r.Owner + "/" + r.Name + path }

// escape keeps the slashes of a path.
func escape(path string) string { return (&url.URL{Path: path}).EscapedPath() }
