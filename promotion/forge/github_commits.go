// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/google/go-github/v87/github"
)

// gitHubCommits are the checks and rules of a repository at GitHub.
type gitHubCommits struct{ *gitHubAPI }

var gitHubStates = map[string]CheckState{"pending": CheckPending, "success": CheckSuccess}

// statuses reads two resources: commit statuses and check runs.
func (g *gitHubCommits) statuses(ctx context.Context, sha string) (found []Status, complete bool, err error) {
	owner, name, page := g.repository.owner(), g.repository.name(), github.ListOptions{PerPage: maxStatuses}
	combined, _, err := g.rest.Repositories.GetCombinedStatus(ctx, owner, name, sha, &page)
	if err != nil {
		return nil, false, err
	}
	for _, s := range combined.Statuses {
		found = append(found, Status{
			Context: s.GetContext(), State: checkState(gitHubStates, s.GetState()), Description: s.GetDescription(), URL: s.GetTargetURL(),
		})
	}
	runs, _, err := g.rest.Checks.ListCheckRunsForRef(ctx, owner, name, sha, &github.ListCheckRunsOptions{ListOptions: page})
	if answeredWith(err, http.StatusForbidden, http.StatusNotFound) { // the credential may not read checks
		return found, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	for _, run := range runs.CheckRuns {
		found = append(found, Status{Context: run.GetName(), State: checkRunState(run), URL: run.GetHTMLURL()})
	}
	return found, combined.GetTotalCount() <= len(combined.Statuses) && runs.GetTotal() <= len(runs.CheckRuns), nil
}

func checkRunState(run *github.CheckRun) CheckState {
	if run.GetStatus() != "completed" {
		return CheckPending
	}
	switch run.GetConclusion() {
	case "success", "neutral", "skipped":
		return CheckSuccess
	}
	return CheckFailure
}

func (g *gitHubCommits) setStatus(ctx context.Context, sha string, s Status) error {
	status := github.RepoStatus{State: github.Ptr(string(s.State)), Context: &s.Context, Description: &s.Description}
	if s.URL != "" {
		status.TargetURL = &s.URL
	}
	_, _, err := g.rest.Repositories.CreateStatus(ctx, g.repository.owner(), g.repository.name(), sha, status)
	return err
}

// rules reads rulesets, which everybody may, and the older protection of branches, which
// is for administrators.
func (g *gitHubCommits) rules(ctx context.Context, branch string) (Rules, error) {
	owner, name := g.repository.owner(), g.repository.name()
	rules := Rules{Complete: true}
	repo, _, err := g.rest.Repositories.Get(ctx, owner, name)
	if err != nil {
		return Rules{}, err
	}
	if repo.AllowMergeCommit == nil { // said to those who may push
		rules.Complete = false
		rules.Methods = []Method{MergeCommit, Squash, Rebase}
	} else {
		rules.Methods = allowed(map[Method]bool{
			MergeCommit: repo.GetAllowMergeCommit(), Squash: repo.GetAllowSquashMerge(), Rebase: repo.GetAllowRebaseMerge(),
		})
	}
	sets, _, err := g.rest.Repositories.ListRulesForBranch(ctx, owner, name, branch, &github.ListOptions{PerPage: 100})
	switch {
	case answeredWith(err, http.StatusNotFound): // Enterprise servers that are old have none
	case err != nil:
		return Rules{}, err
	default:
		rules.addRuleset(sets)
	}
	protection, _, err := g.rest.Repositories.GetBranchProtection(ctx, owner, name, branch)
	switch refused := refusal(err); {
	case errors.Is(err, github.ErrBranchNotProtected), refused != nil && refused.mentions("branch not protected"):
	case answeredWith(err, http.StatusForbidden, http.StatusNotFound):
		rules.Complete = false
	case err != nil:
		return Rules{}, err
	default:
		rules.addProtection(protection)
	}
	return rules, nil
}

// addRuleset adds what rulesets demand.
func (r *Rules) addRuleset(sets *github.BranchRules) {
	for _, rule := range sets.PullRequest {
		r.Protected = true
		r.Approvals = max(r.Approvals, rule.Parameters.RequiredApprovingReviewCount)
		if only := rule.Parameters.AllowedMergeMethods; len(only) > 0 {
			r.Methods = slices.DeleteFunc(r.Methods, func(m Method) bool { return !slices.Contains(only, github.PullRequestMergeMethod(m)) })
		}
	}
	for _, rule := range sets.RequiredStatusChecks {
		r.Protected = true
		r.UpToDate = r.UpToDate || rule.Parameters.StrictRequiredStatusChecksPolicy
		for _, check := range rule.Parameters.RequiredStatusChecks {
			r.require(check.Context)
		}
	}
	if len(sets.MergeQueue) > 0 {
		r.Protected, r.Queue = true, true
	}
	if len(sets.RequiredLinearHistory) > 0 {
		r.linear()
	}
}

// addProtection adds what the older protection demands.
func (r *Rules) addProtection(p *github.Protection) {
	r.Protected = true
	if reviews := p.RequiredPullRequestReviews; reviews != nil {
		r.Approvals = max(r.Approvals, reviews.RequiredApprovingReviewCount)
	}
	if checks := p.RequiredStatusChecks; checks != nil {
		r.UpToDate = r.UpToDate || checks.Strict
		if checks.Contexts != nil {
			for _, name := range *checks.Contexts {
				r.require(name)
			}
		}
		if checks.Checks != nil {
			for _, check := range *checks.Checks {
				r.require(check.Context)
			}
		}
	}
	if p.RequireLinearHistory != nil && p.RequireLinearHistory.Enabled {
		r.linear()
	}
}

// linear forbids merge commits.
func (r *Rules) linear() {
	r.Protected = true
	r.Methods = slices.DeleteFunc(r.Methods, func(m Method) bool { return m == MergeCommit })
}
