// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// dataCenterAPI is the connection to Bitbucket Data Center, formerly Server.
//
// What is peculiar: a change names the version of the pull request that it was made
// for, and so does a merge, which is the guard; an update without reviewers removes
// them; who we are is in a header of answers; who closed it is in its activities;
// whether it can be merged, and who vetoes, is a resource of its own.
type dataCenterAPI struct{ *session }

func connectDataCenter(s *session) (driver, error) {
	api := &dataCenterAPI{s}
	pulls := &dataCenterPulls{api}
	return driver{identity: api.identity, pulls: pulls, commits: &dataCenterCommits{api}, reopening: pulls}, nil
}

// locateDataCenter takes the URLs for cloning, /scm/PROJECT/REPO by HTTPS, where the server
// may be below a path, and /PROJECT/REPO by SSH.
func locateDataCenter(u *url.URL) (repository, error) {
	found := names(u)
	scm := slices.Index(found, "scm")
	if u.Scheme == "ssh" {
		scm = -1
	}
	if len(found) != scm+3 || u.Scheme != "ssh" && scm < 0 {
		return repository{}, fmt.Errorf("%w must be that for cloning, scm/PROJECT/REPOSITORY", errURL)
	}
	before := slices.Clone(found[:max(scm, 0)])
	return repository{api: apiURL(u, append(before, "rest")...), path: found[scm+1:]}, nil
}

// resource is a resource of the repository.
func (b *dataCenterAPI) resource(elements ...string) *url.URL {
	return b.url(append([]string{"api", "latest", "projects", b.repository.owner(), "repos", b.repository.name()}, elements...)...)
}

func (b *dataCenterAPI) pull(number int64, elements ...string) *url.URL {
	return b.resource(append([]string{"pull-requests", strconv.FormatInt(number, 10)}, elements...)...)
}

type dataCenterUser struct {
	Name string `json:"name"`
}

type dataCenterReviewer struct {
	User     dataCenterUser `json:"user"`
	Approved bool           `json:"approved,omitempty"`
}

type dataCenterRef struct {
	ID         string `json:"id"`
	Commit     string `json:"latestCommit"`
	Repository struct {
		Slug    string `json:"slug"`
		Project struct {
			Key string `json:"key"`
		} `json:"project"`
	} `json:"repository"`
}

type dataCenterPull struct {
	ID          int64                `json:"id"`
	Version     int64                `json:"version"`
	Title       string               `json:"title"`
	Description string               `json:"description"`
	State       string               `json:"state"`
	From        dataCenterRef        `json:"fromRef"`
	To          dataCenterRef        `json:"toRef"`
	Author      dataCenterReviewer   `json:"author"`
	Reviewers   []dataCenterReviewer `json:"reviewers"`
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

func (b *dataCenterAPI) identity(ctx context.Context) (User, error) {
	header, err := b.exchangeJSON(ctx, http.MethodGet, b.resource(), nil, nil)
	if err != nil {
		return User{}, err
	}
	login, err := url.QueryUnescape(header.Get("X-AUSERNAME"))
	if err == nil && login == "" {
		err = fmt.Errorf("%s does not say who the credential is", b.repository.api.Host)
	}
	return User{Login: login}, err
}
