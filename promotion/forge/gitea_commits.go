// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"net/http"
	"strings"

	"code.gitea.io/sdk/gitea"
)

// giteaCommits are the checks and rules of a repository at Gitea.
type giteaCommits struct{ *giteaAPI }

// giteaStates are the states of statuses; error and warning are failures.
var giteaStates = map[gitea.StatusState]CheckState{gitea.StatusPending: CheckPending, gitea.StatusSuccess: CheckSuccess}

func (g *giteaCommits) statuses(ctx context.Context, sha string) (found []Status, complete bool, err error) {
	combined, _, err := g.rest(ctx).GetCombinedStatus(g.repository.owner(), g.repository.name(), sha)
	if err != nil {
		return nil, false, err
	}
	for _, s := range combined.Statuses {
		found = append(found, Status{Context: s.Context, State: checkState(giteaStates, s.State), Description: s.Description, URL: s.TargetURL})
	}
	return found, combined.TotalCount <= len(found), nil
}

func (g *giteaCommits) setStatus(ctx context.Context, sha string, s Status) error {
	_, _, err := g.rest(ctx).CreateStatus(g.repository.owner(), g.repository.name(), sha, gitea.CreateStatusOption{
		State: gitea.StatusState(s.State), Context: s.Context, Description: s.Description, TargetURL: s.URL,
	})
	return err
}

func (g *giteaCommits) rules(ctx context.Context, branch string) (Rules, error) {
	rest, owner, name := g.rest(ctx), g.repository.owner(), g.repository.name()
	b, _, err := rest.GetRepoBranch(owner, name, branch)
	if err != nil {
		return Rules{}, err
	}
	repo, _, err := rest.GetRepo(owner, name)
	if err != nil {
		return Rules{}, err
	}
	rules := Rules{Complete: true, Protected: b.Protected, Approvals: int(b.RequiredApprovals)}
	if b.EnableStatusCheck {
		rules.RequiredChecks, rules.AllChecks = b.StatusCheckContexts, len(b.StatusCheckContexts) == 0
	}
	rules.Methods = allowed(map[Method]bool{
		MergeCommit: repo.AllowMerge, Squash: repo.AllowSquash, Rebase: repo.AllowRebase, FastForward: repo.AllowFastForwardOnlyMerge,
	})
	switch {
	case b.Protected && b.EffectiveBranchProtectionName == "":
		rules.Complete = false // the rest is for administrators
	case b.Protected:
		protection, _, err := rest.GetBranchProtection(owner, name, b.EffectiveBranchProtectionName)
		switch refused := refusal(err); {
		case err == nil:
			rules.UpToDate = protection.BlockOnOutdatedBranch
		case refused != nil && refused.code < http.StatusInternalServerError:
			rules.Complete = false
		default:
			return Rules{}, err
		}
	}
	return rules, nil
}

// requiredMet says whether the checks that rules name, by patterns in which * stands for
// anything, have succeeded. Patterns with more than that are not judged.
func requiredMet(patterns []string, statuses []Status) Tristate {
	if len(patterns) == 0 {
		state := combine(statuses)
		if state == CheckNone {
			return Unknown
		}
		return tristate(state == CheckSuccess)
	}
	met := Yes
	for _, pattern := range patterns {
		if strings.ContainsAny(pattern, "?[]{}\\!") {
			met = Unknown
			continue
		}
		succeeded, failed := false, false
		for _, s := range statuses {
			if matches(pattern, s.Context) {
				succeeded = true
				failed = failed || s.State != CheckSuccess
			}
		}
		if !succeeded || failed {
			return No
		}
	}
	return met
}

// matches compares with a pattern in which * stands for any text.
func matches(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	rest, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return strings.HasSuffix(rest, parts[last])
}
