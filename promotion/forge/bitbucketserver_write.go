// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Open implements Forge.
func (b *serverForge) Open(ctx context.Context, p Proposal) (*PullRequest, error) {
	var opened serverPull
	err := b.ask(ctx, http.MethodPost, b.of("pull-requests"), map[string]any{
		"title": p.Title, "description": p.Body,
		"fromRef": map[string]string{"id": refsHeads + p.Branch}, "toRef": map[string]string{"id": refsHeads + p.Base},
	}, &opened)
	if refused := refusal(err); refused != nil && refused.code == http.StatusConflict {
		if refused.says("already up-to-date", "up to date", "no changes", "emptypullrequest") {
			return nil, ErrNothingToMerge
		}
		return nil, ErrExists
	}
	if err != nil {
		return nil, err
	}
	pr := b.read(&opened)
	pr.warn("reviewers", len(p.Reviewers), func() error {
		for _, login := range p.Reviewers {
			opened.Reviewers = append(opened.Reviewers, serverReviewer{User: serverUser{login}})
		}
		return b.put(ctx, &opened, p.Text)
	})
	return pr, nil
}

// put writes a text and keeps the reviewers.
func (b *serverForge) put(ctx context.Context, now *serverPull, text Text) error {
	reviewers := make([]serverReviewer, len(now.Reviewers))
	for i, reviewer := range now.Reviewers {
		reviewers[i].User = reviewer.User
	}
	return b.ask(ctx, http.MethodPut, b.pull(now.ID), map[string]any{
		"version": now.Version, "title": text.Title, "description": text.Body, "reviewers": reviewers,
	}, nil)
}

// Update implements Forge.
func (b *serverForge) Update(ctx context.Context, number int64, text Text) (*PullRequest, error) {
	pr, now, err := b.get(ctx, number)
	if err != nil || pr.Title == text.Title && pr.Body == text.Body {
		return pr, err
	}
	if err := b.put(ctx, now, text); err != nil {
		return nil, err
	}
	return b.Get(ctx, number)
}

// Comment implements Forge.
func (b *serverForge) Comment(ctx context.Context, number int64, body string) error {
	return b.ask(ctx, http.MethodPost, b.pull(number, "comments"), map[string]any{"text": body}, nil)
}

// Close implements Forge.
func (b *serverForge) Close(ctx context.Context, number int64) error {
	return b.turn(ctx, number, "decline")
}

// Reopen implements Forge.
func (b *serverForge) Reopen(ctx context.Context, number int64) error {
	return b.turn(ctx, number, "reopen")
}

// turn changes the state of the version that is there now.
func (b *serverForge) turn(ctx context.Context, number int64, action string) error {
	var now serverPull
	if err := b.ask(ctx, http.MethodGet, b.pull(number), nil, &now); err != nil {
		return err
	}
	return b.ask(ctx, http.MethodPost, b.pull(number, action), map[string]any{"version": now.Version}, nil)
}

var serverStrategies = map[Method]string{MergeCommit: "no-ff", Squash: "squash", Rebase: "rebase-ff-only", FastForward: "ff-only"}

// Merge implements Forge. The version is that of the pull request whose head was looked
// at: a push in between makes another one.
func (b *serverForge) Merge(ctx context.Context, number int64, m Merge) (*PullRequest, error) {
	pr, now, err := b.get(ctx, number)
	switch {
	case err != nil:
		return nil, err
	case pr.State == Merged:
		return pr, nil
	case pr.State == Open && pr.HeadSHA != m.HeadSHA:
		return nil, ErrHeadMoved
	}
	body := map[string]any{"version": now.Version, "strategyId": serverStrategies[m.Method]}
	if m.Title != "" {
		body["message"] = strings.TrimSpace(m.Title + "\n\n" + m.Body)
	}
	u := with(b.pull(number, "merge"), "version", strconv.FormatInt(now.Version, 10)) // where older servers read it
	err = b.ask(ctx, http.MethodPost, u, body, nil)
	switch refused := refusal(err); {
	case refused == nil:
	case refused.code == http.StatusConflict && refused.says("out of date", "out-of-date"):
		return nil, ErrHeadMoved
	case refused.final():
		return nil, b.why(ctx, b, number, refused)
	}
	if err != nil {
		return nil, err
	}
	return b.Get(ctx, number)
}

// EnableAutoMerge implements Forge; the table says that it is not called.
func (b *serverForge) EnableAutoMerge(context.Context, int64, Merge) error {
	return &Unsupported{Provider: b.provider, What: "auto-merge"}
}

// DisableAutoMerge implements Forge.
func (b *serverForge) DisableAutoMerge(context.Context, int64) error { return nil }

// Enqueue implements Forge.
func (b *serverForge) Enqueue(context.Context, int64, string) error {
	return &Unsupported{Provider: b.provider, What: "merge queues"}
}

// build is a build status; URL is required.
type build struct {
	Key         string `json:"key"`
	Name        string `json:"name"`
	State       string `json:"state"`
	Description string `json:"description"`
	URL         string `json:"url"`
}

var buildStates = map[CheckState]string{CheckPending: "INPROGRESS", CheckSuccess: "SUCCESSFUL", CheckFailure: "FAILED"}

// buildOf translates a status. A page of the server stands in for a URL that is missing.
func (s *session) buildOf(status Status, key string) (build, error) {
	state, ok := buildStates[status.State]
	if !ok {
		return build{}, fmt.Errorf("a status cannot be %q", status.State)
	}
	elsewhere := s.repository.api.Scheme + "://" + s.repository.api.Host
	return build{Key: key, Name: status.Context, State: state, Description: status.Description, URL: orElse(status.URL, elsewhere)}, nil
}

// checksOf translates a page of builds.
func checksOf(builds []build, most int) Checks {
	var statuses []Status
	for _, b := range builds {
		state := CheckFailure // stopped, cancelled, unknown
		switch b.State {
		case "INPROGRESS":
			state = CheckPending
		case "SUCCESSFUL":
			state = CheckSuccess
		}
		statuses = append(statuses, Status{Context: orElse(b.Name, b.Key), State: state, Description: b.Description, URL: b.URL})
	}
	checks := combine(statuses)
	checks.Incomplete = len(builds) == most
	return checks
}

func (b *serverForge) builds(sha string) *url.URL {
	return b.url("build-status", "1.0", "commits", sha)
}

// SetStatus implements Forge.
func (b *serverForge) SetStatus(ctx context.Context, sha string, s Status) error {
	status, err := b.buildOf(s, s.Context)
	if err != nil {
		return err
	}
	return b.ask(ctx, http.MethodPost, b.builds(sha), status, nil)
}

// Checks implements Forge.
func (b *serverForge) Checks(ctx context.Context, sha string) (Checks, error) {
	const most = 100
	var page struct{ Values []build }
	err := b.ask(ctx, http.MethodGet, with(b.builds(sha), "limit", strconv.Itoa(most)), nil, &page)
	return checksOf(page.Values, most), err
}

// Rules implements Forge. Permissions of branches and hooks of plugins are not in the
// settings, so that these are never complete.
func (b *serverForge) Rules(ctx context.Context, _ string) (Rules, error) {
	var settings struct {
		Approvers int `json:"requiredApprovers"`
		Builds    int `json:"requiredSuccessfulBuilds"`
		Merge     struct {
			Strategies []struct {
				ID      string `json:"id"`
				Enabled bool   `json:"enabled"`
			} `json:"strategies"`
		} `json:"mergeConfig"`
	}
	if err := b.ask(ctx, http.MethodGet, b.of("settings", "pull-requests"), nil, &settings); err != nil {
		return Rules{}, err
	}
	enabled := map[Method]bool{}
	for _, strategy := range settings.Merge.Strategies {
		for method, id := range serverStrategies {
			if strategy.ID == id {
				enabled[method] = strategy.Enabled
			}
		}
	}
	return Rules{
		Protected: settings.Approvers > 0 || settings.Builds > 0, Approvals: settings.Approvers, AllChecks: settings.Builds > 0,
		Methods: allowed(enabled),
	}, nil
}
