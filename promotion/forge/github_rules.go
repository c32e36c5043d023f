// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/google/go-github/v87/github"
)

// Rules implements Forge. Branches have rulesets, which everybody may read, and the
// older protection, which is for administrators.
func (g *gitHubForge) Rules(ctx context.Context, branch string) (Rules, error) {
	owner, name := g.repository.owner(), g.repository.name()
	rules := Rules{Complete: true}
	repo, _, err := g.api.Repositories.Get(ctx, owner, name)
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
	sets, _, err := g.api.Repositories.ListRulesForBranch(ctx, owner, name, branch, &github.ListOptions{PerPage: 100})
	switch refused := refusal(err); {
	case refused != nil && refused.code == http.StatusNotFound: // Enterprise servers that are old have none
	case err != nil:
		return Rules{}, err
	default:
		rules.addRuleset(sets)
	}
	protection, _, err := g.api.Repositories.GetBranchProtection(ctx, owner, name, branch)
	switch refused := refusal(err); {
	case errors.Is(err, github.ErrBranchNotProtected), refused != nil && refused.says("branch not protected"):
	case refused != nil && (refused.code == http.StatusForbidden || refused.code == http.StatusNotFound):
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

func (r *Rules) require(check string) {
	if !slices.Contains(r.RequiredChecks, check) {
		r.RequiredChecks = append(r.RequiredChecks, check)
	}
}

// linear forbids merge commits.
func (r *Rules) linear() {
	r.Protected = true
	r.Methods = slices.DeleteFunc(r.Methods, func(m Method) bool { return m == MergeCommit })
}
