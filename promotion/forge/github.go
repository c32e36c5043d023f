// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-github/v87/github"
)

// gitHubForge speaks with GitHub and GitHub Enterprise by REST, and by GraphQL for what
// only that has: drafts, auto-merge, the merge queue, reviews in one answer.
//
// What is peculiar: a list is filtered by owner:branch, a branch alone is ignored and
// gives all; merge_commit_sha is a test merge until the merge; 405 is every reason not
// to merge, told apart by text; enabling auto-merge on what could be merged is refused;
// merging by REST with the right to bypass would skip the queue, so that a queue is
// used only by name; who closed it is in the issue.
type gitHubForge struct {
	*session
	api *github.Client
}

func connectGitHub(s *session) (Forge, error) {
	api, err := github.NewClient(github.WithHTTPClient(s.client()), github.WithDisableRateLimitCheck(),
		github.WithEnterpriseURLs(s.repository.api.String(), s.repository.api.String()))
	return &gitHubForge{s, api}, err
}

// locateGitHub finds the API: api.github.com, api.NAME.ghe.com for what has data
// residency, and below /api/v3 of an Enterprise server.
func locateGitHub(u *url.URL) (repository, error) {
	host := strings.TrimPrefix(strings.ToLower(u.Hostname()), "ssh.")
	if host == "github.com" || strings.HasSuffix(host, ".ghe.com") {
		return ownerAndName(u, &url.URL{Scheme: "https", Host: "api." + host, Path: "/"})
	}
	return ownerAndName(u, at(u, "api", "v3"))
}

// Identity implements Forge. An App has no user that REST would tell of.
func (g *gitHubForge) Identity(ctx context.Context) (Identity, error) {
	var found struct{ Viewer struct{ Login string } }
	err := g.query(ctx, `query { viewer { login } }`, nil, &found)
	return Identity{Login: found.Viewer.Login}, err
}

// Find implements Forge.
func (g *gitHubForge) Find(ctx context.Context, base, branch string) (*PullRequest, error) {
	list, _, err := g.api.PullRequests.List(ctx, g.repository.owner(), g.repository.name(), &github.PullRequestListOptions{
		State: "all", Head: g.repository.owner() + ":" + branch, Base: base, Sort: "created", Direction: "desc",
		ListOptions: github.ListOptions{PerPage: pageSize},
	})
	if err != nil {
		return nil, err
	}
	found := make([]PullRequest, len(list))
	for i, pr := range list {
		found[i] = *g.read(pr)
	}
	best := g.best(found, base, branch)
	if best == nil {
		return nil, ErrNotFound
	}
	return g.Get(ctx, best.Number)
}

// best is the pull request to find in a list: the open one of our branch, else the
// newest, else nil.
func (s *session) best(list []PullRequest, base, branch string) *PullRequest {
	var best *PullRequest
	for i := range list {
		pr := &list[i]
		switch {
		case !s.ours(pr, base, branch):
		case pr.State == Open:
			return pr
		case best == nil || pr.Number > best.Number:
			best = pr
		}
	}
	return best
}

// Get implements Forge.
func (g *gitHubForge) Get(ctx context.Context, number int64) (*PullRequest, error) {
	found, _, err := g.get(ctx, number)
	return found, err
}

// get is Get with the identifier that GraphQL needs.
func (g *gitHubForge) get(ctx context.Context, number int64) (*PullRequest, string, error) {
	owner, name := g.repository.owner(), g.repository.name()
	found, _, err := g.api.PullRequests.Get(ctx, owner, name, int(number))
	if err != nil {
		return nil, "", err
	}
	pr := g.read(found)
	switch pr.State {
	case Open:
		err = g.complete(ctx, pr)
	case Closed:
		var issue *github.Issue
		if issue, _, err = g.api.Issues.Get(ctx, owner, name, int(number)); err == nil {
			pr.ClosedBy = issue.GetClosedBy().GetLogin()
		}
	}
	return pr, found.GetNodeID(), err
}

// Recent implements Forge.
func (g *gitHubForge) Recent(ctx context.Context) ([]PullRequest, error) {
	list, _, err := g.api.PullRequests.List(ctx, g.repository.owner(), g.repository.name(), &github.PullRequestListOptions{
		State: "all", Sort: "updated", Direction: "desc", ListOptions: github.ListOptions{PerPage: pageSize},
	})
	if err != nil {
		return nil, err
	}
	found := make([]PullRequest, len(list))
	for i, pr := range list {
		found[i] = *g.read(pr)
	}
	return found, nil
}

// read translates what is in the answer of REST; a list says less than one by itself.
func (g *gitHubForge) read(pr *github.PullRequest) *PullRequest {
	found := &PullRequest{
		Number: int64(pr.GetNumber()), URL: pr.GetHTMLURL(), State: Closed, Title: pr.GetTitle(), Body: pr.GetBody(), Draft: pr.GetDraft(),
		Author: pr.GetUser().GetLogin(), Base: pr.GetBase().GetRef(), Branch: pr.GetHead().GetRef(), HeadSHA: pr.GetHead().GetSHA(),
		HeadRepo: pr.GetHead().GetRepo().GetFullName(), Mergeable: Unknown, Auto: answer(pr.AutoMerge != nil),
		MergedBy: pr.GetMergedBy().GetLogin(),
	}
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
func gitHubMergeable(state string) (Answer, []Blocker) {
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
    reviewDecision isInMergeQueue
    latestOpinionatedReviews(first: 100, writersOnly: true) { nodes { state } }
  } }
}`

// complete adds what GraphQL says of an open pull request.
func (g *gitHubForge) complete(ctx context.Context, pr *PullRequest) error {
	var found struct {
		Repository struct {
			PullRequest struct {
				ReviewDecision           string
				IsInMergeQueue           bool
				LatestOpinionatedReviews struct{ Nodes []struct{ State string } }
			}
		}
	}
	err := g.query(ctx, gitHubDetails, map[string]any{"owner": g.repository.owner(), "name": g.repository.name(), "number": pr.Number}, &found)
	if err != nil {
		return err
	}
	details := found.Repository.PullRequest
	pr.Queued = details.IsInMergeQueue
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

// Checks implements Forge: commit statuses and check runs are two resources.
func (g *gitHubForge) Checks(ctx context.Context, sha string) (Checks, error) {
	owner, name, page := g.repository.owner(), g.repository.name(), github.ListOptions{PerPage: 100}
	combined, _, err := g.api.Repositories.GetCombinedStatus(ctx, owner, name, sha, &page)
	if err != nil {
		return Checks{}, err
	}
	var statuses []Status
	for _, s := range combined.Statuses {
		state := CheckFailure // error, too
		switch s.GetState() {
		case "pending":
			state = CheckPending
		case "success":
			state = CheckSuccess
		}
		statuses = append(statuses, Status{Context: s.GetContext(), State: state, Description: s.GetDescription(), URL: s.GetTargetURL()})
	}
	incomplete := combined.GetTotalCount() > len(combined.Statuses)
	runs, _, err := g.api.Checks.ListCheckRunsForRef(ctx, owner, name, sha, &github.ListCheckRunsOptions{ListOptions: page})
	switch refused := refusal(err); {
	case refused != nil && (refused.code == http.StatusForbidden || refused.code == http.StatusNotFound):
		incomplete = true // the credential may not read checks
	case err != nil:
		return Checks{}, err
	default:
		for _, run := range runs.CheckRuns {
			statuses = append(statuses, Status{Context: run.GetName(), State: checkRunState(run), URL: run.GetHTMLURL()})
		}
		incomplete = incomplete || runs.GetTotal() > len(runs.CheckRuns)
	}
	checks := combine(statuses)
	checks.Incomplete = incomplete
	return checks, nil
}

func checkRunState(run *github.CheckRun) CheckState {
	if run.GetStatus() != "completed" {
		return CheckPending
	}
	switch run.GetConclusion() {
	case "success", "neutral", "skipped":
		return CheckSuccess
	}
	return CheckFailure
}

// SetStatus implements Forge.
func (g *gitHubForge) SetStatus(ctx context.Context, sha string, s Status) error {
	status := github.RepoStatus{State: github.Ptr(string(s.State)), Context: &s.Context, Description: &s.Description}
	if s.URL != "" {
		status.TargetURL = &s.URL
	}
	_, _, err := g.api.Repositories.CreateStatus(ctx, g.repository.owner(), g.repository.name(), sha, status)
	return err
}
