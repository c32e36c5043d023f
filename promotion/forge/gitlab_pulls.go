// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"fmt"
	"net/http"
	"regexp"

	gitlab "gitlab.com/gitlab-org/api/client-go"
)

// gitLabPulls are the merge requests of a project at GitLab.
type gitLabPulls struct{ *gitLabAPI }

func (g *gitLabPulls) candidates(ctx context.Context, base, branch string) ([]PullRequest, error) {
	return g.list(ctx, &gitlab.ListProjectMergeRequestsOptions{
		SourceBranch: &branch, TargetBranch: &base, OrderBy: gitlab.Ptr("created_at"), Sort: gitlab.Ptr("desc"),
	})
}

func (g *gitLabPulls) recent(ctx context.Context) ([]PullRequest, error) {
	return g.list(ctx, &gitlab.ListProjectMergeRequestsOptions{OrderBy: gitlab.Ptr("updated_at"), Sort: gitlab.Ptr("desc")})
}

func (g *gitLabPulls) list(ctx context.Context, opts *gitlab.ListProjectMergeRequestsOptions) ([]PullRequest, error) {
	opts.PerPage = pageSize
	list, _, err := g.rest.MergeRequests.ListProjectMergeRequests(g.project(), opts, gitlab.WithContext(ctx))
	return readAll(list, g.read), err
}

func (g *gitLabPulls) get(ctx context.Context, number int64) (*snapshot, error) {
	mr, _, err := g.rest.MergeRequests.GetMergeRequest(g.project(), number, nil, gitlab.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	pr := g.read(&mr.BasicMergeRequest)
	if pr.State != Open {
		return pr, nil
	}
	approvals, _, err := g.rest.MergeRequestApprovals.GetConfiguration(g.project(), number, gitlab.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	pr.Approvals = len(approvals.ApprovedBy)
	return pr, nil
}

func (g *gitLabPulls) read(mr *gitlab.BasicMergeRequest) *snapshot {
	found := &snapshot{PullRequest: PullRequest{
		Number: mr.IID, URL: mr.WebURL, State: Open, Title: mr.Title, Body: mr.Description, Draft: mr.Draft, Author: gitLabLogin(mr.Author),
		Base: mr.TargetBranch, Branch: mr.SourceBranch, HeadSHA: mr.SHA, HeadRepo: fmt.Sprintf("project/%d", mr.SourceProjectID),
		Mergeable: Unknown, Auto: tristate(mr.MergeWhenPipelineSucceeds), Labels: mr.Labels,
	}}
	if mr.SourceProjectID == mr.TargetProjectID {
		found.HeadRepo = g.project()
	}
	if mr.Draft {
		found.Title = withoutPrefix(mr.Title, g.table.draftPrefixes...)
	}
	switch mr.State {
	case "closed":
		found.State, found.ClosedBy = Closed, gitLabLogin(mr.ClosedBy)
		if mr.CreatedAt != nil && mr.ClosedAt != nil {
			found.ClosedAsStale = gitLabProgram.MatchString(found.ClosedBy) && wasOpenLong(*mr.CreatedAt, *mr.ClosedAt)
		}
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

// gitLabProgram are the names of users that GitLab makes for tokens of projects and groups.
var gitLabProgram = regexp.MustCompile(`^(project|group)_\d+_bot(_|$)`)

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
func gitLabMergeable(status string) (Tristate, []Blocker) {
	if status == "mergeable" {
		return Yes, nil
	}
	if why, ok := gitLabBlockers[status]; ok {
		return No, []Blocker{why}
	}
	return Unknown, nil
}

// open returns what was opened; GitLab makes labels that there are not.
func (g *gitLabPulls) open(ctx context.Context, p NewPullRequest) (*PullRequest, error) {
	title := g.table.draftTitle(p.Text)
	opts := &gitlab.CreateMergeRequestOptions{Title: &title, Description: &p.Body, SourceBranch: &p.Branch, TargetBranch: &p.Base}
	if len(p.Labels) > 0 {
		opts.Labels = gitlab.Ptr(gitlab.LabelOptions(p.Labels))
	}
	opened, _, err := g.rest.MergeRequests.CreateMergeRequest(g.project(), opts, gitlab.WithContext(ctx))
	if answeredWith(err, http.StatusConflict) {
		return nil, ErrExists
	}
	if err != nil {
		return nil, err
	}
	pr := &g.read(&opened.BasicMergeRequest).PullRequest
	pr.warn("reviewers", len(p.Reviewers), func() error {
		ids, err := g.users(ctx, p.Reviewers)
		if err != nil {
			return err
		}
		return g.edit(ctx, pr.Number, &gitlab.UpdateMergeRequestOptions{ReviewerIDs: &ids})
	})
	pr.warn("assignees", len(p.Assignees), func() error {
		ids, err := g.users(ctx, p.Assignees)
		if err != nil {
			return err
		}
		return g.edit(ctx, pr.Number, &gitlab.UpdateMergeRequestOptions{AssigneeIDs: &ids})
	})
	return pr, nil
}

// users finds the numbers of users.
func (g *gitLabPulls) users(ctx context.Context, logins []string) ([]int64, error) {
	var ids []int64
	for _, login := range logins {
		found, _, err := g.rest.Users.ListUsers(&gitlab.ListUsersOptions{Username: &login}, gitlab.WithContext(ctx))
		switch {
		case err != nil:
			return nil, err
		case len(found) != 1:
			return nil, fmt.Errorf("there is no user %q", login)
		}
		ids = append(ids, found[0].ID)
	}
	return ids, nil
}

func (g *gitLabPulls) edit(ctx context.Context, number int64, opts *gitlab.UpdateMergeRequestOptions) error {
	_, _, err := g.rest.MergeRequests.UpdateMergeRequest(g.project(), number, opts, gitlab.WithContext(ctx))
	return err
}

func (g *gitLabPulls) update(ctx context.Context, now *snapshot, text Text) error {
	return g.edit(ctx, now.Number, &gitlab.UpdateMergeRequestOptions{Title: gitlab.Ptr(g.table.draftTitle(text)), Description: &text.Body})
}

func (g *gitLabPulls) comment(ctx context.Context, number int64, body string) error {
	opts := &gitlab.CreateMergeRequestNoteOptions{Body: &body}
	_, _, err := g.rest.Notes.CreateMergeRequestNote(g.project(), number, opts, gitlab.WithContext(ctx))
	return err
}

func (g *gitLabPulls) close(ctx context.Context, number int64) error {
	return g.edit(ctx, number, &gitlab.UpdateMergeRequestOptions{StateEvent: gitlab.Ptr("close")})
}

func (g *gitLabPulls) reopen(ctx context.Context, number int64) error {
	opts := &gitlab.UpdateMergeRequestOptions{StateEvent: gitlab.Ptr("reopen")}
	mr, _, err := g.rest.MergeRequests.UpdateMergeRequest(g.project(), number, opts, gitlab.WithContext(ctx))
	if err == nil && mr.State != "opened" {
		return &NotReopened{Reason: "GitLab leaves it " + mr.State + ", as when the branch is gone"}
	}
	return err
}

func (g *gitLabPulls) merge(ctx context.Context, number int64, m Merge) error {
	return g.accept(ctx, number, m, &gitlab.AcceptMergeRequestOptions{})
}

// accept asks to merge now, or when the pipeline succeeds.
func (g *gitLabPulls) accept(ctx context.Context, number int64, m Merge, opts *gitlab.AcceptMergeRequestOptions) error {
	project, _, err := g.rest.Projects.GetProject(g.project(), nil, gitlab.WithContext(ctx))
	if err != nil {
		return err
	}
	if fast := project.MergeMethod == gitlab.FastForwardMerge; m.Method != Squash && fast != (m.Method == FastForward) {
		return g.unsupported(fmt.Sprintf("merge method %q in a project whose own is %q", m.Method, project.MergeMethod))
	}
	opts.SHA, opts.Squash = &m.HeadSHA, gitlab.Ptr(m.Method == Squash)
	if message := m.message(); message != "" { // an empty one is refused
		opts.MergeCommitMessage, opts.SquashCommitMessage = &message, &message
	}
	_, _, err = g.rest.MergeRequests.AcceptMergeRequest(g.project(), number, opts, gitlab.WithContext(ctx))
	if answeredWith(err, http.StatusConflict) {
		return ErrHeadMoved
	}
	return err
}

// enableAutoMerge sets a field that has two names: a server that knows only the older one
// would merge at once if it were missing.
func (g *gitLabPulls) enableAutoMerge(ctx context.Context, now *snapshot, m Merge) error {
	yes := true
	return g.accept(ctx, now.Number, m, &gitlab.AcceptMergeRequestOptions{
		AutoMerge: &yes, MergeWhenPipelineSucceeds: &yes, //nolint:staticcheck // for servers before 17.11
	})
}

func (g *gitLabPulls) disableAutoMerge(ctx context.Context, now *snapshot) error {
	_, _, err := g.rest.MergeRequests.CancelMergeWhenPipelineSucceeds(g.project(), now.Number, gitlab.WithContext(ctx))
	return err
}
