// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"code.gitea.io/sdk/gitea"
)

// giteaForge speaks with Gitea, and with Forgejo, which keeps its API. The library
// keeps the context in the client, so that each call has a client of its own; it is
// told not to ask for the server's version, which would be a request more for each.
//
// What is peculiar: a list cannot be filtered by branch, and pulls/{base}/{head} gives
// any one of the pull requests of a branch, the oldest as a rule; labels are named by
// number; a draft is a title that begins with WIP:; mergeable is false also while it
// is being computed, and says nothing of the rules of the base; who closed a pull
// request is in the timeline of its issue only.
type giteaForge struct{ *session }

func connectGitea(s *session) (Forge, error) { return &giteaForge{s}, nil }

// locateBelow locates a repository by the last two names of its URL: what is before
// them is where the server has its pages.
func locateBelow(u *url.URL, api string) (repository, error) {
	found := names(u)
	if len(found) < 2 {
		return repository{}, fmt.Errorf("%w: the URL of the repository must end with owner/name, not with %q", ErrInvalid, strings.Join(found, "/"))
	}
	first := len(found) - 2
	return repository{api: at(u, append(slices.Clone(found[:first]), api)...), path: found[first:]}, nil
}

func (g *giteaForge) api(ctx context.Context) *gitea.Client {
	base := strings.TrimSuffix(g.repository.api.String(), "/api/v1")
	// Without a version to ask for, nothing can fail.
	client, _ := gitea.NewClient(base, gitea.SetHTTPClient(g.client()), gitea.SetContext(ctx), gitea.SetGiteaVersion(""))
	return client
}

// Identity implements Forge.
func (g *giteaForge) Identity(ctx context.Context) (Identity, error) {
	user, _, err := g.api(ctx).GetMyUserInfo()
	if err != nil {
		return Identity{}, err
	}
	return Identity{Login: user.UserName}, nil
}

// giteaPages bounds the pages that are searched for a later pull request of a branch.
const giteaPages, pageSize = 3, 50

// Find implements Forge.
func (g *giteaForge) Find(ctx context.Context, base, branch string) (*PullRequest, error) {
	api, owner, name := g.api(ctx), g.repository.owner(), g.repository.name()
	found, _, err := api.GetPullRequestByBaseHead(owner, name, url.PathEscape(base), branch)
	if err != nil {
		return nil, err
	}
	best := g.read(found)
	for page := 1; page <= giteaPages && best.State != Open; page++ {
		list, _, err := api.ListRepoPullRequests(owner, name, gitea.ListPullRequestsOptions{
			ListOptions: gitea.ListOptions{Page: page, PageSize: pageSize}, State: gitea.StateAll, Sort: "recentupdate",
		})
		if err != nil {
			return nil, err
		}
		for _, pr := range list {
			if other := g.read(pr); g.ours(other, base, branch) && (other.State == Open || other.Number > best.Number) {
				best = other
			}
		}
		if len(list) < pageSize {
			break
		}
	}
	if !g.ours(best, base, branch) {
		return nil, ErrNotFound
	}
	return g.complete(ctx, best)
}

// ours reports whether a pull request is that of a branch of the repository itself.
func (s *session) ours(pr *PullRequest, base, branch string) bool {
	return pr.Base == base && pr.Branch == branch && s.repository.same(pr.HeadRepo)
}

// Get implements Forge.
func (g *giteaForge) Get(ctx context.Context, number int64) (*PullRequest, error) {
	pr, _, err := g.api(ctx).GetPullRequest(g.repository.owner(), g.repository.name(), number)
	if err != nil {
		return nil, err
	}
	return g.complete(ctx, g.read(pr))
}

// Recent implements Forge.
func (g *giteaForge) Recent(ctx context.Context) ([]PullRequest, error) {
	list, _, err := g.api(ctx).ListRepoPullRequests(g.repository.owner(), g.repository.name(), gitea.ListPullRequestsOptions{
		ListOptions: gitea.ListOptions{PageSize: pageSize}, State: gitea.StateAll, Sort: "recentupdate",
	})
	if err != nil {
		return nil, err
	}
	found := make([]PullRequest, len(list))
	for i, pr := range list {
		found[i] = *g.read(pr)
		found[i].Mergeable, found[i].Blocked = Unknown, nil
	}
	return found, nil
}

// read translates what is in the answer itself.
func (g *giteaForge) read(pr *gitea.PullRequest) *PullRequest {
	found := &PullRequest{
		Number: pr.Index, URL: pr.HTMLURL, State: Closed, Title: pr.Title, Body: pr.Body, Draft: pr.Draft,
		Author: giteaLogin(pr.Poster), MergedBy: giteaLogin(pr.MergedBy), Mergeable: Unknown, Auto: Unknown,
	}
	if pr.Draft {
		found.Title = withoutPrefix(pr.Title, "WIP:", "[WIP]")
	}
	if pr.Base != nil {
		found.Base = pr.Base.Ref
	}
	if pr.Head != nil {
		// The ref of a branch that was deleted is refs/pull/N/head.
		found.Branch, found.HeadSHA = pr.Head.Name, pr.Head.Sha
		if pr.Head.Repository != nil {
			found.HeadRepo = pr.Head.Repository.FullName
		}
	}
	for _, label := range pr.Labels {
		found.Labels = append(found.Labels, label.Name)
	}
	switch {
	case pr.HasMerged:
		found.State = Merged
		if pr.MergedCommitID != nil {
			found.Landed = *pr.MergedCommitID
		}
	case pr.State == gitea.StateOpen:
		found.State = Open
		if pr.Draft {
			found.Mergeable, found.Blocked = No, []Blocker{ByDraft}
		} else if pr.Mergeable {
			found.Mergeable = Yes
		}
	}
	return found
}

func giteaLogin(user *gitea.User) string {
	if user == nil {
		return ""
	}
	return user.UserName
}

// withoutPrefix takes the first of the prefixes, in any case, from a title.
func withoutPrefix(title string, prefixes ...string) string {
	for _, prefix := range prefixes {
		if len(title) >= len(prefix) && strings.EqualFold(title[:len(prefix)], prefix) {
			return strings.TrimSpace(title[len(prefix):])
		}
	}
	return title
}

// complete adds what other resources say: reviews and the rules of the base of an open
// pull request, who closed a closed one.
func (g *giteaForge) complete(ctx context.Context, pr *PullRequest) (*PullRequest, error) {
	switch pr.State {
	case Open:
		return pr, g.completeOpen(ctx, pr)
	case Closed:
		return pr, g.completeClosed(ctx, pr)
	}
	return pr, nil
}

func (g *giteaForge) completeOpen(ctx context.Context, pr *PullRequest) error {
	api, owner, name := g.api(ctx), g.repository.owner(), g.repository.name()
	reviews, _, err := api.ListPullReviews(owner, name, pr.Number, gitea.ListPullReviewsOptions{ListOptions: gitea.ListOptions{PageSize: pageSize}})
	if err != nil {
		return err
	}
	var rejected bool
	pr.Approvals, rejected = approvals(reviews)
	branch, _, err := api.GetRepoBranch(owner, name, pr.Base)
	if err != nil {
		return err
	}
	if !branch.Protected || pr.Mergeable == No {
		return nil
	}
	if int64(pr.Approvals) < branch.RequiredApprovals {
		pr.Blocked = append(pr.Blocked, ByApprovals)
	}
	met := Yes
	if branch.EnableStatusCheck {
		checks, err := g.Checks(ctx, pr.HeadSHA)
		if err != nil {
			return err
		}
		met = requiredMet(branch.StatusCheckContexts, checks)
	}
	if met == No {
		pr.Blocked = append(pr.Blocked, ByChecks)
	}
	switch {
	case len(pr.Blocked) > 0:
		pr.Mergeable = No
	case met == Unknown, rejected, !branch.UserCanMerge:
		pr.Mergeable = Unknown
	}
	return nil
}

// approvals counts the reviewers whose last word, as far as it counts, is approval, and
// says whether one asks for changes.
func approvals(reviews []*gitea.PullReview) (approved int, rejected bool) {
	last := map[string]gitea.ReviewStateType{}
	for _, r := range reviews {
		counts := r.State == gitea.ReviewStateApproved || r.State == gitea.ReviewStateRequestChanges
		if who := giteaLogin(r.Reviewer); who != "" && counts {
			if r.Dismissed {
				delete(last, who)
				continue
			}
			last[who] = r.State
		}
	}
	for _, state := range last {
		if state == gitea.ReviewStateApproved {
			approved++
		} else {
			rejected = true
		}
	}
	return approved, rejected
}

// completeClosed finds who closed a pull request, in the last entries of its timeline.
func (g *giteaForge) completeClosed(ctx context.Context, pr *PullRequest) error {
	api, owner, name := g.api(ctx), g.repository.owner(), g.repository.name()
	full, _, err := api.GetPullRequest(owner, name, pr.Number)
	if err != nil || full.Closed == nil {
		return err
	}
	entries, _, err := api.ListIssueTimeline(owner, name, pr.Number, gitea.ListIssueCommentOptions{Since: full.Closed.Add(-2 * time.Second)})
	if refused := refusal(err); refused != nil && refused.code < http.StatusInternalServerError {
		return nil // who it was stays unknown
	} else if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Type == "close" {
			pr.ClosedBy = giteaLogin(entry.Poster)
		}
	}
	return nil
}

// SetStatus implements Forge.
func (g *giteaForge) SetStatus(ctx context.Context, sha string, s Status) error {
	state := map[CheckState]gitea.StatusState{
		CheckPending: gitea.StatusPending, CheckSuccess: gitea.StatusSuccess, CheckFailure: gitea.StatusFailure,
	}[s.State]
	if state == "" {
		return fmt.Errorf("a status cannot be %q", s.State)
	}
	_, _, err := g.api(ctx).CreateStatus(g.repository.owner(), g.repository.name(), sha, gitea.CreateStatusOption{
		State: state, Context: s.Context, Description: s.Description, TargetURL: s.URL,
	})
	return err
}

// Checks implements Forge.
func (g *giteaForge) Checks(ctx context.Context, sha string) (Checks, error) {
	combined, _, err := g.api(ctx).GetCombinedStatus(g.repository.owner(), g.repository.name(), sha)
	if err != nil {
		return Checks{}, err
	}
	statuses := make([]Status, 0, len(combined.Statuses))
	for _, s := range combined.Statuses {
		state := CheckFailure // error and warning, too
		switch s.State {
		case gitea.StatusPending:
			state = CheckPending
		case gitea.StatusSuccess:
			state = CheckSuccess
		}
		statuses = append(statuses, Status{Context: s.Context, State: state, Description: s.Description, URL: s.TargetURL})
	}
	checks := combine(statuses)
	checks.Incomplete = combined.TotalCount > len(statuses)
	return checks, nil
}
