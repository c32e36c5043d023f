// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// Open implements Forge. That there is one already has to be looked up.
func (b *cloudForge) Open(ctx context.Context, p Proposal) (*PullRequest, error) {
	switch now, err := b.Find(ctx, p.Base, p.Branch); {
	case err == nil && now.State == Open:
		return nil, ErrExists
	case err != nil && !errors.Is(err, ErrNotFound):
		return nil, err
	}
	end := func(branch string) map[string]any { return map[string]any{"branch": map[string]string{"name": branch}} }
	var opened cloudPull
	err := b.ask(ctx, http.MethodPost, b.of("pullrequests"), map[string]any{
		"title": p.Title, "description": p.Body, "source": end(p.Branch), "destination": end(p.Base),
	}, &opened)
	if refused := refusal(err); refused != nil && refused.says("no changes to be pulled") {
		return nil, ErrNothingToMerge
	}
	if err != nil {
		return nil, err
	}
	return b.Get(ctx, opened.ID)
}

// Update implements Forge, and keeps the reviewers.
func (b *cloudForge) Update(ctx context.Context, number int64, text Text) (*PullRequest, error) {
	pr, now, err := b.get(ctx, number)
	if err != nil || pr.Title == text.Title && pr.Body == text.Body {
		return pr, err
	}
	reviewers := []cloudUser{}
	for _, reviewer := range now.Reviewers {
		reviewers = append(reviewers, cloudUser{UUID: reviewer.UUID})
	}
	change := map[string]any{"title": text.Title, "description": text.Body, "reviewers": reviewers}
	if err := b.ask(ctx, http.MethodPut, b.pull(number), change, nil); err != nil {
		return nil, err
	}
	return b.Get(ctx, number)
}

// Comment implements Forge.
func (b *cloudForge) Comment(ctx context.Context, number int64, body string) error {
	return b.ask(ctx, http.MethodPost, b.pull(number, "comments"), map[string]any{"content": map[string]string{"raw": body}}, nil)
}

// Close implements Forge, for good.
func (b *cloudForge) Close(ctx context.Context, number int64) error {
	return b.ask(ctx, http.MethodPost, b.pull(number, "decline"), nil, nil)
}

// Reopen implements Forge; the table says that it is not called.
func (b *cloudForge) Reopen(context.Context, int64) error {
	return &Unsupported{Provider: b.provider, What: "reopening pull requests"}
}

var cloudStrategies = map[Method]string{MergeCommit: "merge_commit", Squash: "squash", FastForward: "fast_forward"}

// Merge implements Forge. Between the look at the head and the merge somebody may push:
// this forge has nothing against that.
func (b *cloudForge) Merge(ctx context.Context, number int64, m Merge) (*PullRequest, error) {
	pr, err := b.Get(ctx, number)
	switch {
	case err != nil:
		return nil, err
	case pr.State == Merged:
		return pr, nil
	case pr.State == Open && pr.HeadSHA != m.HeadSHA:
		return nil, ErrHeadMoved
	}
	body := map[string]any{"type": "pullrequest", "merge_strategy": cloudStrategies[m.Method], "close_source_branch": false}
	if m.Title != "" {
		body["message"] = strings.TrimSpace(m.Title + "\n\n" + m.Body)
	}
	err = b.ask(ctx, http.MethodPost, b.pull(number, "merge"), body, nil)
	switch refused := refusal(err); {
	case refused == nil:
	case refused.code == http.StatusConflict:
		return nil, &NotMergeable{Reason: orElse(refused.message, "it conflicts with its base")}
	case refused.final():
		return nil, b.why(ctx, b, number, refused)
	}
	if err != nil {
		return nil, err
	}
	return b.Get(ctx, number)
}

// EnableAutoMerge implements Forge; the table says that it is not called.
func (b *cloudForge) EnableAutoMerge(context.Context, int64, Merge) error {
	return &Unsupported{Provider: b.provider, What: "auto-merge"}
}

// DisableAutoMerge implements Forge.
func (b *cloudForge) DisableAutoMerge(context.Context, int64) error { return nil }

// Enqueue implements Forge.
func (b *cloudForge) Enqueue(context.Context, int64, string) error {
	return &Unsupported{Provider: b.provider, What: "merge queues"}
}

// SetStatus implements Forge. A key has at most 40 characters; the name is whole.
func (b *cloudForge) SetStatus(ctx context.Context, sha string, s Status) error {
	key := s.Context
	if len(key) > 40 {
		key = "sluice-" + digest(s.Context)
	}
	status, err := b.buildOf(s, key)
	if err != nil {
		return err
	}
	return b.ask(ctx, http.MethodPost, b.of("commit", sha, "statuses", "build"), status, nil)
}

// Checks implements Forge.
func (b *cloudForge) Checks(ctx context.Context, sha string) (Checks, error) {
	const most = 100
	var page struct{ Values []build }
	err := b.ask(ctx, http.MethodGet, with(b.of("commit", sha, "statuses"), "pagelen", strconv.Itoa(most)), nil, &page)
	return checksOf(page.Values, most), err
}

// Rules implements Forge. Restrictions are for administrators, and hold for patterns of
// branches: those that are not just the name are not judged.
func (b *cloudForge) Rules(ctx context.Context, branch string) (Rules, error) {
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
	err := b.ask(ctx, http.MethodGet, with(b.of("branch-restrictions"), "pagelen", "100"), nil, &page)
	if refused := refusal(err); refused != nil && refused.code == http.StatusForbidden {
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
