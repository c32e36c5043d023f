// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"code.gitea.io/sdk/gitea"
	"github.com/google/go-github/v87/github"
	gitlab "gitlab.com/gitlab-org/api/client-go"
)

// Bounds of the comments that are looked through for the one to keep up to date.
const (
	commentsPerPage = 100
	maxCommentPages = 10
)

// UpsertComment implements Forge.
func (c *checkedForge) UpsertComment(ctx context.Context, number int64, marker, body string) error {
	if c.driver.comments == nil {
		return &Unsupported{Provider: c.session.provider, What: "comments that are kept up to date"}
	}
	return c.explain(c.upsertComment(ctx, number, marker, fitted(body, c.session.table.BodyBytes)), "commenting on pull request %d", number)
}

func (c *checkedForge) upsertComment(ctx context.Context, number int64, marker, body string) error {
	us, err := c.driver.identity(ctx)
	if err != nil {
		return err
	}
	ours := func(known comment) bool { return us.IsUs(known.author) && strings.Contains(known.body, marker) }
	for page, more := 1, true; more && page <= maxCommentPages; page++ {
		var found []comment
		if found, more, err = c.driver.comments.listComments(ctx, number, page); err != nil {
			return err
		}
		at := slices.IndexFunc(found, ours)
		switch {
		case at < 0:
		case found[at].body == body:
			return nil
		default:
			return c.driver.comments.editComment(ctx, number, found[at].id, body)
		}
	}
	return c.driver.pulls.comment(ctx, number, body)
}

// Dispatch implements Forge.
func (c *checkedForge) Dispatch(ctx context.Context, kind string, payload any) error {
	if c.driver.workflows == nil {
		return &Unsupported{Provider: c.session.provider, What: "starting workflows"}
	}
	return c.explain(c.driver.workflows.dispatch(ctx, kind, payload), "starting workflows by %s", kind)
}

func (g *gitHubPulls) listComments(ctx context.Context, number int64, page int) ([]comment, bool, error) {
	listed, resp, err := g.rest.Issues.ListComments(ctx, g.repository.owner(), g.repository.name(), int(number),
		&github.IssueListCommentsOptions{
			Sort: github.Ptr("created"), Direction: github.Ptr("asc"), ListOptions: github.ListOptions{Page: page, PerPage: commentsPerPage},
		})
	if err != nil {
		return nil, false, err
	}
	found := make([]comment, 0, len(listed))
	for _, c := range listed {
		found = append(found, comment{c.GetID(), c.GetUser().GetLogin(), c.GetBody()})
	}
	return found, resp.NextPage > 0, nil
}

func (g *gitHubPulls) editComment(ctx context.Context, _, id int64, body string) error {
	_, _, err := g.rest.Issues.EditComment(ctx, g.repository.owner(), g.repository.name(), id, &github.IssueComment{Body: &body})
	return err
}

func (g *gitHubAPI) dispatch(ctx context.Context, kind string, payload any) error {
	encoded, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("encoding the payload: %w", err)
	}
	raw := json.RawMessage(encoded)
	_, _, err = g.rest.Repositories.Dispatch(ctx, g.repository.owner(), g.repository.name(),
		github.DispatchRequestOptions{EventType: kind, ClientPayload: &raw})
	return err
}

func (g *gitLabPulls) listComments(ctx context.Context, number int64, page int) ([]comment, bool, error) {
	listed, resp, err := g.rest.Notes.ListMergeRequestNotes(g.project(), number, &gitlab.ListMergeRequestNotesOptions{
		Sort: gitlab.Ptr("asc"), OrderBy: gitlab.Ptr("created_at"), ListOptions: gitlab.ListOptions{Page: int64(page), PerPage: commentsPerPage},
	}, gitlab.WithContext(ctx))
	if err != nil {
		return nil, false, err
	}
	found := make([]comment, 0, len(listed))
	for _, n := range listed {
		found = append(found, comment{n.ID, n.Author.Username, n.Body})
	}
	return found, resp.NextPage > 0, nil
}

func (g *gitLabPulls) editComment(ctx context.Context, number, id int64, body string) error {
	_, _, err := g.rest.Notes.UpdateMergeRequestNote(g.project(), number, id,
		&gitlab.UpdateMergeRequestNoteOptions{Body: &body}, gitlab.WithContext(ctx))
	return err
}

func (g *giteaPulls) listComments(ctx context.Context, number int64, page int) ([]comment, bool, error) {
	listed, resp, err := g.rest(ctx).ListIssueComments(g.repository.owner(), g.repository.name(), number,
		gitea.ListIssueCommentOptions{ListOptions: gitea.ListOptions{Page: page, PageSize: commentsPerPage}})
	if err != nil {
		return nil, false, err
	}
	found := make([]comment, 0, len(listed))
	for _, c := range listed {
		if c.Poster != nil {
			found = append(found, comment{c.ID, c.Poster.UserName, c.Body})
		}
	}
	return found, resp.NextPage > 0, nil
}

func (g *giteaPulls) editComment(ctx context.Context, _, id int64, body string) error {
	_, _, err := g.rest(ctx).EditIssueComment(g.repository.owner(), g.repository.name(), id, gitea.EditIssueCommentOption{Body: body})
	return err
}
