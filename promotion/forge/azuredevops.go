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

// azureAPI is the connection to Azure DevOps, by version 7.1 of its REST API.
//
// What is peculiar: branches are refs/heads/...; completing happens in the background,
// so that a merge returns while it is open; a draft can have the merge status succeeded;
// policies are evaluations of another API; a status counts for a policy only if it is
// that of the pull request, not of the commit; people are named by identifiers of
// another service, so that reviewers cannot be given by name; lists are by date of
// creation.
type azureAPI struct{ *session }

func connectAzure(s *session) (driver, error) {
	api := &azureAPI{s}
	pulls := &azurePulls{api}
	return driver{identity: api.identity, pulls: pulls, commits: &azureCommits{api, pulls}, reopening: pulls, autoMerge: pulls}, nil
}

const refsHeads, azureVersion, azureNobody = "refs/heads/", "7.1", "00000000-0000-0000-0000-000000000000"

// locateAzure finds organization, project and repository in the forms of URLs that
// there are: ORG/PROJECT/_git/REPO, ORG/_git/REPO for a repository that is called as
// its project, the same below the host ORG.visualstudio.com or a path of a server, and
// v3/ORG/PROJECT/REPO by SSH.
func locateAzure(u *url.URL) (repository, error) {
	found, host := names(u), strings.ToLower(u.Hostname())
	if u.Scheme == "ssh" && len(found) == 4 && found[0] == "v3" {
		return repository{api: &url.URL{Scheme: "https", Host: "dev.azure.com", Path: "/" + found[1]}, path: found[2:]}, nil
	}
	git := slices.Index(found, "_git")
	first := git - 1 // of the project
	if git >= 0 && (git == 0 || git == 1 && host == "dev.azure.com") {
		found, first = slices.Insert(slices.Clone(found), git, found[len(found)-1]), git
		git++
	}
	if git < 1 || len(found) != git+2 {
		return repository{}, fmt.Errorf("%w must be that of organization/project/_git/repository", errURL)
	}
	return repository{api: apiURL(u, found[:first]...), path: []string{found[first], found[git+1]}}, nil
}

// resource is a resource of the repository.
func (a *azureAPI) resource(elements ...string) *url.URL {
	all := append([]string{a.repository.owner(), "_apis", "git", "repositories", a.repository.name()}, elements...)
	return withQuery(a.url(all...), "api-version", azureVersion)
}

// pull is a resource of a pull request.
func (a *azureAPI) pull(number int64, elements ...string) *url.URL {
	return a.resource(append([]string{"pullrequests", strconv.FormatInt(number, 10)}, elements...)...)
}

type azureIdentity struct {
	ID         string `json:"id,omitempty"`
	UniqueName string `json:"uniqueName,omitempty"`
}

func (i *azureIdentity) login() string {
	if i == nil {
		return ""
	}
	return orElse(i.UniqueName, i.ID)
}

type azureCommit struct {
	ID string `json:"commitId"`
}

type azurePull struct {
	ID           int64          `json:"pullRequestId"`
	Status       string         `json:"status"`
	Title        string         `json:"title"`
	Description  string         `json:"description"`
	Draft        bool           `json:"isDraft"`
	CreatedBy    *azureIdentity `json:"createdBy"`
	ClosedBy     *azureIdentity `json:"closedBy"`
	Source       string         `json:"sourceRefName"`
	Target       string         `json:"targetRefName"`
	MergeStatus  string         `json:"mergeStatus"`
	Head         azureCommit    `json:"lastMergeSourceCommit"`
	Merged       azureCommit    `json:"lastMergeCommit"`
	AutoComplete *azureIdentity `json:"autoCompleteSetBy"`
	Reviewers    []struct {
		Vote        int  `json:"vote"`
		IsContainer bool `json:"isContainer"`
	} `json:"reviewers"`
	Labels []struct {
		Name string `json:"name"`
	} `json:"labels"`
	Fork *struct {
		Repository struct{ Name string }
	} `json:"forkSource"`
	Repository struct {
		Project struct {
			ID string `json:"id"`
		} `json:"project"`
	} `json:"repository"`
}

// currentUser is who we are: identifier and name.
func (a *azureAPI) currentUser(ctx context.Context) (azureIdentity, error) {
	var found struct {
		User struct {
			ID         string `json:"id"`
			Properties struct {
				Account struct {
					Value string `json:"$value"`
				} `json:"Account"`
			} `json:"properties"`
		} `json:"authenticatedUser"`
	}
	err := a.ask(ctx, http.MethodGet, a.url("_apis", "connectionData"), nil, &found)
	return azureIdentity{ID: found.User.ID, UniqueName: found.User.Properties.Account.Value}, err
}

func (a *azureAPI) identity(ctx context.Context) (User, error) {
	me, err := a.currentUser(ctx)
	return User{Login: me.login()}, err
}
