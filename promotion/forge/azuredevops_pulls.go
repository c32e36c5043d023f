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

// azurePulls are the pull requests of a repository at Azure DevOps.
type azurePulls struct{ *azureAPI }

func (a *azurePulls) candidates(ctx context.Context, base, branch string) ([]PullRequest, error) {
	return a.list(ctx, "all", "searchCriteria.sourceRefName", refsHeads+branch, "searchCriteria.targetRefName", refsHeads+base)
}

func (a *azurePulls) recent(ctx context.Context) ([]PullRequest, error) { return a.list(ctx, "all") }

// list lists pull requests of a status (active, abandoned, completed, all), the newest first.
func (a *azurePulls) list(ctx context.Context, status string, filter ...string) ([]PullRequest, error) {
	var page struct{ Value []*azurePull }
	u := withQuery(a.resource("pullrequests"), append(filter, "searchCriteria.status", status, "$top", strconv.Itoa(pageSize))...)
	err := a.ask(ctx, http.MethodGet, u, nil, &page)
	return readAll(page.Value, a.read), err
}

func (a *azurePulls) get(ctx context.Context, number int64) (*snapshot, error) {
	var pull azurePull
	if err := a.ask(ctx, http.MethodGet, a.pull(number), nil, &pull); err != nil {
		return nil, err
	}
	pr := a.read(&pull)
	if pr.State != Open {
		return pr, nil
	}
	return pr, a.evaluate(ctx, &pull, &pr.PullRequest)
}

func (a *azurePulls) read(p *azurePull) *snapshot {
	found := &snapshot{PullRequest: PullRequest{
		Number: p.ID, State: Open, Title: p.Title, Body: p.Description, Draft: p.Draft, Author: p.CreatedBy.login(), HeadSHA: p.Head.ID,
		Base: strings.TrimPrefix(p.Target, refsHeads), Branch: strings.TrimPrefix(p.Source, refsHeads), HeadRepo: a.repository.String(),
		URL: a.url(a.repository.owner(), "_git", a.repository.name(), "pullrequest", strconv.FormatInt(p.ID, 10)).String(), Mergeable: Unknown,
		Auto: tristate(p.AutoComplete != nil && p.AutoComplete.ID != azureNobody),
	}}
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

// evaluate adds which policies are not met.
func (a *azurePulls) evaluate(ctx context.Context, p *azurePull, pr *PullRequest) error {
	var page struct {
		Value []struct {
			Status        string      `json:"status"`
			Configuration azurePolicy `json:"configuration"`
		}
	}
	artifact := fmt.Sprintf("vstfs:///CodeReview/CodeReviewId/%s/%d", p.Repository.Project.ID, p.ID)
	u := withQuery(a.url(a.repository.owner(), "_apis", "policy", "evaluations"), "artifactId", artifact, "api-version", "7.1-preview.1")
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

func (a *azurePulls) open(ctx context.Context, p NewPullRequest) (*PullRequest, error) {
	labels := []map[string]string{}
	for _, name := range p.Labels {
		labels = append(labels, map[string]string{"name": name})
	}
	var opened azurePull
	err := a.ask(ctx, http.MethodPost, a.resource("pullrequests"), map[string]any{
		"title": p.Title, "description": p.Body, "isDraft": p.Draft, "labels": labels,
		"sourceRefName": refsHeads + p.Branch, "targetRefName": refsHeads + p.Base,
	}, &opened)
	if answeredWith(err, http.StatusConflict) {
		return nil, ErrExists // TF401179
	}
	if err != nil {
		return nil, err
	}
	return &a.read(&opened).PullRequest, nil
}

func (a *azurePulls) edit(ctx context.Context, number int64, change map[string]any) error {
	return a.ask(ctx, http.MethodPatch, a.pull(number), change, nil)
}

func (a *azurePulls) update(ctx context.Context, now *snapshot, text Text) error {
	return a.edit(ctx, now.Number, map[string]any{"title": text.Title, "description": text.Body, "isDraft": text.Draft})
}

func (a *azurePulls) comment(ctx context.Context, number int64, body string) error {
	comment := map[string]any{"parentCommentId": 0, "content": body, "commentType": 1}
	return a.ask(ctx, http.MethodPost, a.pull(number, "threads"),
		map[string]any{"comments": []any{comment}, "status": 4}, nil) // closed: an open one may block
}

func (a *azurePulls) close(ctx context.Context, number int64) error {
	return a.edit(ctx, number, map[string]any{"status": "abandoned"})
}

func (a *azurePulls) reopen(ctx context.Context, number int64) error {
	return a.edit(ctx, number, map[string]any{"status": "active"})
}

var azureMethods = map[Method]string{MergeCommit: "noFastForward", Squash: "squash", Rebase: "rebase"}

func azureOptions(m Merge) map[string]any {
	options := map[string]any{"mergeStrategy": azureMethods[m.Method], "deleteSourceBranch": false, "bypassPolicy": false}
	if message := m.message(); message != "" {
		options["mergeCommitMessage"] = message
	}
	return options
}

// merge looks at the pull request before: Azure DevOps may take a completion that it will
// refuse in the background.
func (a *azurePulls) merge(ctx context.Context, number int64, m Merge) error {
	now, err := a.get(ctx, number)
	if err != nil {
		return err
	}
	if err := now.expect(m.HeadSHA); err != nil {
		return err
	}
	if now.Mergeable != Yes {
		return notMergeable(&now.PullRequest, "")
	}
	err = a.edit(ctx, number, map[string]any{
		"status": "completed", "lastMergeSourceCommit": azureCommit{m.HeadSHA}, "completionOptions": azureOptions(m),
	})
	if answeredWith(err, http.StatusConflict) && refusal(err).mentions("stale", "TF401192", "has been updated", "source branch") {
		return ErrHeadMoved
	}
	return err
}

// enableAutoMerge has no guard: Azure DevOps completes whatever is pushed afterwards, too.
func (a *azurePulls) enableAutoMerge(ctx context.Context, now *snapshot, m Merge) error {
	me, err := a.currentUser(ctx)
	if err != nil {
		return err
	}
	return a.edit(ctx, now.Number, map[string]any{"autoCompleteSetBy": azureIdentity{ID: me.ID}, "completionOptions": azureOptions(m)})
}

func (a *azurePulls) disableAutoMerge(ctx context.Context, now *snapshot) error {
	return a.edit(ctx, now.Number, map[string]any{"autoCompleteSetBy": azureIdentity{ID: azureNobody}})
}
