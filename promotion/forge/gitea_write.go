// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"code.gitea.io/sdk/gitea"
)

// Open implements Forge.
func (g *giteaForge) Open(ctx context.Context, p Proposal) (*PullRequest, error) {
	api, owner, name := g.api(ctx), g.repository.owner(), g.repository.name()
	opened, _, err := api.CreatePullRequest(owner, name, gitea.CreatePullRequestOption{
		Head: p.Branch, Base: p.Base, Title: giteaTitle(p.Text), Body: p.Body,
	})
	if refused := refusal(err); refused != nil {
		switch {
		case refused.code == http.StatusConflict:
			return nil, ErrExists
		case refused.code == http.StatusUnprocessableEntity && refused.says("no changes between"):
			return nil, ErrNothingToMerge
		}
	}
	if err != nil {
		return nil, err
	}
	pr := g.read(opened)
	pr.warn("labels", len(p.Labels), func() error { return g.addLabels(ctx, pr.Number, p.Labels) })
	pr.warn("reviewers", len(p.Reviewers), func() error {
		_, err := api.CreateReviewRequests(owner, name, pr.Number, gitea.PullReviewRequestOptions{Reviewers: p.Reviewers})
		return err
	})
	pr.warn("assignees", len(p.Assignees), func() error {
		_, _, err := api.EditIssue(owner, name, pr.Number, gitea.EditIssueOption{Assignees: p.Assignees})
		return err
	})
	return pr, nil
}

// warn does what decorates a pull request that is open already, and keeps why that
// failed: it is no reason to take the pull request back.
func (pr *PullRequest) warn(what string, n int, do func() error) {
	if n == 0 {
		return
	}
	if err := do(); err != nil {
		pr.Warnings = append(pr.Warnings, fmt.Sprintf("%s were not set: %v", what, brief(err)))
	}
}

// addLabels adds labels by their numbers, and makes those that there are not.
func (g *giteaForge) addLabels(ctx context.Context, number int64, wanted []string) error {
	api, owner, name := g.api(ctx), g.repository.owner(), g.repository.name()
	known, _, err := api.ListRepoLabels(owner, name, gitea.ListLabelsOptions{ListOptions: gitea.ListOptions{PageSize: pageSize}})
	if err != nil {
		return err
	}
	var ids []int64
	for _, label := range wanted {
		i := slices.IndexFunc(known, func(l *gitea.Label) bool { return l.Name == label })
		if i >= 0 {
			ids = append(ids, known[i].ID)
			continue
		}
		made, _, err := api.CreateLabel(owner, name, gitea.CreateLabelOption{Name: label, Color: "#ededed"})
		if err != nil {
			return err
		}
		ids = append(ids, made.ID)
	}
	_, _, err = api.AddIssueLabels(owner, name, number, gitea.IssueLabelsOption{Labels: ids})
	return err
}

// giteaTitle is the title by which a pull request is a draft, or not.
func giteaTitle(t Text) string {
	title := withoutPrefix(t.Title, "WIP:", "[WIP]")
	if t.Draft {
		return "WIP: " + title
	}
	return title
}

// Update implements Forge.
func (g *giteaForge) Update(ctx context.Context, number int64, text Text) (*PullRequest, error) {
	api, owner, name := g.api(ctx), g.repository.owner(), g.repository.name()
	now, _, err := api.GetPullRequest(owner, name, number)
	if err != nil {
		return nil, err
	}
	if title := giteaTitle(text); now.Title != title || now.Body != text.Body {
		if now, _, err = api.EditPullRequest(owner, name, number, gitea.EditPullRequestOption{Title: title, Body: &text.Body}); err != nil {
			return nil, err
		}
	}
	return g.complete(ctx, g.read(now))
}

// Comment implements Forge.
func (g *giteaForge) Comment(ctx context.Context, number int64, body string) error {
	_, _, err := g.api(ctx).CreateIssueComment(g.repository.owner(), g.repository.name(), number, gitea.CreateIssueCommentOption{Body: body})
	return err
}

// Close implements Forge.
func (g *giteaForge) Close(ctx context.Context, number int64) error {
	return g.setState(ctx, number, gitea.StateClosed)
}

// Reopen implements Forge.
func (g *giteaForge) Reopen(ctx context.Context, number int64) error {
	api, owner, name := g.api(ctx), g.repository.owner(), g.repository.name()
	now, _, err := api.GetPullRequest(owner, name, number)
	if err != nil {
		return err
	}
	if branch := g.read(now).Branch; branch != "" {
		_, _, err := api.GetRepoBranch(owner, name, branch)
		if refused := refusal(err); refused != nil && refused.code == http.StatusNotFound {
			return &NotReopened{Reason: "branch " + branch + " is gone"}
		} else if err != nil {
			return err
		}
	}
	return g.setState(ctx, number, gitea.StateOpen)
}

func (g *giteaForge) setState(ctx context.Context, number int64, state gitea.StateType) error {
	_, _, err := g.api(ctx).EditPullRequest(g.repository.owner(), g.repository.name(), number, gitea.EditPullRequestOption{State: &state})
	return err
}

var giteaMethods = map[Method]gitea.MergeStyle{
	MergeCommit: gitea.MergeStyleMerge, Squash: gitea.MergeStyleSquash,
	Rebase: gitea.MergeStyleRebase, FastForward: gitea.MergeStyleFastForwardOnly,
}

// Merge implements Forge.
func (g *giteaForge) Merge(ctx context.Context, number int64, m Merge) (*PullRequest, error) {
	if err := g.merge(ctx, number, m, gitea.MergePullRequestOption{}); err != nil {
		return nil, err
	}
	return g.Get(ctx, number)
}

func (g *giteaForge) merge(ctx context.Context, number int64, m Merge, opts gitea.MergePullRequestOption) error {
	opts.Style, opts.Title, opts.Message, opts.HeadCommitId = giteaMethods[m.Method], m.Title, m.Body, m.HeadSHA
	_, _, err := g.api(ctx).MergePullRequest(g.repository.owner(), g.repository.name(), number, opts)
	refused := refusal(err)
	switch {
	case refused == nil:
		return err
	case refused.code == http.StatusConflict && refused.says("head out of date"):
		return ErrHeadMoved
	case refused.code == http.StatusConflict && refused.says("push out of date"):
		return &NotMergeable{Reason: "the base moved meanwhile", Transient: true}
	case refused.code == http.StatusConflict:
		return &NotMergeable{Reason: orElse(refused.message, "it conflicts with its base")}
	case refused.code == http.StatusMethodNotAllowed && refused.says("not allowed to merge"):
		return &Unauthorized{Host: refused.host, Keys: g.who.keys, Needs: g.table.needs, Reason: refused.message}
	case refused.code == http.StatusMethodNotAllowed:
		waiting := refused.says("try again later", "approval", "status check", "reviews", "outdated", "out-of-date", "behind")
		return &NotMergeable{Reason: orElse(refused.message, "the forge does not say why"), Transient: waiting}
	}
	return err
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// EnableAutoMerge implements Forge. If the checks succeed between the look and the
// request, Gitea merges at once, as it was asked to.
func (g *giteaForge) EnableAutoMerge(ctx context.Context, number int64, m Merge) error {
	now, err := g.Get(ctx, number)
	switch {
	case err != nil:
		return err
	case now.HeadSHA != m.HeadSHA:
		return ErrHeadMoved
	case now.Mergeable == Yes:
		return ErrMergeableNow
	}
	err = g.merge(ctx, number, m, gitea.MergePullRequestOption{MergeWhenChecksSucceed: true})
	var not *NotMergeable
	if errors.As(err, &not) && strings.Contains(not.Reason, "already scheduled") {
		return nil
	}
	return err
}

// DisableAutoMerge implements Forge.
func (g *giteaForge) DisableAutoMerge(ctx context.Context, number int64) error {
	_, err := g.api(ctx).CancelScheduledAutoMerge(g.repository.owner(), g.repository.name(), number)
	if refused := refusal(err); refused != nil && refused.code == http.StatusNotFound {
		return nil
	}
	return err
}

// Enqueue implements Forge; Gitea has no merge queue.
func (g *giteaForge) Enqueue(context.Context, int64, string) error {
	return &Unsupported{Provider: g.provider, What: "merge queues"}
}
