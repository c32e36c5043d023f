// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	gitlab "gitlab.com/gitlab-org/api/client-go"
)

// gitLabForge speaks with GitLab. Its pull requests are merge requests; their number is
// the one within the project.
//
// What is peculiar: lists are asked of the project, the global one has those of all; a
// fork shows by the number of its project; 405 is every reason not to merge, which
// detailed_merge_status tells; who may not merge gets 401; a fast-forward leaves
// merge_commit_sha empty; the project decides between merge commits and fast-forward,
// the request only whether to squash; a status starts a pipeline unless it names one,
// and setting it to what it is is an error; a reopening that cannot be is ignored.
//
// Merge trains are not used: GitLab names neither the queue nor its place in it in a
// merge request.
type gitLabForge struct {
	*session
	api *gitlab.Client
}

func connectGitLab(s *session) (Forge, error) {
	api, err := gitlab.NewAuthSourceClient(gitlab.Unauthenticated{}, gitlab.WithHTTPClient(s.client()),
		gitlab.WithBaseURL(s.repository.api.String()), gitlab.WithoutRetries())
	return &gitLabForge{s, api}, err
}

// locateGitLab takes all names of the URL: projects are in groups of any depth. A
// server below a path of its host is not found by the URL of a repository.
func locateGitLab(u *url.URL) (repository, error) {
	found := names(u)
	if len(found) < 2 {
		return repository{}, fmt.Errorf("%w: the URL of the repository must be that of group/project, not %q", ErrInvalid, strings.Join(found, "/"))
	}
	if u.Scheme == "ssh" && strings.EqualFold(u.Hostname(), "altssh.gitlab.com") {
		u = &url.URL{Scheme: "https", Host: "gitlab.com", Path: u.Path}
	}
	return repository{api: at(u, "api", "v4"), path: found}, nil
}

func (g *gitLabForge) project() string { return g.repository.String() }

// Identity implements Forge.
func (g *gitLabForge) Identity(ctx context.Context) (Identity, error) {
	user, _, err := g.api.Users.CurrentUser(gitlab.WithContext(ctx))
	if err != nil {
		return Identity{}, err
	}
	return Identity{Login: user.Username}, nil
}

// Find implements Forge.
func (g *gitLabForge) Find(ctx context.Context, base, branch string) (*PullRequest, error) {
	list, err := g.list(ctx, &gitlab.ListProjectMergeRequestsOptions{
		SourceBranch: &branch, TargetBranch: &base, OrderBy: gitlab.Ptr("created_at"), Sort: gitlab.Ptr("desc"),
	})
	if err != nil {
		return nil, err
	}
	best := g.best(list, base, branch)
	if best == nil {
		return nil, ErrNotFound
	}
	return g.Get(ctx, best.Number)
}

// Recent implements Forge.
func (g *gitLabForge) Recent(ctx context.Context) ([]PullRequest, error) {
	list, err := g.list(ctx, &gitlab.ListProjectMergeRequestsOptions{OrderBy: gitlab.Ptr("updated_at"), Sort: gitlab.Ptr("desc")})
	for i := range list {
		list[i].Mergeable, list[i].Blocked, list[i].ClosedBy = Unknown, nil, ""
	}
	return list, err
}

func (g *gitLabForge) list(ctx context.Context, opts *gitlab.ListProjectMergeRequestsOptions) ([]PullRequest, error) {
	opts.PerPage = pageSize
	list, _, err := g.api.MergeRequests.ListProjectMergeRequests(g.project(), opts, gitlab.WithContext(ctx))
	found := make([]PullRequest, len(list))
	for i, mr := range list {
		found[i] = *g.read(mr)
	}
	return found, err
}

// Get implements Forge.
func (g *gitLabForge) Get(ctx context.Context, number int64) (*PullRequest, error) {
	mr, _, err := g.api.MergeRequests.GetMergeRequest(g.project(), number, nil, gitlab.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	pr := g.read(&mr.BasicMergeRequest)
	if pr.State != Open {
		return pr, nil
	}
	approvals, _, err := g.api.MergeRequestApprovals.GetConfiguration(g.project(), number, gitlab.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	pr.Approvals = len(approvals.ApprovedBy)
	return pr, nil
}

func (g *gitLabForge) read(mr *gitlab.BasicMergeRequest) *PullRequest {
	found := &PullRequest{
		Number: mr.IID, URL: mr.WebURL, State: Open, Title: mr.Title, Body: mr.Description, Draft: mr.Draft, Author: gitLabLogin(mr.Author),
		Base: mr.TargetBranch, Branch: mr.SourceBranch, HeadSHA: mr.SHA, HeadRepo: fmt.Sprintf("project/%d", mr.SourceProjectID),
		Mergeable: Unknown, Auto: answer(mr.MergeWhenPipelineSucceeds), Labels: mr.Labels,
	}
	if mr.SourceProjectID == mr.TargetProjectID {
		found.HeadRepo = g.project()
	}
	if mr.Draft {
		found.Title = withoutPrefix(mr.Title, gitLabDrafts...)
	}
	switch mr.State {
	case "closed":
		found.State, found.ClosedBy = Closed, gitLabLogin(mr.ClosedBy)
	case "merged":
		found.State, found.MergedBy = Merged, gitLabLogin(mr.MergeUser)
		for _, landed := range []string{mr.MergeCommitSHA, mr.SquashCommitSHA, mr.SHA} {
			found.Landed = orElse(found.Landed, landed)
		}
	case "opened":
		found.Mergeable, found.Blocked = gitLabMergeable(mr.DetailedMergeStatus)
	} // locked is one that is being merged
	return found
}

// gitLabDrafts are what titles of drafts begin with.
var gitLabDrafts = []string{"Draft:", "[Draft]", "(Draft)"}

func gitLabLogin(user *gitlab.BasicUser) string {
	if user == nil {
		return ""
	}
	return user.Username
}

// gitLabBlockers are the values of detailed_merge_status that are a no.
var gitLabBlockers = map[string]Blocker{
	"conflict": ByConflict, "broken_status": ByConflict, "draft_status": ByDraft, "need_rebase": ByBehind,
	"ci_must_pass": ByChecks, "ci_still_running": ByChecks, "status_checks_must_pass": ByChecks,
	"not_approved": ByApprovals, "requested_changes": ByChanges, "discussions_not_resolved": ByThreads,
	"commits_status": ByRules, "jira_association_missing": ByRules, "merge_request_blocked": ByRules, "merge_time": ByRules,
	"security_policy_violations": ByRules, "locked_paths": ByRules, "locked_lfs_files": ByRules, "title_regex": ByRules,
}

// gitLabMergeable reads detailed_merge_status; checking, unchecked, preparing,
// approvals_syncing and what is new are not known.
func gitLabMergeable(status string) (Answer, []Blocker) {
	if status == "mergeable" {
		return Yes, nil
	}
	if why, ok := gitLabBlockers[status]; ok {
		return No, []Blocker{why}
	}
	return Unknown, nil
}

// Checks implements Forge.
func (g *gitLabForge) Checks(ctx context.Context, sha string) (Checks, error) {
	opts := &gitlab.GetCommitStatusesOptions{ListOptions: gitlab.ListOptions{PerPage: 100}}
	list, _, err := g.api.Commits.GetCommitStatuses(g.project(), sha, opts, gitlab.WithContext(ctx))
	if err != nil {
		return Checks{}, err
	}
	statuses := make([]Status, len(list))
	for i, s := range list {
		statuses[i] = Status{Context: s.Name, State: gitLabState(s), Description: s.Description, URL: s.TargetURL}
	}
	checks := combine(statuses)
	checks.Incomplete = len(list) == 100
	return checks, nil
}

func gitLabState(s *gitlab.CommitStatus) CheckState {
	switch s.Status {
	case "success", "skipped":
		return CheckSuccess
	case "failed", "canceled":
		if s.AllowFailure {
			return CheckSuccess
		}
		return CheckFailure
	case "manual":
		if s.AllowFailure {
			return CheckSuccess
		}
	}
	return CheckPending
}

// SetStatus implements Forge.
func (g *gitLabForge) SetStatus(ctx context.Context, sha string, s Status) error {
	state := map[CheckState]gitlab.BuildStateValue{CheckPending: gitlab.Pending, CheckSuccess: gitlab.Success, CheckFailure: gitlab.Failed}[s.State]
	if state == "" {
		return fmt.Errorf("a status cannot be %q", s.State)
	}
	commit, _, err := g.api.Commits.GetCommit(g.project(), sha, nil, gitlab.WithContext(ctx))
	if err != nil {
		return err
	}
	opts := &gitlab.SetCommitStatusOptions{State: state, Context: &s.Context, Description: &s.Description}
	if s.URL != "" {
		opts.TargetURL = &s.URL
	}
	if commit.LastPipeline != nil && commit.LastPipeline.ID != 0 {
		opts.PipelineID = &commit.LastPipeline.ID
	}
	_, _, err = g.api.Commits.SetCommitStatus(g.project(), sha, opts, gitlab.WithContext(ctx))
	if refused := refusal(err); refused != nil && refused.code == http.StatusBadRequest && refused.says("cannot transition status") {
		return nil // it is that already
	}
	return err
}

// Rules implements Forge.
func (g *gitLabForge) Rules(ctx context.Context, branch string) (Rules, error) {
	rules := Rules{Complete: true}
	project, _, err := g.api.Projects.GetProject(g.project(), nil, gitlab.WithContext(ctx))
	if err != nil {
		return Rules{}, err
	}
	rules.Methods, rules.AllChecks = gitLabMethods(project), project.OnlyAllowMergeIfPipelineSucceeds
	rules.UpToDate = project.MergeMethod != gitlab.NoFastForwardMerge
	_, _, err = g.api.ProtectedBranches.GetProtectedBranch(g.project(), branch, gitlab.WithContext(ctx))
	switch refused := refusal(err); {
	case err == nil:
		rules.Protected = true
	case refused != nil && refused.code == http.StatusForbidden:
		rules.Complete = false
	case refused == nil || refused.code != http.StatusNotFound:
		return Rules{}, err
	}
	approvals, _, err := g.api.Projects.GetProjectApprovalRules(g.project(), nil, gitlab.WithContext(ctx))
	switch refused := refusal(err); {
	case err == nil:
		for _, rule := range approvals {
			rules.Approvals = max(rules.Approvals, int(rule.ApprovalsRequired))
		}
	case refused != nil && refused.code == http.StatusForbidden:
		rules.Complete = false
	case refused == nil || refused.code != http.StatusNotFound: // the free edition has no such rules
		return Rules{}, err
	}
	rules.Protected = rules.Protected || rules.AllChecks || rules.Approvals > 0
	return rules, nil
}

func gitLabMethods(project *gitlab.Project) []Method {
	own := MergeCommit
	if project.MergeMethod == gitlab.FastForwardMerge {
		own = FastForward
	}
	switch project.SquashOption {
	case gitlab.SquashOptionNever:
		return []Method{own}
	case gitlab.SquashOptionAlways:
		return []Method{Squash}
	}
	return []Method{own, Squash}
}
