// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"net/http"
	"strconv"
	"strings"
)

// bitbucketCommits are the build statuses and branch restrictions of a repository at
// Bitbucket Cloud.
type bitbucketCommits struct{ *bitbucketAPI }

// setStatus shortens the key, which has at most 40 characters; the name is whole.
func (b *bitbucketCommits) setStatus(ctx context.Context, sha string, s Status) error {
	key := orElse(s.Key, s.Context)
	if len(key) > 40 {
		key = "sluice-" + digest(s.Context)
	}
	return b.ask(ctx, http.MethodPost, b.resource("commit", sha, "statuses", "build"), b.buildStatus(s, key), nil)
}

func (b *bitbucketCommits) statuses(ctx context.Context, sha string) (found []Status, complete bool, err error) {
	return b.buildStatuses(ctx, withQuery(b.resource("commit", sha, "statuses"), "pagelen", strconv.Itoa(maxStatuses)))
}

// rules reads restrictions, which are for administrators, and hold for patterns of
// branches: those that are not just the name are not judged.
func (b *bitbucketCommits) rules(ctx context.Context, branch string) (Rules, error) {
	rules := Rules{Complete: true, Methods: b.table.Methods}
	var page struct {
		Next   string
		Values []struct {
			Kind    string
			Match   string `json:"branch_match_kind"`
			Pattern string
			Value   int
		}
	}
	err := b.ask(ctx, http.MethodGet, withQuery(b.resource("branch-restrictions"), "pagelen", "100"), nil, &page)
	if answeredWith(err, http.StatusForbidden) {
		rules.Complete = false
		return rules, nil
	}
	rules.Complete = page.Next == ""
	for _, restriction := range page.Values {
		if restriction.Match != "glob" || strings.Contains(restriction.Pattern, "*") && restriction.Pattern != "*" {
			rules.Complete = false
			continue
		}
		if restriction.Pattern != branch && restriction.Pattern != "*" {
			continue
		}
		rules.Protected = true
		switch restriction.Kind {
		case "require_approvals_to_merge", "require_default_reviewer_approvals_to_merge":
			rules.Approvals = max(rules.Approvals, restriction.Value)
		case "require_passing_builds_to_merge":
			rules.AllChecks = true
		}
	}
	return rules, err
}
