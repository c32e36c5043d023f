// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// azureCommits are the statuses and policies of a repository at Azure DevOps.
type azureCommits struct {
	*azureAPI
	pulls *azurePulls
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

type azureStatus struct {
	State       string `json:"state"`
	Description string `json:"description"`
	TargetURL   string `json:"targetUrl,omitempty"`
	Context     struct {
		Name  string `json:"name"`
		Genre string `json:"genre,omitempty"`
	} `json:"context"`
}

var azureStates = map[string]CheckState{
	"succeeded": CheckSuccess, "notApplicable": CheckSuccess, "pending": CheckPending, "notSet": CheckPending,
}

// setStatus sets the status of the commit, and of the open pull requests whose head it is,
// since only these count for policies.
func (a *azureCommits) setStatus(ctx context.Context, sha string, s Status) error {
	state := map[CheckState]string{CheckPending: "pending", CheckSuccess: "succeeded", CheckFailure: "failed"}[s.State]
	status := azureStatus{State: state, Description: s.Description, TargetURL: s.URL}
	status.Context.Genre, status.Context.Name = s.Genre, s.Context
	if err := a.ask(ctx, http.MethodPost, a.resource("commits", sha, "statuses"), status, nil); err != nil {
		return err
	}
	open, err := a.pulls.list(ctx, "active")
	if refused := (*Unauthorized)(nil); errors.As(err, &refused) || answeredWith(err, http.StatusForbidden, http.StatusNotFound) {
		return nil // the scope Code (status) is for statuses alone
	}
	if err != nil {
		return err
	}
	for _, pr := range open {
		if pr.HeadSHA != sha {
			continue
		}
		if err := a.ask(ctx, http.MethodPost, a.pull(pr.Number, "statuses"), status, nil); err != nil {
			return err
		}
	}
	return nil
}

func (a *azureCommits) statuses(ctx context.Context, sha string) (found []Status, complete bool, err error) {
	var page struct{ Value []azureStatus }
	u := withQuery(a.resource("commits", sha, "statuses"), "latestOnly", "true", "top", strconv.Itoa(maxStatuses))
	err = a.ask(ctx, http.MethodGet, u, nil, &page)
	for _, s := range page.Value {
		name := strings.TrimPrefix(s.Context.Genre+"/"+s.Context.Name, "/")
		found = append(found, Status{Context: name, State: checkState(azureStates, s.State), Description: s.Description, URL: s.TargetURL})
	}
	return found, len(found) < maxStatuses, err
}

func (a *azureCommits) rules(ctx context.Context, branch string) (Rules, error) {
	var repo struct{ ID string }
	if err := a.ask(ctx, http.MethodGet, a.resource(), nil, &repo); err != nil {
		return Rules{}, err
	}
	var page struct{ Value []azurePolicy }
	u := withQuery(a.url(a.repository.owner(), "_apis", "git", "policy", "configurations"),
		"repositoryId", repo.ID, "refName", refsHeads+branch, "api-version", "7.1-preview.1")
	if err := a.ask(ctx, http.MethodGet, u, nil, &page); err != nil {
		return Rules{}, err
	}
	rules := Rules{Complete: true, Methods: slices.Clone(a.table.Methods)}
	for _, policy := range page.Value {
		if policy.Enabled && policy.Blocking {
			rules.addAzure(policy)
		}
	}
	return rules, nil
}

// azureStrategyPolicy is the type of the policy that limits merge strategies.
const azureStrategyPolicy = "fa4e907d-c16b-4a4c-9dfa-4916e5d171ab"

func (r *Rules) addAzure(policy azurePolicy) {
	r.Protected = true
	set := policy.Settings
	r.Approvals = max(r.Approvals, set.Approvers)
	switch {
	case policy.Type.ID == azureStrategyPolicy:
		r.Methods = allowed(map[Method]bool{MergeCommit: set.NoFF, Squash: set.Squash, Rebase: set.Rebase})
	case set.StatusName != "":
		r.require(strings.TrimPrefix(set.StatusGenre+"/"+set.StatusName, "/"))
	case azurePolicies[policy.Type.ID] == ByChecks && set.Build != "":
		r.require(set.Build)
	}
}
