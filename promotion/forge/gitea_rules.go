// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"net/http"
	"strings"
)

// Rules implements Forge.
func (g *giteaForge) Rules(ctx context.Context, branch string) (Rules, error) {
	api, owner, name := g.api(ctx), g.repository.owner(), g.repository.name()
	b, _, err := api.GetRepoBranch(owner, name, branch)
	if err != nil {
		return Rules{}, err
	}
	repo, _, err := api.GetRepo(owner, name)
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
		protection, _, err := api.GetBranchProtection(owner, name, b.EffectiveBranchProtectionName)
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

// allowed lists the methods that are, in the order in which they are preferred.
func allowed(are map[Method]bool) []Method {
	var methods []Method
	for _, m := range []Method{MergeCommit, Squash, Rebase, FastForward} {
		if are[m] {
			methods = append(methods, m)
		}
	}
	return methods
}

// requiredMet says whether the checks that rules name, by patterns in which * stands for
// anything, have succeeded. Patterns with more than that are not judged.
func requiredMet(patterns []string, checks Checks) Answer {
	if len(patterns) == 0 {
		if checks.State == CheckNone {
			return Unknown
		}
		return answer(checks.State == CheckSuccess)
	}
	met := Yes
	for _, pattern := range patterns {
		if strings.ContainsAny(pattern, "?[]{}\\!") {
			met = Unknown
			continue
		}
		succeeded, failed := false, false
		for _, s := range checks.Statuses {
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
