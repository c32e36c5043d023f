// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"net/http"
	"strings"

	"github.com/google/go-github/v87/github"
)

// gitHubPulls are the pull requests of a repository at GitHub.
type gitHubPulls struct{ *gitHubAPI }

func (g *gitHubPulls) candidates(ctx context.Context, base, branch string) ([]PullRequest, error) {
	return g.list(ctx, &github.PullRequestListOptions{
		State: "all", Head: g.repository.owner() + ":" + branch, Base: base, Sort: "created", Direction: "desc",
	})
}

func (g *gitHubPulls) recent(ctx context.Context) ([]PullRequest, error) {
	return g.list(ctx, &github.PullRequestListOptions{State: "all", Sort: "updated", Direction: "desc"})
}

func (g *gitHubPulls) list(ctx context.Context, opts *github.PullRequestListOptions) ([]PullRequest, error) {
	opts.PerPage = pageSize
	list, _, err := g.rest.PullRequests.List(ctx, g.repository.owner(), g.repository.name(), opts)
	return readAll(list, g.read), err
}

func (g *gitHubPulls) get(ctx context.Context, number int64) (*snapshot, error) {
	owner, name := g.repository.owner(), g.repository.name()
	found, _, err := g.rest.PullRequests.Get(ctx, owner, name, int(number))
	if err != nil {
		return nil, err
	}
	pr := g.read(found)
	switch pr.State {
	case Open:
		err = g.complete(ctx, &pr.PullRequest)
	case Closed:
		var issue *github.Issue
		if issue, _, err = g.rest.Issues.Get(ctx, owner, name, int(number)); err == nil {
			pr.ClosedBy = issue.GetClosedBy().GetLogin()
			pr.ClosedAsStale = issue.GetClosedBy().GetType() == "Bot" &&
				wasOpenLong(issue.GetCreatedAt().Time, issue.GetClosedAt().Time)
		}
	}
	return pr, err
}

// read translates what is in the answer of REST; a list says less than one by itself.
func (g *gitHubPulls) read(pr *github.PullRequest) *snapshot {
	found := &snapshot{nodeID: pr.GetNodeID(), PullRequest: PullRequest{
		Number: int64(pr.GetNumber()), URL: pr.GetHTMLURL(), State: Closed, Title: pr.GetTitle(), Body: pr.GetBody(), Draft: pr.GetDraft(),
		Author: pr.GetUser().GetLogin(), Base: pr.GetBase().GetRef(), Branch: pr.GetHead().GetRef(), HeadSHA: pr.GetHead().GetSHA(),
		HeadRepo: pr.GetHead().GetRepo().GetFullName(), Mergeable: Unknown, Auto: tristate(pr.AutoMerge != nil),
		MergedBy: pr.GetMergedBy().GetLogin(),
	}}
	for _, label := range pr.Labels {
		found.Labels = append(found.Labels, label.GetName())
	}
	switch {
	case pr.MergedAt != nil:
		found.State, found.Landed = Merged, pr.GetMergeCommitSHA()
	case pr.GetState() == "open":
		found.State = Open
		if pr.MergeableState != nil {
			found.Mergeable, found.Blocked = gitHubMergeable(pr.GetMergeableState())
		}
	}
	return found
}

// gitHubMergeable reads mergeable_state. What is not listed is not known.
func gitHubMergeable(state string) (Tristate, []Blocker) {
	switch state {
	case "clean", "has_hooks", "unstable": // unstable: checks that are not required fail
		return Yes, nil
	case "dirty":
		return No, []Blocker{ByConflict}
	case "draft":
		return No, []Blocker{ByDraft}
	case "behind":
		return No, []Blocker{ByBehind}
	case "blocked":
		return No, []Blocker{ByRules}
	}
	return Unknown, nil
}

const gitHubDetails = `query($owner: String!, $name: String!, $number: Int!) {
  repository(owner: $owner, name: $name) { pullRequest(number: $number) {
    reviewDecision isInMergeQueue isMergeQueueEnabled
    latestOpinionatedReviews(first: 100, writersOnly: true) { nodes { state } }
  } }
}`

// complete adds what GraphQL says of an open pull request.
func (g *gitHubPulls) complete(ctx context.Context, pr *PullRequest) error {
	var found struct {
		Repository struct {
			PullRequest struct {
				ReviewDecision           string
				IsInMergeQueue           bool
				IsMergeQueueEnabled      bool
				LatestOpinionatedReviews struct{ Nodes []struct{ State string } }
			}
		}
	}
	err := g.query(ctx, gitHubDetails, map[string]any{"owner": g.repository.owner(), "name": g.repository.name(), "number": pr.Number}, &found)
	if err != nil {
		return err
	}
	details := found.Repository.PullRequest
	pr.Queued, pr.QueueOnly = details.IsInMergeQueue, details.IsMergeQueueEnabled
	for _, review := range details.LatestOpinionatedReviews.Nodes {
		if review.State == "APPROVED" {
			pr.Approvals++
		}
	}
	if pr.Mergeable == No && len(pr.Blocked) == 1 && pr.Blocked[0] == ByRules {
		switch details.ReviewDecision {
		case "REVIEW_REQUIRED":
			pr.Blocked = []Blocker{ByApprovals, ByRules}
		case "CHANGES_REQUESTED":
			pr.Blocked = []Blocker{ByChanges, ByRules}
		}
	}
	return nil
}

// open returns what was opened; GitHub makes labels that there are not.
func (g *gitHubPulls) open(ctx context.Context, p NewPullRequest) (*PullRequest, error) {
	owner, name := g.repository.owner(), g.repository.name()
	opened, _, err := g.rest.PullRequests.Create(ctx, owner, name, &github.NewPullRequest{
		Title: &p.Title, Body: &p.Body, Head: &p.Branch, Base: &p.Base, Draft: &p.Draft,
	})
	if refused := refusal(err); refused != nil && refused.code == http.StatusUnprocessableEntity {
		switch {
		case refused.mentions("already exists"):
			return nil, ErrExists
		case refused.mentions("no commits between"):
			return nil, ErrNothingToMerge
		case refused.mentions("draft pull requests are not supported"):
			return nil, g.unsupported("drafts in this repository")
		}
	}
	if err != nil {
		return nil, err
	}
	pr := &g.read(opened).PullRequest
	number := int(pr.Number)
	pr.warn("labels", len(p.Labels), func() error {
		_, _, err := g.rest.Issues.AddLabelsToIssue(ctx, owner, name, number, p.Labels)
		return err
	})
	pr.warn("reviewers", len(p.Reviewers), func() error {
		_, _, err := g.rest.PullRequests.RequestReviewers(ctx, owner, name, number, github.ReviewersRequest{Reviewers: p.Reviewers})
		return err
	})
	pr.warn("assignees", len(p.Assignees), func() error {
		_, _, err := g.rest.Issues.AddAssignees(ctx, owner, name, number, p.Assignees)
		return err
	})
	return pr, nil
}

func (g *gitHubPulls) update(ctx context.Context, now *snapshot, text Text) error {
	if now.Title != text.Title || now.Body != text.Body {
		if err := g.edit(ctx, now.Number, &github.PullRequest{Title: &text.Title, Body: &text.Body}); err != nil {
			return err
		}
	}
	if now.Draft == text.Draft {
		return nil
	}
	mutation := "markPullRequestReadyForReview"
	if text.Draft {
		mutation = "convertPullRequestToDraft"
	}
	return g.mutate(ctx, mutation, map[string]any{"pullRequestId": now.nodeID})
}

func (g *gitHubPulls) edit(ctx context.Context, number int64, pr *github.PullRequest) error {
	_, _, err := g.rest.PullRequests.Edit(ctx, g.repository.owner(), g.repository.name(), int(number), pr)
	return err
}

func (g *gitHubPulls) comment(ctx context.Context, number int64, body string) error {
	_, _, err := g.rest.Issues.CreateComment(ctx, g.repository.owner(), g.repository.name(), int(number), &github.IssueComment{Body: &body})
	return err
}

func (g *gitHubPulls) close(ctx context.Context, number int64) error {
	return g.edit(ctx, number, &github.PullRequest{State: github.Ptr("closed")})
}

func (g *gitHubPulls) reopen(ctx context.Context, number int64) error {
	return g.edit(ctx, number, &github.PullRequest{State: github.Ptr("open")})
}

// merge tells by the text of a refusal whether waiting helps. "Not mergeable" does not say
// so: it is also the answer while GitHub still computes that.
func (g *gitHubPulls) merge(ctx context.Context, number int64, m Merge) error {
	_, _, err := g.rest.PullRequests.Merge(ctx, g.repository.owner(), g.repository.name(), int(number), m.Body, &github.PullRequestOptions{
		SHA: m.HeadSHA, MergeMethod: string(m.Method), CommitTitle: m.Title,
	})
	switch refused := refusal(err); {
	case refused == nil:
	case refused.code == http.StatusConflict:
		return ErrHeadMoved
	case refused.code != http.StatusMethodNotAllowed, refused.message == "":
	case refused.mentions("not authorized"):
		return g.unauthorized(refused.message)
	case refused.mentions(gitHubWaits...):
		return &NotMergeable{Reason: refused.message, Transient: true}
	case !refused.mentions("not mergeable"):
		return &NotMergeable{Reason: refused.message}
	}
	return err
}

// gitHubWaits are in the texts of refusals that time may change.
var gitHubWaits = []string{
	"base branch was modified", "in progress", "try again", "required status check", "expected", "review is required",
	"approving review", "waiting on",
}

func (g *gitHubPulls) enableAutoMerge(ctx context.Context, now *snapshot, m Merge) error {
	input := map[string]any{"pullRequestId": now.nodeID, "mergeMethod": strings.ToUpper(string(m.Method)), "expectedHeadOid": m.HeadSHA}
	if m.Title != "" {
		input["commitHeadline"], input["commitBody"] = m.Title, m.Body
	}
	return g.mutate(ctx, "enablePullRequestAutoMerge", input)
}

func (g *gitHubPulls) disableAutoMerge(ctx context.Context, now *snapshot) error {
	return g.mutate(ctx, "disablePullRequestAutoMerge", map[string]any{"pullRequestId": now.nodeID})
}

// enqueue passes no merge method: the queue has its own, and one that differs makes
// nothing happen, silently.
func (g *gitHubPulls) enqueue(ctx context.Context, now *snapshot) error {
	return g.mutate(ctx, "enqueuePullRequest", map[string]any{"pullRequestId": now.nodeID, "expectedHeadOid": now.HeadSHA})
}
