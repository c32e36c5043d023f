// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// bitbucketAPI is the connection to Bitbucket Cloud.
//
// What is peculiar: nothing says whether a pull request can be merged; a merge has no
// guard, so that the head is read just before it; it may go on in the background (202)
// and time out with 555; hashes are short; an update without reviewers removes them; a
// second pull request of a branch is not refused; what was declined stays so; app
// passwords are no more: the token is an access token, or that of a user with e-mail
// and colon before it.
type bitbucketAPI struct{ *session }

func connectBitbucket(s *session) (driver, error) {
	api := &bitbucketAPI{s}
	return driver{identity: api.identity, pulls: &bitbucketPulls{api}, commits: &bitbucketCommits{api}}, nil
}

func locateBitbucket(u *url.URL) (repository, error) {
	host := strings.ToLower(u.Hostname())
	if host == "bitbucket.org" || host == "altssh.bitbucket.org" {
		return ownerAndName(u, &url.URL{Scheme: "https", Host: "api.bitbucket.org", Path: "/2.0"})
	}
	return ownerAndName(u, apiURL(u, "2.0")) // a proxy before it
}

// resource is a resource of the repository.
func (b *bitbucketAPI) resource(elements ...string) *url.URL {
	return b.url(append([]string{"repositories", b.repository.owner(), b.repository.name()}, elements...)...)
}

func (b *bitbucketAPI) pull(number int64, elements ...string) *url.URL {
	return b.resource(append([]string{"pullrequests", strconv.FormatInt(number, 10)}, elements...)...)
}

// bitbucketUser is a user; the nickname is what people see, and an access token has one.
type bitbucketUser struct {
	Nickname string `json:"nickname,omitempty"`
	Name     string `json:"display_name,omitempty"`
	UUID     string `json:"uuid,omitempty"`
}

func (u *bitbucketUser) login() string {
	if u == nil {
		return ""
	}
	return orElse(u.Nickname, u.Name)
}

type bitbucketCommit struct {
	Hash string `json:"hash"`
}

// bitbucketEnd is the branch that a pull request comes from or goes to.
type bitbucketEnd struct {
	Branch struct {
		Name string `json:"name"`
	} `json:"branch"`
	Commit     *bitbucketCommit `json:"commit"`
	Repository *struct {
		FullName string `json:"full_name"`
	} `json:"repository"`
}

type bitbucketPull struct {
	ID           int64            `json:"id"`
	Title        string           `json:"title"`
	Description  string           `json:"description"`
	State        string           `json:"state"`
	Source       bitbucketEnd     `json:"source"`
	Destination  bitbucketEnd     `json:"destination"`
	Author       *bitbucketUser   `json:"author"`
	ClosedBy     *bitbucketUser   `json:"closed_by"`
	MergeCommit  *bitbucketCommit `json:"merge_commit"`
	Reviewers    []bitbucketUser  `json:"reviewers"`
	Participants []struct {
		Approved bool `json:"approved"`
	} `json:"participants"`
	Links struct {
		HTML struct {
			Href string `json:"href"`
		} `json:"html"`
	} `json:"links"`
}

func (b *bitbucketAPI) identity(ctx context.Context) (User, error) {
	var user bitbucketUser
	err := b.ask(ctx, http.MethodGet, b.url("user"), nil, &user)
	if err == nil && user.login() == "" {
		err = errors.New("it does not say who the credential is")
	}
	return User{Login: user.login()}, err
}
