// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// cloudForge speaks with Bitbucket Cloud, by a client of our own: the library for it
// gives maps without types.
//
// What is peculiar: nothing says whether a pull request can be merged; a merge has no
// guard, so that the head is read just before it; it may go on in the background (202)
// and time out with 555; hashes are short; an update without reviewers removes them; a
// second pull request of a branch is not refused; what was declined stays so; app
// passwords are no more: the token is an access token, or that of a user with e-mail
// and colon before it.
type cloudForge struct{ *session }

func connectCloud(s *session) (Forge, error) { return &cloudForge{s}, nil }

func locateCloud(u *url.URL) (repository, error) {
	host := strings.ToLower(u.Hostname())
	if host == "bitbucket.org" || host == "altssh.bitbucket.org" {
		return ownerAndName(u, &url.URL{Scheme: "https", Host: "api.bitbucket.org", Path: "/2.0"})
	}
	return ownerAndName(u, at(u, "2.0")) // a proxy before it
}

// of is a resource of the repository.
func (b *cloudForge) of(elements ...string) *url.URL {
	return b.url(append([]string{"repositories", b.repository.owner(), b.repository.name()}, elements...)...)
}

func (b *cloudForge) pull(number int64, elements ...string) *url.URL {
	return b.of(append([]string{"pullrequests", strconv.FormatInt(number, 10)}, elements...)...)
}

// cloudUser is a user; the nickname is what people see, and an access token has one.
type cloudUser struct {
	Nickname string `json:"nickname,omitempty"`
	Name     string `json:"display_name,omitempty"`
	UUID     string `json:"uuid,omitempty"`
}

func (u *cloudUser) login() string {
	if u == nil {
		return ""
	}
	return orElse(u.Nickname, u.Name)
}

type cloudCommit struct {
	Hash string `json:"hash"`
}

type cloudEnd struct {
	Branch struct {
		Name string `json:"name"`
	} `json:"branch"`
	Commit     *cloudCommit `json:"commit"`
	Repository *struct {
		FullName string `json:"full_name"`
	} `json:"repository"`
}

type cloudPull struct {
	ID           int64        `json:"id"`
	Title        string       `json:"title"`
	Description  string       `json:"description"`
	State        string       `json:"state"`
	Source       cloudEnd     `json:"source"`
	Destination  cloudEnd     `json:"destination"`
	Author       *cloudUser   `json:"author"`
	ClosedBy     *cloudUser   `json:"closed_by"`
	MergeCommit  *cloudCommit `json:"merge_commit"`
	Reviewers    []cloudUser  `json:"reviewers"`
	Participants []struct {
		Approved bool `json:"approved"`
	} `json:"participants"`
	Links struct {
		HTML struct {
			Href string `json:"href"`
		} `json:"html"`
	} `json:"links"`
}

// Identity implements Forge.
func (b *cloudForge) Identity(ctx context.Context) (Identity, error) {
	var user cloudUser
	err := b.ask(ctx, http.MethodGet, b.url("user"), nil, &user)
	if err == nil && user.login() == "" {
		err = errors.New("it does not say who the credential is")
	}
	return Identity{Login: user.login()}, err
}

// Find implements Forge.
func (b *cloudForge) Find(ctx context.Context, base, branch string) (*PullRequest, error) {
	query := fmt.Sprintf("source.branch.name=%q AND destination.branch.name=%q AND source.repository.full_name=%q", branch, base, b.repository)
	list, err := b.list(ctx, "-created_on", query)
	if err != nil {
		return nil, err
	}
	best := b.best(list, base, branch)
	if best == nil {
		return nil, ErrNotFound
	}
	return b.Get(ctx, best.Number)
}

// Recent implements Forge. Heads are short hashes in it.
func (b *cloudForge) Recent(ctx context.Context) ([]PullRequest, error) {
	list, err := b.list(ctx, "-updated_on", "")
	for i := range list {
		list[i].ClosedBy = ""
	}
	return list, err
}

func (b *cloudForge) list(ctx context.Context, order, query string) ([]PullRequest, error) {
	u := with(b.of("pullrequests"), "state", "OPEN", "state", "MERGED", "state", "DECLINED", "state", "SUPERSEDED",
		"sort", order, "pagelen", strconv.Itoa(pageSize))
	if query != "" {
		u = with(u, "q", query)
	}
	var page struct{ Values []cloudPull }
	err := b.ask(ctx, http.MethodGet, u, nil, &page)
	found := make([]PullRequest, len(page.Values))
	for i := range page.Values {
		found[i] = *b.read(&page.Values[i])
	}
	return found, err
}

func (b *cloudForge) read(p *cloudPull) *PullRequest {
	found := &PullRequest{
		Number: p.ID, URL: p.Links.HTML.Href, State: Open, Title: p.Title, Body: p.Description, Author: p.Author.login(),
		Base: p.Destination.Branch.Name, Branch: p.Source.Branch.Name, Mergeable: Unknown, Auto: No,
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

// Get implements Forge.
func (b *cloudForge) Get(ctx context.Context, number int64) (*PullRequest, error) {
	found, _, err := b.get(ctx, number)
	return found, err
}

// get is Get with what only this forge says.
func (b *cloudForge) get(ctx context.Context, number int64) (*PullRequest, *cloudPull, error) {
	var pull cloudPull
	if err := b.ask(ctx, http.MethodGet, b.pull(number), nil, &pull); err != nil {
		return nil, nil, err
	}
	pr := b.read(&pull)
	for _, hash := range []*string{&pr.HeadSHA, &pr.Landed} {
		if err := b.lengthen(ctx, hash); err != nil {
			return nil, nil, err
		}
	}
	return pr, &pull, nil
}

// lengthen makes a whole hash of a short one. A commit that is gone keeps the short one.
func (b *cloudForge) lengthen(ctx context.Context, hash *string) error {
	if *hash == "" || len(*hash) >= 40 {
		return nil
	}
	var whole cloudCommit
	err := b.ask(ctx, http.MethodGet, b.of("commit", *hash), nil, &whole)
	if refused := refusal(err); refused != nil && refused.code == http.StatusNotFound {
		return nil
	}
	if err == nil && strings.HasPrefix(whole.Hash, *hash) {
		*hash = whole.Hash
	}
	return err
}
