// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	gitlab "gitlab.com/gitlab-org/api/client-go"
)

// Open implements Forge. GitLab makes labels that there are not.
func (g *gitLabForge) Open(ctx context.Context, p Proposal) (*PullRequest, error) {
	opts := &gitlab.CreateMergeRequestOptions{
		Title: gitlab.Ptr(gitLabTitle(p.Text)), Description: &p.Body, SourceBranch: &p.Branch, TargetBranch: &p.Base,
	}
	if len(p.Labels) > 0 {
		opts.Labels = gitlab.Ptr(gitlab.LabelOptions(p.Labels))
	}
	opened, _, err := g.api.MergeRequests.CreateMergeRequest(g.project(), opts, gitlab.WithContext(ctx))
	if refused := refusal(err); refused != nil && refused.code == http.StatusConflict {
		return nil, ErrExists
	}
	if err != nil {
		return nil, err
	}
	pr := g.read(&opened.BasicMergeRequest)
	pr.warn("reviewers", len(p.Reviewers), func() error {
		ids, err := g.users(ctx, p.Reviewers)
		if err != nil {
			return err
		}
		return g.update(ctx, pr.Number, &gitlab.UpdateMergeRequestOptions{ReviewerIDs: &ids})
	})
	pr.warn("assignees", len(p.Assignees), func() error {
		ids, err := g.users(ctx, p.Assignees)
		if err != nil {
			return err
		}
		return g.update(ctx, pr.Number, &gitlab.UpdateMergeRequestOptions{AssigneeIDs: &ids})
	})
	return pr, nil
}

// users finds the numbers of users.
func (g *gitLabForge) users(ctx context.Context, logins []string) ([]int64, error) {
	var ids []int64
	for _, login := range logins {
		found, _, err := g.api.Users.ListUsers(&gitlab.ListUsersOptions{Username: &login}, gitlab.WithContext(ctx))
		switch {
		case err != nil:
			return nil, err
		case len(found) != 1:
			return nil, fmt.Errorf("there is no user %q", login)
		}
		ids = append(ids, found[0].ID)
	}
	return ids, nil
}

// gitLabTitle is the title by which a merge request is a draft, or not.
func gitLabTitle(t Text) string {
	title := withoutPrefix(t.Title, gitLabDrafts...)
	if t.Draft {
		return "Draft: " + title
	}
	return title
}

func (g *gitLabForge) update(ctx context.Context, number int64, opts *gitlab.UpdateMergeRequestOptions) error {
	_, _, err := g.api.MergeRequests.UpdateMergeRequest(g.project(), number, opts, gitlab.WithContext(ctx))
	return err
}

// Update implements Forge.
func (g *gitLabForge) Update(ctx context.Context, number int64, text Text) (*PullRequest, error) {
	now, err := g.Get(ctx, number)
	if err != nil || now.Title == text.Title && now.Body == text.Body && now.Draft == text.Draft {
		return now, err
	}
	opts := &gitlab.UpdateMergeRequestOptions{Title: gitlab.Ptr(gitLabTitle(text)), Description: &text.Body}
	if err := g.update(ctx, number, opts); err != nil {
		return nil, err
	}
	return g.Get(ctx, number)
}

// Comment implements Forge.
func (g *gitLabForge) Comment(ctx context.Context, number int64, body string) error {
	opts := &gitlab.CreateMergeRequestNoteOptions{Body: &body}
	_, _, err := g.api.Notes.CreateMergeRequestNote(g.project(), number, opts, gitlab.WithContext(ctx))
	return err
}

// Close implements Forge.
func (g *gitLabForge) Close(ctx context.Context, number int64) error {
	return g.update(ctx, number, &gitlab.UpdateMergeRequestOptions{StateEvent: gitlab.Ptr("close")})
}

// Reopen implements Forge.
func (g *gitLabForge) Reopen(ctx context.Context, number int64) error {
	opts := &gitlab.UpdateMergeRequestOptions{StateEvent: gitlab.Ptr("reopen")}
	mr, _, err := g.api.MergeRequests.UpdateMergeRequest(g.project(), number, opts, gitlab.WithContext(ctx))
	if err == nil && mr.State != "opened" {
		return &NotReopened{Reason: "GitLab leaves it " + mr.State + ", as when the branch is gone"}
	}
	return err
}

// Merge implements Forge.
func (g *gitLabForge) Merge(ctx context.Context, number int64, m Merge) (*PullRequest, error) {
	if err := g.accept(ctx, number, m, &gitlab.AcceptMergeRequestOptions{}); err != nil {
		return nil, err
	}
	return g.Get(ctx, number)
}

// accept asks to merge now, or when the pipeline succeeds.
func (g *gitLabForge) accept(ctx context.Context, number int64, m Merge, opts *gitlab.AcceptMergeRequestOptions) error {
	project, _, err := g.api.Projects.GetProject(g.project(), nil, gitlab.WithContext(ctx))
	if err != nil {
		return err
	}
	if fast := project.MergeMethod == gitlab.FastForwardMerge; m.Method != Squash && fast != (m.Method == FastForward) {
		return &Unsupported{Provider: g.provider, What: fmt.Sprintf("merge method %q in a project whose own is %q", m.Method, project.MergeMethod)}
	}
	opts.SHA, opts.Squash = &m.HeadSHA, gitlab.Ptr(m.Method == Squash)
	if message := strings.TrimSpace(m.Title + "\n\n" + m.Body); m.Title != "" { // an empty one is refused
		opts.MergeCommitMessage, opts.SquashCommitMessage = &message, &message
	}
	_, _, err = g.api.MergeRequests.AcceptMergeRequest(g.project(), number, opts, gitlab.WithContext(ctx))
	refused := refusal(err)
	if refused == nil {
		return err
	}
	switch refused.code {
	case http.StatusConflict:
		return ErrHeadMoved
	case http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusUnprocessableEntity:
		return g.why(ctx, g, number, refused)
	}
	return err
}

// why makes a refusal that does not say why one that does, by what the pull request
// says of itself.
func (s *session) why(ctx context.Context, f Forge, number int64, refused *statusError) error {
	now, err := f.Get(ctx, number)
	if err != nil {
		return err
	}
	if now.State != Open {
		return &NotMergeable{Reason: "it is " + string(now.State)}
	}
	reasons, waits := []string{}, now.Mergeable != No
	for _, why := range now.Blocked {
		reasons = append(reasons, string(why))
		waits = waits || why != ByConflict && why != ByDraft && why != ByBehind
	}
	if refused.message != "" {
		reasons = append(reasons, refused.message)
	}
	return &NotMergeable{Reason: orElse(strings.Join(reasons, "; "), "the forge does not say why"), Transient: waits}
}

// EnableAutoMerge implements Forge. The field has two names: a server that knows only
// the older one would merge at once if it were missing.
func (g *gitLabForge) EnableAutoMerge(ctx context.Context, number int64, m Merge) error {
	now, err := g.Get(ctx, number)
	switch {
	case err != nil:
		return err
	case now.HeadSHA != m.HeadSHA:
		return ErrHeadMoved
	case now.Auto == Yes:
		return nil
	case now.Mergeable == Yes:
		return ErrMergeableNow
	}
	yes := true
	return g.accept(ctx, number, m, &gitlab.AcceptMergeRequestOptions{
		AutoMerge: &yes, MergeWhenPipelineSucceeds: &yes, //nolint:staticcheck // for servers before 17.11
	})
}

// DisableAutoMerge implements Forge.
func (g *gitLabForge) DisableAutoMerge(ctx context.Context, number int64) error {
	now, err := g.Get(ctx, number)
	if err != nil || now.Auto != Yes {
		return err
	}
	_, _, err = g.api.MergeRequests.CancelMergeWhenPipelineSucceeds(g.project(), number, gitlab.WithContext(ctx))
	return err
}

// Enqueue implements Forge.
func (g *gitLabForge) Enqueue(context.Context, int64, string) error {
	return &Unsupported{Provider: g.provider, What: "merge trains"}
}
