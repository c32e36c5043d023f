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

// azureForge speaks with Azure DevOps, version 7.1 of its REST API, by a client of our
// own: the library is still since 2024 and asks for each URL first.
//
// What is peculiar: branches are refs/heads/...; completing happens in the background,
// so that a merge returns while it is open; a draft can have the merge status succeeded;
// policies are evaluations of another API; a status counts for a policy only if it is
// that of the pull request, not of the commit; people are named by identifiers of
// another service, so that reviewers cannot be given by name; lists are by date of
// creation.
type azureForge struct{ *session }

func connectAzure(s *session) (Forge, error) { return &azureForge{s}, nil }

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
		return repository{}, fmt.Errorf("%w: the URL of the repository must be that of organization/project/_git/repository", ErrInvalid)
	}
	return repository{api: at(u, found[:first]...), path: []string{found[first], found[git+1]}}, nil
}

// of is a resource of the repository.
func (a *azureForge) of(elements ...string) *url.URL {
	all := append([]string{a.repository.owner(), "_apis", "git", "repositories", a.repository.name()}, elements...)
	return with(a.url(all...), "api-version", azureVersion)
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
	ID             int64          `json:"pullRequestId"`
	Status         string         `json:"status"`
	Title          string         `json:"title"`
	Description    string         `json:"description"`
	Draft          bool           `json:"isDraft"`
	CreatedBy      *azureIdentity `json:"createdBy"`
	ClosedBy       *azureIdentity `json:"closedBy"`
	Source         string         `json:"sourceRefName"`
	Target         string         `json:"targetRefName"`
	MergeStatus    string         `json:"mergeStatus"`
	Head           azureCommit    `json:"lastMergeSourceCommit"`
	Merged         azureCommit    `json:"lastMergeCommit"`
	AutoComplete   *azureIdentity `json:"autoCompleteSetBy"`
	CompletionTime string         `json:"completionQueueTime"`
	Reviewers      []struct {
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
		WebURL  string `json:"webUrl"`
		Project struct {
			ID string `json:"id"`
		} `json:"project"`
	} `json:"repository"`
}

// me is who we are: identifier and name.
func (a *azureForge) me(ctx context.Context) (azureIdentity, error) {
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

// Identity implements Forge.
func (a *azureForge) Identity(ctx context.Context) (Identity, error) {
	me, err := a.me(ctx)
	return Identity{Login: me.login()}, err
}

// Find implements Forge.
func (a *azureForge) Find(ctx context.Context, base, branch string) (*PullRequest, error) {
	list, err := a.list(ctx, "searchCriteria.sourceRefName", refsHeads+branch, "searchCriteria.targetRefName", refsHeads+base)
	if err != nil {
		return nil, err
	}
	best := a.best(list, base, branch)
	if best == nil {
		return nil, ErrNotFound
	}
	return a.Get(ctx, best.Number)
}

// Recent implements Forge.
func (a *azureForge) Recent(ctx context.Context) ([]PullRequest, error) {
	list, err := a.list(ctx)
	for i := range list {
		list[i].Mergeable, list[i].Blocked, list[i].ClosedBy = Unknown, nil, ""
	}
	return list, err
}

func (a *azureForge) list(ctx context.Context, filter ...string) ([]PullRequest, error) {
	var page struct{ Value []azurePull }
	u := with(a.of("pullrequests"), append(filter, "searchCriteria.status", "all", "$top", strconv.Itoa(pageSize))...)
	err := a.ask(ctx, http.MethodGet, u, nil, &page)
	found := make([]PullRequest, len(page.Value))
	for i := range page.Value {
		found[i] = *a.read(&page.Value[i])
	}
	return found, err
}

// Get implements Forge.
func (a *azureForge) Get(ctx context.Context, number int64) (*PullRequest, error) {
	var pull azurePull
	if err := a.ask(ctx, http.MethodGet, a.of("pullrequests", strconv.FormatInt(number, 10)), nil, &pull); err != nil {
		return nil, err
	}
	pr := a.read(&pull)
	if pr.State != Open {
		return pr, nil
	}
	return pr, a.evaluate(ctx, &pull, pr)
}

func (a *azureForge) read(p *azurePull) *PullRequest {
	found := &PullRequest{
		Number: p.ID, State: Open, Title: p.Title, Body: p.Description, Draft: p.Draft, Author: p.CreatedBy.login(), HeadSHA: p.Head.ID,
		Base: strings.TrimPrefix(p.Target, refsHeads), Branch: strings.TrimPrefix(p.Source, refsHeads), HeadRepo: a.repository.String(),
		URL: a.url(a.repository.owner(), "_git", a.repository.name(), "pullrequest", strconv.FormatInt(p.ID, 10)).String(), Mergeable: Unknown,
		Auto: answer(p.AutoComplete != nil && p.AutoComplete.ID != azureNobody),
	}
	if p.Fork != nil {
		found.HeadRepo = "fork/" + p.Fork.Repository.Name
	}
	for _, label := range p.Labels {
		found.Labels = append(found.Labels, label.Name)
	}
	for _, reviewer := range p.Reviewers {
		if reviewer.Vote >= 5 && !reviewer.IsContainer { // 10 approved, 5 approved with suggestions
			found.Approvals++
		}
	}
	switch {
	case p.Status == "completed":
		found.State, found.Landed, found.MergedBy = Merged, p.Merged.ID, p.ClosedBy.login()
	case p.Status == "abandoned":
		found.State, found.ClosedBy = Closed, p.ClosedBy.login()
	case p.Draft:
		found.Mergeable, found.Blocked = No, []Blocker{ByDraft}
	case p.MergeStatus == "conflicts":
		found.Mergeable, found.Blocked = No, []Blocker{ByConflict}
	case p.MergeStatus == "rejectedByPolicy":
		found.Mergeable, found.Blocked = No, []Blocker{ByRules}
	case p.MergeStatus == "succeeded":
		found.Mergeable = Yes
	}
	return found
}

// azurePolicies are the types of policies that are told apart.
var azurePolicies = map[string]Blocker{
	"fa4e907d-c16b-4a4c-9dfa-4906e5d171dd": ByApprovals, // minimum number of reviewers
	"fd2167ab-b0be-447a-8ec8-39368250530e": ByApprovals, // required reviewers
	"0609b952-1397-4640-95ec-e00a01b2c241": ByChecks,    // build
	"cbdc66da-9728-4af8-aada-9a5a32e4a226": ByChecks,    // status
	"c6a1889d-b943-4856-b76f-9e46bb6b0df2": ByThreads,   // comment resolution
}

type azurePolicy struct {
	Enabled  bool `json:"isEnabled"`
	Blocking bool `json:"isBlocking"`
	Type     struct {
		ID string `json:"id"`
	} `json:"type"`
	Settings struct {
		Approvers   int    `json:"minimumApproverCount"`
		StatusName  string `json:"statusName"`
		StatusGenre string `json:"statusGenre"`
		Build       string `json:"displayName"`
		NoFF        bool   `json:"allowNoFastForward"`
		Squash      bool   `json:"allowSquash"`
		Rebase      bool   `json:"allowRebase"`
	} `json:"settings"`
}

// evaluate adds which policies are not met.
func (a *azureForge) evaluate(ctx context.Context, p *azurePull, pr *PullRequest) error {
	var page struct {
		Value []struct {
			Status        string      `json:"status"`
			Configuration azurePolicy `json:"configuration"`
		}
	}
	artifact := fmt.Sprintf("vstfs:///CodeReview/CodeReviewId/%s/%d", p.Repository.Project.ID, p.ID)
	u := with(a.url(a.repository.owner(), "_apis", "policy", "evaluations"), "artifactId", artifact, "api-version", "7.1-preview.1")
	if err := a.ask(ctx, http.MethodGet, u, nil, &page); err != nil {
		return err
	}
	for _, e := range page.Value {
		if !e.Configuration.Enabled || !e.Configuration.Blocking || e.Status == "approved" || e.Status == "notApplicable" {
			continue
		}
		why, ok := azurePolicies[e.Configuration.Type.ID]
		if !ok {
			why = ByRules
		}
		pr.Mergeable = No
		if !slices.Contains(pr.Blocked, why) {
			pr.Blocked = append(pr.Blocked, why)
		}
	}
	return nil
}
