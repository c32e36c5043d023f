// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"net/http"

	gitlab "gitlab.com/gitlab-org/api/client-go"
)

// gitLabCommits are the checks and rules of a project at GitLab.
type gitLabCommits struct{ *gitLabAPI }

func (g *gitLabCommits) statuses(ctx context.Context, sha string) (found []Status, complete bool, err error) {
	opts := &gitlab.GetCommitStatusesOptions{ListOptions: gitlab.ListOptions{PerPage: maxStatuses}}
	list, _, err := g.rest.Commits.GetCommitStatuses(g.project(), sha, opts, gitlab.WithContext(ctx))
	for _, s := range list {
		found = append(found, Status{Context: s.Name, State: gitLabState(s), Description: s.Description, URL: s.TargetURL})
	}
	return found, len(list) < maxStatuses, err
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

var gitLabStates = map[CheckState]gitlab.BuildStateValue{
	CheckPending: gitlab.Pending, CheckSuccess: gitlab.Success, CheckFailure: gitlab.Failed,
}

// setStatus adds to the last pipeline of the commit, or the status would start another one.
func (g *gitLabCommits) setStatus(ctx context.Context, sha string, s Status) error {
	commit, _, err := g.rest.Commits.GetCommit(g.project(), sha, nil, gitlab.WithContext(ctx))
	if err != nil {
		return err
	}
	opts := &gitlab.SetCommitStatusOptions{State: gitLabStates[s.State], Context: &s.Context, Description: &s.Description}
	if s.URL != "" {
		opts.TargetURL = &s.URL
	}
	if commit.LastPipeline != nil && commit.LastPipeline.ID != 0 {
		opts.PipelineID = &commit.LastPipeline.ID
	}
	_, _, err = g.rest.Commits.SetCommitStatus(g.project(), sha, opts, gitlab.WithContext(ctx))
	if answeredWith(err, http.StatusBadRequest) && refusal(err).mentions("cannot transition status") {
		return nil // it is that already
	}
	return err
}

func (g *gitLabCommits) rules(ctx context.Context, branch string) (Rules, error) {
	rules := Rules{Complete: true}
	project, _, err := g.rest.Projects.GetProject(g.project(), nil, gitlab.WithContext(ctx))
	if err != nil {
		return Rules{}, err
	}
	rules.Methods, rules.AllChecks = gitLabMethods(project), project.OnlyAllowMergeIfPipelineSucceeds
	rules.UpToDate = project.MergeMethod != gitlab.NoFastForwardMerge
	_, _, err = g.rest.ProtectedBranches.GetProtectedBranch(g.project(), branch, gitlab.WithContext(ctx))
	switch {
	case err == nil:
		rules.Protected = true
	case answeredWith(err, http.StatusForbidden):
		rules.Complete = false
	case !answeredWith(err, http.StatusNotFound):
		return Rules{}, err
	}
	approvals, _, err := g.rest.Projects.GetProjectApprovalRules(g.project(), nil, gitlab.WithContext(ctx))
	switch {
	case err == nil:
		for _, rule := range approvals {
			rules.Approvals = max(rules.Approvals, int(rule.ApprovalsRequired))
		}
	case answeredWith(err, http.StatusForbidden):
		rules.Complete = false
	case !answeredWith(err, http.StatusNotFound): // the free edition has no such rules
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
