// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// bitbucketPulls are the pull requests of a repository at Bitbucket Cloud.
type bitbucketPulls struct{ *bitbucketAPI }

func (b *bitbucketPulls) candidates(ctx context.Context, base, branch string) ([]PullRequest, error) {
	return b.list(ctx, "sort", "-created_on", "q", fmt.Sprintf(
		"source.branch.name=%q AND destination.branch.name=%q AND source.repository.full_name=%q", branch, base, b.repository))
}

// recent has heads that are short hashes.
func (b *bitbucketPulls) recent(ctx context.Context) ([]PullRequest, error) {
	return b.list(ctx, "sort", "-updated_on")
}

func (b *bitbucketPulls) list(ctx context.Context, filter ...string) ([]PullRequest, error) {
	u := withQuery(b.resource("pullrequests"), append(filter, "state", "OPEN", "state", "MERGED", "state", "DECLINED", "state", "SUPERSEDED",
		"pagelen", strconv.Itoa(pageSize))...)
	var page struct{ Values []*bitbucketPull }
	err := b.ask(ctx, http.MethodGet, u, nil, &page)
	return readAll(page.Values, b.read), err
}

func (b *bitbucketPulls) read(p *bitbucketPull) *snapshot {
	found := &snapshot{PullRequest: PullRequest{
		Number: p.ID, URL: p.Links.HTML.Href, State: Open, Title: p.Title, Body: p.Description, Author: p.Author.login(),
		Base: p.Destination.Branch.Name, Branch: p.Source.Branch.Name, Mergeable: Unknown, Auto: No,
	}}
	for _, reviewer := range p.Reviewers {
		found.reviewers = append(found.reviewers, reviewer.UUID)
	}
	if p.Source.Repository != nil {
		found.HeadRepo = p.Source.Repository.FullName
	}
	if p.Source.Commit != nil { // there is none when a fork is gone
		found.HeadSHA = p.Source.Commit.Hash
	}
	for _, participant := range p.Participants {
		if participant.Approved {
			found.Approvals++
		}
	}
	switch p.State {
	case "MERGED":
		found.State, found.MergedBy = Merged, p.ClosedBy.login()
		if p.MergeCommit != nil {
			found.Landed = p.MergeCommit.Hash
		}
	case "DECLINED", "SUPERSEDED":
		found.State, found.ClosedBy = Closed, p.ClosedBy.login()
	}
	return found
}

func (b *bitbucketPulls) get(ctx context.Context, number int64) (*snapshot, error) {
	var pull bitbucketPull
	if err := b.ask(ctx, http.MethodGet, b.pull(number), nil, &pull); err != nil {
		return nil, err
	}
	pr := b.read(&pull)
	for _, hash := range []*string{&pr.HeadSHA, &pr.Landed} {
		if err := b.lengthen(ctx, hash); err != nil {
			return nil, err
		}
	}
	return pr, nil
}

// lengthen makes a whole hash of a short one. A commit that is gone keeps the short one.
func (b *bitbucketPulls) lengthen(ctx context.Context, hash *string) error {
	if *hash == "" || len(*hash) >= 40 {
		return nil
	}
	var whole bitbucketCommit
	err := b.ask(ctx, http.MethodGet, b.resource("commit", *hash), nil, &whole)
	if answeredWith(err, http.StatusNotFound) {
		return nil
	}
	if err == nil && strings.HasPrefix(whole.Hash, *hash) {
		*hash = whole.Hash
	}
	return err
}

// open looks first whether there is a pull request: a second one would not be refused.
func (b *bitbucketPulls) open(ctx context.Context, p NewPullRequest) (*PullRequest, error) {
	list, err := b.candidates(ctx, p.Base, p.Branch)
	if err != nil {
		return nil, err
	}
	if now := b.repository.find(list, p.Base, p.Branch); now != nil && now.State == Open {
		return nil, ErrExists
	}
	end := func(branch string) map[string]any { return map[string]any{"branch": map[string]string{"name": branch}} }
	var opened bitbucketPull
	err = b.ask(ctx, http.MethodPost, b.resource("pullrequests"), map[string]any{
		"title": p.Title, "description": p.Body, "source": end(p.Branch), "destination": end(p.Base),
	}, &opened)
	if refused := refusal(err); refused != nil && refused.mentions("no changes to be pulled") {
		return nil, ErrNothingToMerge
	}
	if err != nil {
		return nil, err
	}
	pr := b.read(&opened)
	return &pr.PullRequest, b.lengthen(ctx, &pr.HeadSHA)
}

// update names the reviewers again.
func (b *bitbucketPulls) update(ctx context.Context, now *snapshot, text Text) error {
	reviewers := make([]bitbucketUser, len(now.reviewers))
	for i, uuid := range now.reviewers {
		reviewers[i].UUID = uuid
	}
	change := map[string]any{"title": text.Title, "description": text.Body, "reviewers": reviewers}
	return b.ask(ctx, http.MethodPut, b.pull(now.Number), change, nil)
}

func (b *bitbucketPulls) comment(ctx context.Context, number int64, body string) error {
	return b.ask(ctx, http.MethodPost, b.pull(number, "comments"), map[string]any{"content": map[string]string{"raw": body}}, nil)
}

// close is for good.
func (b *bitbucketPulls) close(ctx context.Context, number int64) error {
	return b.ask(ctx, http.MethodPost, b.pull(number, "decline"), nil, nil)
}

var bitbucketMethods = map[Method]string{MergeCommit: "merge_commit", Squash: "squash", FastForward: "fast_forward"}

// merge looks at the head before: somebody may push in between, and this forge has nothing
// against that.
func (b *bitbucketPulls) merge(ctx context.Context, number int64, m Merge) error {
	now, err := b.get(ctx, number)
	if err != nil {
		return err
	}
	if err := now.expect(m.HeadSHA); err != nil {
		return err
	}
	body := map[string]any{"type": "pullrequest", "merge_strategy": bitbucketMethods[m.Method], "close_source_branch": false}
	if message := m.message(); message != "" {
		body["message"] = message
	}
	err = b.ask(ctx, http.MethodPost, b.pull(number, "merge"), body, nil)
	if answeredWith(err, http.StatusConflict) {
		return &NotMergeable{Reason: orElse(refusal(err).message, "it conflicts with its base")}
	}
	return err
}
