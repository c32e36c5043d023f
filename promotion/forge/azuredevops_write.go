// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Open implements Forge.
func (a *azureForge) Open(ctx context.Context, p Proposal) (*PullRequest, error) {
	labels := []map[string]string{}
	for _, name := range p.Labels {
		labels = append(labels, map[string]string{"name": name})
	}
	var opened azurePull
	err := a.ask(ctx, http.MethodPost, a.of("pullrequests"), map[string]any{
		"title": p.Title, "description": p.Body, "isDraft": p.Draft, "labels": labels,
		"sourceRefName": refsHeads + p.Branch, "targetRefName": refsHeads + p.Base,
	}, &opened)
	if refused := refusal(err); refused != nil && refused.code == http.StatusConflict {
		return nil, ErrExists // TF401179
	}
	if err != nil {
		return nil, err
	}
	return a.read(&opened), nil
}

func (a *azureForge) patch(ctx context.Context, number int64, change map[string]any) error {
	return a.ask(ctx, http.MethodPatch, a.of("pullrequests", strconv.FormatInt(number, 10)), change, nil)
}

// Update implements Forge.
func (a *azureForge) Update(ctx context.Context, number int64, text Text) (*PullRequest, error) {
	now, err := a.Get(ctx, number)
	if err != nil || now.Title == text.Title && now.Body == text.Body && now.Draft == text.Draft {
		return now, err
	}
	if err := a.patch(ctx, number, map[string]any{"title": text.Title, "description": text.Body, "isDraft": text.Draft}); err != nil {
		return nil, err
	}
	return a.Get(ctx, number)
}

// Comment implements Forge.
func (a *azureForge) Comment(ctx context.Context, number int64, body string) error {
	comment := map[string]any{"parentCommentId": 0, "content": body, "commentType": 1}
	return a.ask(ctx, http.MethodPost, a.of("pullRequests", strconv.FormatInt(number, 10), "threads"),
		map[string]any{"comments": []any{comment}, "status": 4}, nil) // closed: an open one may block
}

// Close implements Forge.
func (a *azureForge) Close(ctx context.Context, number int64) error {
	return a.patch(ctx, number, map[string]any{"status": "abandoned"})
}

// Reopen implements Forge.
func (a *azureForge) Reopen(ctx context.Context, number int64) error {
	return a.patch(ctx, number, map[string]any{"status": "active"})
}

var azureStrategies = map[Method]string{MergeCommit: "noFastForward", Squash: "squash", Rebase: "rebase"}

func azureOptions(m Merge) map[string]any {
	options := map[string]any{"mergeStrategy": azureStrategies[m.Method], "deleteSourceBranch": false, "bypassPolicy": false}
	if m.Title != "" {
		options["mergeCommitMessage"] = strings.TrimSpace(m.Title + "\n\n" + m.Body)
	}
	return options
}

// Merge implements Forge. Azure DevOps may take a completion that it will refuse in the
// background, so that what it says of the pull request is looked at first.
func (a *azureForge) Merge(ctx context.Context, number int64, m Merge) (*PullRequest, error) {
	now, err := a.Get(ctx, number)
	switch {
	case err != nil:
		return nil, err
	case now.State == Merged:
		return now, nil
	case now.State == Open && now.HeadSHA != m.HeadSHA:
		return nil, ErrHeadMoved
	case now.State != Open, now.Mergeable != Yes:
		return nil, a.why(ctx, a, number, &statusError{})
	}
	err = a.patch(ctx, number, map[string]any{
		"status": "completed", "lastMergeSourceCommit": azureCommit{m.HeadSHA}, "completionOptions": azureOptions(m),
	})
	switch refused := refusal(err); {
	case refused == nil:
	case refused.code == http.StatusConflict && refused.says("stale", "TF401192", "has been updated", "source branch"):
		return nil, ErrHeadMoved
	case refused.final():
		return nil, a.why(ctx, a, number, refused)
	}
	if err != nil {
		return nil, err
	}
	return a.Get(ctx, number)
}

// EnableAutoMerge implements Forge. Azure DevOps completes whatever is pushed
// afterwards, too: it has no guard for this.
func (a *azureForge) EnableAutoMerge(ctx context.Context, number int64, m Merge) error {
	now, err := a.Get(ctx, number)
	switch {
	case err != nil:
		return err
	case now.HeadSHA != m.HeadSHA:
		return ErrHeadMoved
	case now.Auto == Yes:
		return nil
	case now.Mergeable == Yes:
		return ErrMergeableNow
	}
	me, err := a.me(ctx)
	if err != nil {
		return err
	}
	return a.patch(ctx, number, map[string]any{"autoCompleteSetBy": azureIdentity{ID: me.ID}, "completionOptions": azureOptions(m)})
}

// DisableAutoMerge implements Forge.
func (a *azureForge) DisableAutoMerge(ctx context.Context, number int64) error {
	now, err := a.Get(ctx, number)
	if err != nil || now.Auto != Yes {
		return err
	}
	return a.patch(ctx, number, map[string]any{"autoCompleteSetBy": azureIdentity{ID: azureNobody}})
}

// Enqueue implements Forge.
func (a *azureForge) Enqueue(context.Context, int64, string) error {
	return &Unsupported{Provider: a.provider, What: "merge queues"}
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

// SetStatus implements Forge: of the commit, and of the open pull requests whose head it
// is, since only these count for policies.
func (a *azureForge) SetStatus(ctx context.Context, sha string, s Status) error {
	state := map[CheckState]string{CheckPending: "pending", CheckSuccess: "succeeded", CheckFailure: "failed"}[s.State]
	if state == "" {
		return fmt.Errorf("a status cannot be %q", s.State)
	}
	status := azureStatus{State: state, Description: s.Description, TargetURL: s.URL}
	status.Context.Name = s.Context
	if err := a.ask(ctx, http.MethodPost, a.of("commits", sha, "statuses"), status, nil); err != nil {
		return err
	}
	list, err := a.list(ctx)
	if err != nil {
		return err
	}
	for _, pr := range list {
		if pr.State != Open || pr.HeadSHA != sha {
			continue
		}
		if err := a.ask(ctx, http.MethodPost, a.of("pullRequests", strconv.FormatInt(pr.Number, 10), "statuses"), status, nil); err != nil {
			return err
		}
	}
	return nil
}

// Checks implements Forge.
func (a *azureForge) Checks(ctx context.Context, sha string) (Checks, error) {
	const most = 100
	var page struct{ Value []azureStatus }
	u := with(a.of("commits", sha, "statuses"), "latestOnly", "true", "top", strconv.Itoa(most))
	if err := a.ask(ctx, http.MethodGet, u, nil, &page); err != nil {
		return Checks{}, err
	}
	var statuses []Status
	for _, s := range page.Value {
		state := CheckFailure
		switch s.State {
		case "succeeded", "notApplicable":
			state = CheckSuccess
		case "pending", "notSet":
			state = CheckPending
		}
		name := strings.TrimPrefix(s.Context.Genre+"/"+s.Context.Name, "/")
		statuses = append(statuses, Status{Context: name, State: state, Description: s.Description, URL: s.TargetURL})
	}
	checks := combine(statuses)
	checks.Incomplete = len(statuses) == most
	return checks, nil
}

// Rules implements Forge.
func (a *azureForge) Rules(ctx context.Context, branch string) (Rules, error) {
	var repo struct{ ID string }
	if err := a.ask(ctx, http.MethodGet, a.of(), nil, &repo); err != nil {
		return Rules{}, err
	}
	var page struct{ Value []azurePolicy }
	u := with(a.url(a.repository.owner(), "_apis", "git", "policy", "configurations"),
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
