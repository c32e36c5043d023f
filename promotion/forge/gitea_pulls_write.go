// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"code.gitea.io/sdk/gitea"
)

func (g *giteaPulls) open(ctx context.Context, p NewPullRequest) (*PullRequest, error) {
	rest, owner, name := g.rest(ctx), g.repository.owner(), g.repository.name()
	opened, _, err := rest.CreatePullRequest(owner, name, gitea.CreatePullRequestOption{
		Head: p.Branch, Base: p.Base, Title: g.table.draftTitle(p.Text), Body: p.Body,
	})
	if refused := refusal(err); refused != nil {
		switch {
		case refused.code == http.StatusConflict:
			return nil, ErrExists
		case refused.code == http.StatusUnprocessableEntity && refused.mentions("no changes between"):
			return nil, ErrNothingToMerge
		}
	}
	if err != nil {
		return nil, err
	}
	pr := &g.read(opened).PullRequest
	pr.warn("labels", len(p.Labels), func() error { return g.addLabels(ctx, pr.Number, p.Labels) })
	pr.warn("reviewers", len(p.Reviewers), func() error {
		_, err := rest.CreateReviewRequests(owner, name, pr.Number, gitea.PullReviewRequestOptions{Reviewers: p.Reviewers})
		return err
	})
	pr.warn("assignees", len(p.Assignees), func() error {
		_, _, err := rest.EditIssue(owner, name, pr.Number, gitea.EditIssueOption{Assignees: p.Assignees})
		return err
	})
	return pr, nil
}

// addLabels adds labels by their numbers, and makes those that there are not.
func (g *giteaPulls) addLabels(ctx context.Context, number int64, wanted []string) error {
	rest, owner, name := g.rest(ctx), g.repository.owner(), g.repository.name()
	known, _, err := rest.ListRepoLabels(owner, name, gitea.ListLabelsOptions{ListOptions: gitea.ListOptions{PageSize: pageSize}})
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
		made, _, err := rest.CreateLabel(owner, name, gitea.CreateLabelOption{Name: label, Color: "#ededed"})
		if err != nil {
			return err
		}
		ids = append(ids, made.ID)
	}
	_, _, err = rest.AddIssueLabels(owner, name, number, gitea.IssueLabelsOption{Labels: ids})
	return err
}

func (g *giteaPulls) edit(ctx context.Context, number int64, change gitea.EditPullRequestOption) error {
	_, _, err := g.rest(ctx).EditPullRequest(g.repository.owner(), g.repository.name(), number, change)
	return err
}

func (g *giteaPulls) update(ctx context.Context, now *snapshot, text Text) error {
	return g.edit(ctx, now.Number, gitea.EditPullRequestOption{Title: g.table.draftTitle(text), Body: &text.Body})
}

func (g *giteaPulls) comment(ctx context.Context, number int64, body string) error {
	_, _, err := g.rest(ctx).CreateIssueComment(g.repository.owner(), g.repository.name(), number, gitea.CreateIssueCommentOption{Body: body})
	return err
}

func (g *giteaPulls) close(ctx context.Context, number int64) error {
	closed := gitea.StateClosed
	return g.edit(ctx, number, gitea.EditPullRequestOption{State: &closed})
}

// reopen looks for the branch first: Gitea would reopen a pull request without it.
func (g *giteaPulls) reopen(ctx context.Context, number int64) error {
	rest, owner, name := g.rest(ctx), g.repository.owner(), g.repository.name()
	now, _, err := rest.GetPullRequest(owner, name, number)
	if err != nil {
		return err
	}
	if branch := g.read(now).Branch; branch != "" {
		_, _, err := rest.GetRepoBranch(owner, name, branch)
		switch {
		case answeredWith(err, http.StatusNotFound):
			return &NotReopened{Reason: "branch " + branch + " is gone"}
		case err != nil:
			return err
		}
	}
	open := gitea.StateOpen
	return g.edit(ctx, number, gitea.EditPullRequestOption{State: &open})
}

var giteaMethods = map[Method]gitea.MergeStyle{
	MergeCommit: gitea.MergeStyleMerge, Squash: gitea.MergeStyleSquash,
	Rebase: gitea.MergeStyleRebase, FastForward: gitea.MergeStyleFastForwardOnly,
}

func (g *giteaPulls) merge(ctx context.Context, number int64, m Merge) error {
	return g.mergeWith(ctx, number, m, gitea.MergePullRequestOption{})
}

// mergeWith tells by the text of a refusal whether waiting helps.
func (g *giteaPulls) mergeWith(ctx context.Context, number int64, m Merge, opts gitea.MergePullRequestOption) error {
	opts.Style, opts.Title, opts.Message, opts.HeadCommitId = giteaMethods[m.Method], m.Title, m.Body, m.HeadSHA
	_, _, err := g.rest(ctx).MergePullRequest(g.repository.owner(), g.repository.name(), number, opts)
	refused := refusal(err)
	switch {
	case refused == nil:
		return err
	case refused.code == http.StatusConflict && refused.mentions("head out of date"):
		return ErrHeadMoved
	case refused.code == http.StatusConflict && refused.mentions("push out of date"):
		return &NotMergeable{Reason: "the base moved meanwhile", Transient: true}
	case refused.code == http.StatusConflict:
		return &NotMergeable{Reason: orElse(refused.message, "it conflicts with its base")}
	case refused.code == http.StatusMethodNotAllowed && refused.mentions("not allowed to merge"):
		return g.unauthorized(refused.message)
	case refused.code == http.StatusMethodNotAllowed && refused.message != "":
		waiting := refused.mentions("try again later", "approval", "status check", "reviews", "outdated", "out-of-date", "behind")
		return &NotMergeable{Reason: refused.message, Transient: waiting}
	}
	return err
}

// enableAutoMerge asks for a merge when the checks succeed. If they do between the look at
// the pull request and the request, Gitea merges at once.
func (g *giteaPulls) enableAutoMerge(ctx context.Context, now *snapshot, m Merge) error {
	err := g.mergeWith(ctx, now.Number, m, gitea.MergePullRequestOption{MergeWhenChecksSucceed: true})
	var not *NotMergeable
	if errors.As(err, &not) && strings.Contains(not.Reason, "already scheduled") {
		return nil
	}
	return err
}

func (g *giteaPulls) disableAutoMerge(ctx context.Context, now *snapshot) error {
	_, err := g.rest(ctx).CancelScheduledAutoMerge(g.repository.owner(), g.repository.name(), now.Number)
	if answeredWith(err, http.StatusNotFound) { // Gitea does not say whether it is scheduled
		return nil
	}
	return err
}
