// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"code.gitea.io/sdk/gitea"
)

// giteaPulls are the pull requests of a repository at Gitea. What the base demands of them
// is for commits to say.
type giteaPulls struct {
	*giteaAPI
	commits *giteaCommits
}

// giteaPages bounds the pages that are searched for a later pull request of a branch.
const giteaPages = 3

// candidates asks for any pull request of the branch first, which tells at once if there
// is none, or an open one.
func (g *giteaPulls) candidates(ctx context.Context, base, branch string) ([]PullRequest, error) {
	any, _, err := g.rest(ctx).GetPullRequestByBaseHead(g.repository.owner(), g.repository.name(), url.PathEscape(base), branch)
	if err != nil {
		return nil, err
	}
	found := []PullRequest{g.read(any).PullRequest}
	for page := 1; page <= giteaPages; page++ {
		if pr := g.repository.find(found, base, branch); pr != nil && pr.State == Open {
			break
		}
		list, err := g.list(ctx, page)
		if err != nil {
			return nil, err
		}
		found = append(found, list...)
		if len(list) < pageSize {
			break
		}
	}
	return found, nil
}

func (g *giteaPulls) recent(ctx context.Context) ([]PullRequest, error) { return g.list(ctx, 1) }

// list is a page of all pull requests, counted from 1.
func (g *giteaPulls) list(ctx context.Context, page int) ([]PullRequest, error) {
	list, _, err := g.rest(ctx).ListRepoPullRequests(g.repository.owner(), g.repository.name(), gitea.ListPullRequestsOptions{
		ListOptions: gitea.ListOptions{Page: page, PageSize: pageSize}, State: gitea.StateAll, Sort: "recentupdate",
	})
	return readAll(list, g.read), err
}

// get adds what other resources say: reviews and the rules of the base of an open pull
// request, who closed a closed one.
func (g *giteaPulls) get(ctx context.Context, number int64) (*snapshot, error) {
	found, _, err := g.rest(ctx).GetPullRequest(g.repository.owner(), g.repository.name(), number)
	if err != nil {
		return nil, err
	}
	pr := g.read(found)
	switch {
	case pr.State == Open:
		err = g.completeOpen(ctx, &pr.PullRequest)
	case pr.State == Closed && found.Closed != nil:
		pr.ClosedBy, err = g.closer(ctx, number, *found.Closed)
	}
	return pr, err
}

// read translates what is in the answer itself.
func (g *giteaPulls) read(pr *gitea.PullRequest) *snapshot {
	found := &snapshot{PullRequest: PullRequest{
		Number: pr.Index, URL: pr.HTMLURL, State: Closed, Title: pr.Title, Body: pr.Body, Draft: pr.Draft,
		Author: giteaLogin(pr.Poster), MergedBy: giteaLogin(pr.MergedBy), Mergeable: Unknown, Auto: Unknown,
	}}
	if pr.Draft {
		found.Title = withoutPrefix(pr.Title, g.table.draftPrefixes...)
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

func (g *giteaPulls) completeOpen(ctx context.Context, pr *PullRequest) error {
	api, owner, name := g.rest(ctx), g.repository.owner(), g.repository.name()
	reviews, _, err := api.ListPullReviews(owner, name, pr.Number,
		gitea.ListPullReviewsOptions{ListOptions: gitea.ListOptions{PageSize: pageSize}})
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
		statuses, _, err := g.commits.statuses(ctx, pr.HeadSHA)
		if err != nil {
			return err
		}
		met = requiredMet(branch.StatusCheckContexts, statuses)
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

// closer finds who closed a pull request, in the last entries of its timeline; "" if that
// may not be read.
func (g *giteaPulls) closer(ctx context.Context, number int64, at time.Time) (string, error) {
	// The library cannot read a timeline in which somebody gave or took a label: it wants a list of them.
	var entries []struct {
		Type   string      `json:"type"`
		Poster *gitea.User `json:"user"`
	}
	u := g.repository.api.JoinPath("repos", g.repository.owner(), g.repository.name(), "issues", strconv.FormatInt(number, 10), "timeline")
	err := g.ask(ctx, http.MethodGet, withQuery(u, "since", at.Add(-2*time.Second).UTC().Format(time.RFC3339)), nil, &entries)
	if refused := refusal(err); refused != nil && refused.code < http.StatusInternalServerError {
		return "", nil
	} else if err != nil {
		return "", err
	}
	who := ""
	for _, entry := range entries {
		if entry.Type == "close" {
			who = giteaLogin(entry.Poster)
		}
	}
	return who, nil
}
