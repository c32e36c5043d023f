// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-github/v87/github"
)

// Open implements Forge. GitHub makes labels that there are not.
func (g *gitHubForge) Open(ctx context.Context, p Proposal) (*PullRequest, error) {
	owner, name := g.repository.owner(), g.repository.name()
	opened, _, err := g.api.PullRequests.Create(ctx, owner, name, &github.NewPullRequest{
		Title: &p.Title, Body: &p.Body, Head: &p.Branch, Base: &p.Base, Draft: &p.Draft,
	})
	if refused := refusal(err); refused != nil && refused.code == http.StatusUnprocessableEntity {
		switch {
		case refused.says("already exists"):
			return nil, ErrExists
		case refused.says("no commits between"):
			return nil, ErrNothingToMerge
		case refused.says("draft pull requests are not supported"):
			return nil, &Unsupported{Provider: g.provider, What: "drafts in this repository"}
		}
	}
	if err != nil {
		return nil, err
	}
	pr := g.read(opened)
	number := int(pr.Number)
	pr.warn("labels", len(p.Labels), func() error {
		_, _, err := g.api.Issues.AddLabelsToIssue(ctx, owner, name, number, p.Labels)
		return err
	})
	pr.warn("reviewers", len(p.Reviewers), func() error {
		_, _, err := g.api.PullRequests.RequestReviewers(ctx, owner, name, number, github.ReviewersRequest{Reviewers: p.Reviewers})
		return err
	})
	pr.warn("assignees", len(p.Assignees), func() error {
		_, _, err := g.api.Issues.AddAssignees(ctx, owner, name, number, p.Assignees)
		return err
	})
	return pr, nil
}

// Update implements Forge.
func (g *gitHubForge) Update(ctx context.Context, number int64, text Text) (*PullRequest, error) {
	now, id, err := g.get(ctx, number)
	if err != nil {
		return nil, err
	}
	if now.Title == text.Title && now.Body == text.Body && now.Draft == text.Draft {
		return now, nil
	}
	if now.Title != text.Title || now.Body != text.Body {
		if err := g.edit(ctx, number, &github.PullRequest{Title: &text.Title, Body: &text.Body}); err != nil {
			return nil, err
		}
	}
	mutation := "markPullRequestReadyForReview"
	if text.Draft {
		mutation = "convertPullRequestToDraft"
	}
	if now.Draft != text.Draft {
		if err := g.mutate(ctx, mutation, map[string]any{"pullRequestId": id}); err != nil {
			return nil, err
		}
	}
	return g.Get(ctx, number)
}

func (g *gitHubForge) edit(ctx context.Context, number int64, pr *github.PullRequest) error {
	_, _, err := g.api.PullRequests.Edit(ctx, g.repository.owner(), g.repository.name(), int(number), pr)
	return err
}

// Comment implements Forge.
func (g *gitHubForge) Comment(ctx context.Context, number int64, body string) error {
	_, _, err := g.api.Issues.CreateComment(ctx, g.repository.owner(), g.repository.name(), int(number), &github.IssueComment{Body: &body})
	return err
}

// Close implements Forge.
func (g *gitHubForge) Close(ctx context.Context, number int64) error {
	return g.edit(ctx, number, &github.PullRequest{State: github.Ptr("closed")})
}

// Reopen implements Forge.
func (g *gitHubForge) Reopen(ctx context.Context, number int64) error {
	return g.edit(ctx, number, &github.PullRequest{State: github.Ptr("open")})
}

// Merge implements Forge.
func (g *gitHubForge) Merge(ctx context.Context, number int64, m Merge) (*PullRequest, error) {
	_, _, err := g.api.PullRequests.Merge(ctx, g.repository.owner(), g.repository.name(), int(number), m.Body, &github.PullRequestOptions{
		SHA: m.HeadSHA, MergeMethod: string(m.Method), CommitTitle: m.Title,
	})
	switch refused := refusal(err); {
	case refused == nil:
	case refused.code == http.StatusConflict:
		return nil, ErrHeadMoved
	case refused.code == http.StatusMethodNotAllowed && refused.says("not authorized"):
		return nil, &Unauthorized{Host: refused.host, Keys: g.who.keys, Needs: g.table.needs, Reason: refused.message}
	case refused.code == http.StatusMethodNotAllowed:
		waits := refused.says(gitHubWaits...)
		if !waits && refused.says("not mergeable") { // which is also said while it is being computed
			now, err := g.Get(ctx, number)
			waits = err == nil && now.Mergeable == Unknown
		}
		return nil, &NotMergeable{Reason: orElse(refused.message, "the forge does not say why"), Transient: waits}
	}
	if err != nil {
		return nil, err
	}
	return g.Get(ctx, number)
}

// gitHubWaits are in the texts of refusals that time may change.
var gitHubWaits = []string{
	"base branch was modified", "in progress", "try again", "required status check", "expected", "review is required",
	"approving review", "waiting on",
}

// EnableAutoMerge implements Forge.
func (g *gitHubForge) EnableAutoMerge(ctx context.Context, number int64, m Merge) error {
	now, id, err := g.get(ctx, number)
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
	input := map[string]any{"pullRequestId": id, "mergeMethod": strings.ToUpper(string(m.Method)), "expectedHeadOid": m.HeadSHA}
	if m.Title != "" {
		input["commitHeadline"], input["commitBody"] = m.Title, m.Body
	}
	return g.mutate(ctx, "enablePullRequestAutoMerge", input)
}

// DisableAutoMerge implements Forge.
func (g *gitHubForge) DisableAutoMerge(ctx context.Context, number int64) error {
	now, id, err := g.get(ctx, number)
	if err != nil || now.Auto != Yes {
		return err
	}
	return g.mutate(ctx, "disablePullRequestAutoMerge", map[string]any{"pullRequestId": id})
}

// Enqueue implements Forge. A method is not passed: the queue has its own, and one that
// differs makes nothing happen, silently.
func (g *gitHubForge) Enqueue(ctx context.Context, number int64, headSHA string) error {
	now, id, err := g.get(ctx, number)
	switch {
	case err != nil:
		return err
	case now.HeadSHA != headSHA:
		return ErrHeadMoved
	case now.Queued:
		return nil
	}
	return g.mutate(ctx, "enqueuePullRequest", map[string]any{"pullRequestId": id, "expectedHeadOid": headSHA})
}

// mutate sends a mutation whose input type is named after it, and asks for nothing back.
func (g *gitHubForge) mutate(ctx context.Context, name string, input map[string]any) error {
	kind := strings.ToUpper(name[:1]) + name[1:] + "Input"
	text := "mutation($input: " + kind + "!) { " + name + "(input: $input) { clientMutationId } }"
	return g.graphQL(ctx, text, map[string]any{"input": input}, nil)
}

// query is GraphQL that reads.
func (g *gitHubForge) query(ctx context.Context, text string, variables map[string]any, into any) error {
	return g.graphQL(reading(ctx), text, variables, into)
}

// graphQL sends a document. Errors are in answers that succeed by HTTP.
func (g *gitHubForge) graphQL(ctx context.Context, text string, variables map[string]any, into any) error {
	at := url.URL{Scheme: g.repository.api.Scheme, Host: g.repository.api.Host, Path: "/graphql"}
	if strings.HasSuffix(g.repository.api.Path, "/api/v3") {
		at.Path = strings.TrimSuffix(g.repository.api.Path, "/v3") + "/graphql"
	}
	req, err := g.api.NewRequest(ctx, http.MethodPost, at.String(), map[string]any{"query": text, "variables": variables})
	if err != nil {
		return err
	}
	var answered struct {
		Data   json.RawMessage
		Errors []struct{ Type, Message string }
	}
	if _, err := g.api.Do(req, &answered); err != nil {
		return err
	}
	if len(answered.Errors) > 0 {
		return g.graphQLError(answered.Errors[0].Type, g.masked(ctx, answered.Errors[0].Message))
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answered.Data, into)
}

// graphQLError translates the first error of an answer.
func (g *gitHubForge) graphQLError(kind, message string) error {
	host := g.repository.api.Host
	refused := &statusError{host: host, code: http.StatusUnprocessableEntity, message: shorten(message, maxMessage)}
	switch {
	case kind == "RATE_LIMITED":
		return &RateLimited{Host: host, Until: g.clock.Now().Add(defaultPause)}
	case kind == "NOT_FOUND":
		return ErrNotFound
	case kind == "FORBIDDEN", kind == "INSUFFICIENT_SCOPES":
		return &Unauthorized{Host: host, Keys: g.who.keys, Needs: g.table.needs, Reason: refused.message}
	case refused.says("clean status"):
		return ErrMergeableNow
	case refused.says("auto merge is not allowed", "auto-merge is not allowed"):
		return &Unsupported{Provider: g.provider, What: "auto-merge in this repository until its settings allow it"}
	case refused.says("head") && refused.says("expected", "did not match", "modified"):
		return ErrHeadMoved
	case refused.says("not mergeable", "unstable status", "blocked"):
		return &NotMergeable{Reason: refused.message}
	}
	return refused
}
