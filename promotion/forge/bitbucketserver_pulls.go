// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// dataCenterPulls are the pull requests of a repository at Bitbucket Data Center.
type dataCenterPulls struct{ *dataCenterAPI }

func (b *dataCenterPulls) candidates(ctx context.Context, _, branch string) ([]PullRequest, error) {
	return b.list(ctx, "direction", "OUTGOING", "at", refsHeads+branch)
}

// recent relies on the order of the server, which is by last update.
func (b *dataCenterPulls) recent(ctx context.Context) ([]PullRequest, error) { return b.list(ctx) }

func (b *dataCenterPulls) list(ctx context.Context, filter ...string) ([]PullRequest, error) {
	var page struct{ Values []*dataCenterPull }
	u := withQuery(b.resource("pull-requests"), append(filter, "state", "ALL", "limit", strconv.Itoa(pageSize))...)
	err := b.ask(ctx, http.MethodGet, u, nil, &page)
	return readAll(page.Values, b.read), err
}

func (b *dataCenterPulls) read(p *dataCenterPull) *snapshot {
	from := p.From.Repository
	found := &snapshot{version: p.Version, PullRequest: PullRequest{
		Number: p.ID, State: Open, Title: p.Title, Body: p.Description, Author: p.Author.User.Name, HeadSHA: p.From.Commit,
		Base: strings.TrimPrefix(p.To.ID, refsHeads), Branch: strings.TrimPrefix(p.From.ID, refsHeads),
		HeadRepo: from.Project.Key + "/" + from.Slug, Mergeable: Unknown, Auto: Unknown,
	}}
	if len(p.Links.Self) > 0 {
		found.URL = p.Links.Self[0].Href
	}
	for _, reviewer := range p.Reviewers {
		found.reviewers = append(found.reviewers, reviewer.User.Name)
		if reviewer.Approved {
			found.Approvals++
		}
	}
	switch p.State {
	case "MERGED":
		found.State, found.Landed = Merged, p.Properties.MergeCommit.ID
	case "DECLINED":
		found.State = Closed
	}
	return found
}

func (b *dataCenterPulls) get(ctx context.Context, number int64) (*snapshot, error) {
	var pull dataCenterPull
	if err := b.ask(ctx, http.MethodGet, b.pull(number), nil, &pull); err != nil {
		return nil, err
	}
	pr := b.read(&pull)
	if pr.State == Open {
		return pr, b.complete(ctx, &pr.PullRequest)
	}
	return pr, b.closer(ctx, &pr.PullRequest)
}

// complete adds whether an open pull request can be merged.
func (b *dataCenterPulls) complete(ctx context.Context, pr *PullRequest) error {
	var found struct {
		CanMerge   bool `json:"canMerge"`
		Conflicted bool `json:"conflicted"`
		Vetoes     []struct {
			Summary string `json:"summaryMessage"`
		} `json:"vetoes"`
	}
	if err := b.ask(ctx, http.MethodGet, b.pull(pr.Number, "merge"), nil, &found); err != nil {
		return err
	}
	switch {
	case found.CanMerge:
		pr.Mergeable = Yes
	case found.Conflicted:
		pr.Mergeable, pr.Blocked = No, []Blocker{ByConflict}
	case len(found.Vetoes) > 0:
		pr.Mergeable = No
		for _, veto := range found.Vetoes {
			if why := dataCenterVeto(veto.Summary); !slices.Contains(pr.Blocked, why) {
				pr.Blocked = append(pr.Blocked, why)
			}
		}
	}
	return nil
}

// dataCenterVeto reads what a veto is about; there are no codes.
func dataCenterVeto(summary string) Blocker {
	text := strings.ToLower(summary)
	switch {
	case strings.Contains(text, "approv"), strings.Contains(text, "reviewer"):
		return ByApprovals
	case strings.Contains(text, "build"):
		return ByChecks
	case strings.Contains(text, "task"):
		return ByThreads
	case strings.Contains(text, "needs work"):
		return ByChanges
	}
	return ByRules
}

// closer adds who merged or declined it, and as which commit it landed.
func (b *dataCenterPulls) closer(ctx context.Context, pr *PullRequest) error {
	var page struct {
		Values []struct {
			Action string
			User   dataCenterUser
			Commit struct{ ID string }
		}
	}
	if err := b.ask(ctx, http.MethodGet, withQuery(b.pull(pr.Number, "activities"), "limit", "25"), nil, &page); err != nil {
		return err
	}
	for _, activity := range page.Values { // newest first
		switch {
		case activity.Action == "MERGED" && pr.State == Merged:
			pr.MergedBy, pr.Landed = activity.User.Name, orElse(pr.Landed, activity.Commit.ID)
			return nil
		case activity.Action == "DECLINED" && pr.State == Closed:
			pr.ClosedBy = activity.User.Name
			return nil
		}
	}
	return nil
}

func (b *dataCenterPulls) open(ctx context.Context, p NewPullRequest) (*PullRequest, error) {
	var opened dataCenterPull
	err := b.ask(ctx, http.MethodPost, b.resource("pull-requests"), map[string]any{
		"title": p.Title, "description": p.Body,
		"fromRef": map[string]string{"id": refsHeads + p.Branch}, "toRef": map[string]string{"id": refsHeads + p.Base},
	}, &opened)
	if answeredWith(err, http.StatusConflict) {
		if refusal(err).mentions("already up-to-date", "up to date", "no changes", "emptypullrequest") {
			return nil, ErrNothingToMerge
		}
		return nil, ErrExists
	}
	if err != nil {
		return nil, err
	}
	pr := b.read(&opened)
	pr.warn("reviewers", len(p.Reviewers), func() error {
		pr.reviewers = append(pr.reviewers, p.Reviewers...)
		return b.update(ctx, pr, p.Text)
	})
	return &pr.PullRequest, nil
}

// update names the reviewers again.
func (b *dataCenterPulls) update(ctx context.Context, now *snapshot, text Text) error {
	reviewers := make([]dataCenterReviewer, len(now.reviewers))
	for i, name := range now.reviewers {
		reviewers[i].User.Name = name
	}
	return b.ask(ctx, http.MethodPut, b.pull(now.Number), map[string]any{
		"version": now.version, "title": text.Title, "description": text.Body, "reviewers": reviewers,
	}, nil)
}

func (b *dataCenterPulls) comment(ctx context.Context, number int64, body string) error {
	return b.ask(ctx, http.MethodPost, b.pull(number, "comments"), map[string]any{"text": body}, nil)
}

func (b *dataCenterPulls) close(ctx context.Context, number int64) error {
	return b.setState(ctx, number, "decline")
}

func (b *dataCenterPulls) reopen(ctx context.Context, number int64) error {
	return b.setState(ctx, number, "reopen")
}

// setState declines or reopens the version that is there now.
func (b *dataCenterPulls) setState(ctx context.Context, number int64, action string) error {
	var now dataCenterPull
	if err := b.ask(ctx, http.MethodGet, b.pull(number), nil, &now); err != nil {
		return err
	}
	return b.ask(ctx, http.MethodPost, b.pull(number, action), map[string]any{"version": now.Version}, nil)
}

var dataCenterMethods = map[Method]string{MergeCommit: "no-ff", Squash: "squash", Rebase: "rebase-ff-only", FastForward: "ff-only"}

// merge names the version of the pull request whose head was looked at: a push in between
// makes another one.
func (b *dataCenterPulls) merge(ctx context.Context, number int64, m Merge) error {
	now, err := b.get(ctx, number)
	if err != nil {
		return err
	}
	if err := now.expect(m.HeadSHA); err != nil {
		return err
	}
	body := map[string]any{"version": now.version, "strategyId": dataCenterMethods[m.Method]}
	if message := m.message(); message != "" {
		body["message"] = message
	}
	u := withQuery(b.pull(number, "merge"), "version", strconv.FormatInt(now.version, 10)) // where older servers read it
	err = b.ask(ctx, http.MethodPost, u, body, nil)
	if answeredWith(err, http.StatusConflict) && refusal(err).mentions("out of date", "out-of-date") {
		return ErrHeadMoved
	}
	return err
}
