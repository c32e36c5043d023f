// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	gitlab "gitlab.com/gitlab-org/api/client-go"
)

// gitLabAPI is the connection to GitLab. Its pull requests are merge requests; their number is
// the one within the project.
//
// What is peculiar: lists are asked of the project, the global one has those of all; a
// fork shows by the number of its project; 405 is every reason not to merge, which
// detailed_merge_status tells; who may not merge gets 401; a fast-forward leaves
// merge_commit_sha empty; the project decides between merge commits and fast-forward,
// the request only whether to squash; a status starts a pipeline unless it names one,
// and setting it to what it is is an error; a reopening that cannot be is ignored.
//
// Merge trains are not used: GitLab names neither the queue nor its place in it in a
// merge request.
type gitLabAPI struct {
	*session
	rest *gitlab.Client
}

func connectGitLab(s *session) (driver, error) {
	rest, err := gitlab.NewAuthSourceClient(gitlab.Unauthenticated{}, gitlab.WithHTTPClient(s.client()),
		gitlab.WithBaseURL(s.repository.api.String()), gitlab.WithoutRetries())
	if err != nil {
		return driver{}, err
	}
	api := &gitLabAPI{s, rest}
	pulls := &gitLabPulls{api}
	return driver{identity: api.identity, pulls: pulls, commits: &gitLabCommits{api}, reopening: pulls, autoMerge: pulls, comments: pulls}, nil
}

// locateGitLab takes all names of the URL: projects are in groups of any depth. A
// server below a path of its host is not found by the URL of a repository.
func locateGitLab(u *url.URL) (repository, error) {
	found := names(u)
	if len(found) < 2 {
		return repository{}, fmt.Errorf("%w must be that of group/project, not %q",
			errURL, strings.Join(found, "/"))
	}
	if u.Scheme == "ssh" && strings.EqualFold(u.Hostname(), "altssh.gitlab.com") {
		u = &url.URL{Scheme: "https", Host: "gitlab.com", Path: u.Path}
	}
	return repository{api: apiURL(u, "api", "v4"), path: found}, nil
}

func (g *gitLabAPI) project() string { return g.repository.String() }

func (g *gitLabAPI) identity(ctx context.Context) (User, error) {
	user, _, err := g.rest.Users.CurrentUser(gitlab.WithContext(ctx))
	if err != nil {
		return User{}, err
	}
	return User{Login: user.Username}, nil
}
