// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"code.gitea.io/sdk/gitea"
)

// giteaAPI is the connection to Gitea, or to Forgejo, which keeps its API. The library
// keeps the context in the client, so that each call has a client of its own; it is
// told not to ask for the server's version, which would be a request more for each.
//
// What is peculiar: a list cannot be filtered by branch, and pulls/{base}/{head} gives
// any one of the pull requests of a branch, the oldest as a rule; labels are named by
// number; a draft is a title that begins with WIP:; mergeable is false also while it
// is being computed, and says nothing of the rules of the base; who closed a pull
// request is in the timeline of its issue only.
type giteaAPI struct{ *session }

func connectGitea(s *session) (driver, error) {
	api := &giteaAPI{s}
	commits := &giteaCommits{api}
	pulls := &giteaPulls{api, commits}
	return driver{identity: api.identity, pulls: pulls, commits: commits, reopening: pulls, autoMerge: pulls, comments: pulls}, nil
}

// locateBelow locates a repository by the last two names of its URL: what is before
// them is where the server has its pages.
func locateBelow(u *url.URL, api string) (repository, error) {
	found := names(u)
	if len(found) < 2 {
		return repository{}, fmt.Errorf("%w must end with owner/name, not with %q",
			errURL, strings.Join(found, "/"))
	}
	first := len(found) - 2
	return repository{api: apiURL(u, append(slices.Clone(found[:first]), api)...), path: found[first:]}, nil
}

func (g *giteaAPI) rest(ctx context.Context) *gitea.Client {
	base := strings.TrimSuffix(g.repository.api.String(), "/api/v1")
	// Without a version to ask for, nothing can fail.
	client, _ := gitea.NewClient(base, gitea.SetHTTPClient(g.client()), gitea.SetContext(ctx), gitea.SetGiteaVersion(""))
	return client
}

func (g *giteaAPI) identity(ctx context.Context) (User, error) {
	user, _, err := g.rest(ctx).GetMyUserInfo()
	if err != nil {
		return User{}, err
	}
	return User{Login: user.UserName}, nil
}
