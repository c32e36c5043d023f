// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// serverForge speaks with Bitbucket Data Center and Server, by a client of our own: the
// library for it gives maps without types.
//
// What is peculiar: a change names the version of the pull request that it was made
// for, and so does a merge, which is the guard; an update without reviewers removes
// them; who we are is in a header of answers; who closed it is in its activities;
// whether it can be merged, and who vetoes, is a resource of its own.
type serverForge struct{ *session }

func connectServer(s *session) (Forge, error) { return &serverForge{s}, nil }

// locateServer takes the URLs for cloning, /scm/PROJECT/REPO by HTTPS, where the server
// may be below a path, and /PROJECT/REPO by SSH.
func locateServer(u *url.URL) (repository, error) {
	found := names(u)
	scm := slices.Index(found, "scm")
	if u.Scheme == "ssh" {
		scm = -1
	}
	if len(found) != scm+3 || u.Scheme != "ssh" && scm < 0 {
		return repository{}, fmt.Errorf("%w: the URL of the repository must be that for cloning, scm/PROJECT/REPOSITORY", ErrInvalid)
	}
	before := slices.Clone(found[:max(scm, 0)])
	return repository{api: at(u, append(before, "rest")...), path: found[scm+1:]}, nil
}

// of is a resource of the repository.
func (b *serverForge) of(elements ...string) *url.URL {
	return b.url(append([]string{"api", "latest", "projects", b.repository.owner(), "repos", b.repository.name()}, elements...)...)
}

func (b *serverForge) pull(number int64, elements ...string) *url.URL {
	return b.of(append([]string{"pull-requests", strconv.FormatInt(number, 10)}, elements...)...)
}

type serverUser struct {
	Name string `json:"name"`
}

type serverReviewer struct {
	User     serverUser `json:"user"`
	Approved bool       `json:"approved,omitempty"`
	Status   string     `json:"status,omitempty"`
}

type serverRef struct {
	ID         string `json:"id"`
	Commit     string `json:"latestCommit"`
	Repository struct {
		Slug    string `json:"slug"`
		Project struct {
			Key string `json:"key"`
		} `json:"project"`
	} `json:"repository"`
}

type serverPull struct {
	ID          int64            `json:"id"`
	Version     int64            `json:"version"`
	Title       string           `json:"title"`
	Description string           `json:"description"`
	State       string           `json:"state"`
	From        serverRef        `json:"fromRef"`
	To          serverRef        `json:"toRef"`
	Author      serverReviewer   `json:"author"`
	Reviewers   []serverReviewer `json:"reviewers"`
	Properties  struct {
		MergeCommit struct {
			ID string `json:"id"`
		} `json:"mergeCommit"`
	} `json:"properties"`
	Links struct {
		Self []struct {
			Href string `json:"href"`
		} `json:"self"`
	} `json:"links"`
}

// Identity implements Forge.
func (b *serverForge) Identity(ctx context.Context) (Identity, error) {
	header, err := b.exchangeJSON(ctx, http.MethodGet, b.of(), nil, nil)
	if err != nil {
		return Identity{}, err
	}
	login, err := url.QueryUnescape(header.Get("X-AUSERNAME"))
	if err == nil && login == "" {
		err = fmt.Errorf("%s does not say who the credential is", b.repository.api.Host)
	}
	return Identity{Login: login}, err
}

// Find implements Forge.
func (b *serverForge) Find(ctx context.Context, base, branch string) (*PullRequest, error) {
	list, err := b.list(ctx, "direction", "OUTGOING", "at", refsHeads+branch)
	if err != nil {
		return nil, err
	}
	best := b.best(list, base, branch)
	if best == nil {
		return nil, ErrNotFound
	}
	return b.Get(ctx, best.Number)
}

// Recent implements Forge. The order is by last update unless it is asked for another.
func (b *serverForge) Recent(ctx context.Context) ([]PullRequest, error) { return b.list(ctx) }

func (b *serverForge) list(ctx context.Context, filter ...string) ([]PullRequest, error) {
	var page struct{ Values []serverPull }
	u := with(b.of("pull-requests"), append(filter, "state", "ALL", "limit", strconv.Itoa(pageSize))...)
	err := b.ask(ctx, http.MethodGet, u, nil, &page)
	found := make([]PullRequest, len(page.Values))
	for i := range page.Values {
		found[i] = *b.read(&page.Values[i])
		found[i].Approvals = 0
	}
	return found, err
}

func (b *serverForge) read(p *serverPull) *PullRequest {
	from := p.From.Repository
	found := &PullRequest{
		Number: p.ID, State: Open, Title: p.Title, Body: p.Description, Author: p.Author.User.Name, HeadSHA: p.From.Commit,
		Base: strings.TrimPrefix(p.To.ID, refsHeads), Branch: strings.TrimPrefix(p.From.ID, refsHeads),
		HeadRepo: from.Project.Key + "/" + from.Slug, Mergeable: Unknown, Auto: Unknown,
	}
	if len(p.Links.Self) > 0 {
		found.URL = p.Links.Self[0].Href
	}
	for _, reviewer := range p.Reviewers {
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

// Get implements Forge.
func (b *serverForge) Get(ctx context.Context, number int64) (*PullRequest, error) {
	found, _, err := b.get(ctx, number)
	return found, err
}

// get is Get with what only this forge says.
func (b *serverForge) get(ctx context.Context, number int64) (*PullRequest, *serverPull, error) {
	var pull serverPull
	if err := b.ask(ctx, http.MethodGet, b.pull(number), nil, &pull); err != nil {
		return nil, nil, err
	}
	pr := b.read(&pull)
	if pr.State == Open {
		return pr, &pull, b.complete(ctx, pr)
	}
	return pr, &pull, b.closer(ctx, pr)
}

// complete adds whether an open pull request can be merged.
func (b *serverForge) complete(ctx context.Context, pr *PullRequest) error {
	var found struct {
		CanMerge   bool   `json:"canMerge"`
		Conflicted bool   `json:"conflicted"`
		Outcome    string `json:"outcome"`
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
			if why := serverVeto(veto.Summary); !slices.Contains(pr.Blocked, why) {
				pr.Blocked = append(pr.Blocked, why)
			}
		}
	}
	return nil
}

// serverVeto reads what a veto is about; there are no codes.
func serverVeto(summary string) Blocker {
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
func (b *serverForge) closer(ctx context.Context, pr *PullRequest) error {
	var page struct {
		Values []struct {
			Action string
			User   serverUser
			Commit struct{ ID string }
		}
	}
	if err := b.ask(ctx, http.MethodGet, with(b.pull(pr.Number, "activities"), "limit", "25"), nil, &page); err != nil {
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
