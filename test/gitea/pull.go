// SPDX-License-Identifier: Apache-2.0

package gitea

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/sluice-cd/sluice/test/harness"
)

// Pull is a pull request as the API shows it.
type Pull struct {
	Number    int64  `json:"number"`
	URL       string `json:"html_url"`
	Title     string `json:"title"`
	Body      string `json:"body"`
	State     string `json:"state"` // open or closed
	Merged    bool   `json:"merged"`
	Mergeable bool   `json:"mergeable"` // false also while the server is finding out
	Landed    string `json:"merge_commit_sha"`
	Head      struct {
		Branch string `json:"ref"`
		SHA    string `json:"sha"`
	} `json:"head"`
	MergedBy *struct {
		Name string `json:"login"`
	} `json:"merged_by"`
}

// Open opens a pull request as the person.
func (p *Person) Open(ctx context.Context, r *Repo, branch, base, title string) (*Pull, error) {
	var made Pull
	err := p.Call(ctx, http.MethodPost, r.path("/pulls"), map[string]any{"head": branch, "base": base, "title": title}, &made)
	return &made, err
}

// Pull is a pull request as it is now.
func (r *Repo) Pull(ctx context.Context, number int64) (*Pull, error) {
	var found Pull
	err := r.admin(ctx, http.MethodGet, fmt.Sprintf("/pulls/%d", number), nil, &found)
	return &found, err
}

// Pulls lists the repository's pull requests (state open, closed or all), up to 50, the
// newest first.
func (r *Repo) Pulls(ctx context.Context, state string) ([]Pull, error) {
	var found []Pull
	err := r.admin(ctx, http.MethodGet, "/pulls?sort=newest&limit=50&state="+state, nil, &found)
	return found, err
}

// SetStatus sets the status of a commit (pending, success, failure, error) as the person.
func (p *Person) SetStatus(ctx context.Context, r *Repo, sha, name, state string) error {
	return p.Call(ctx, http.MethodPost, r.path("/statuses/"+sha), map[string]any{"context": name, "state": state}, nil)
}

// Approve approves what is the head of a pull request now.
func (p *Person) Approve(ctx context.Context, r *Repo, number int64) error {
	return p.review(ctx, r, number, "APPROVED")
}

// Reject asks for changes to a pull request.
func (p *Person) Reject(ctx context.Context, r *Repo, number int64) error {
	return p.review(ctx, r, number, "REQUEST_CHANGES")
}

func (p *Person) review(ctx context.Context, r *Repo, number int64, event string) error {
	return p.Call(ctx, http.MethodPost, r.path(fmt.Sprintf("/pulls/%d/reviews", number)),
		map[string]any{"event": event, "body": "reviewed by " + p.Name}, nil)
}

// Merge merges a pull request as the person, as the button of its page does. While the
// server is still finding out whether that is possible, which it does in the background
// after each push, it waits. An answer of the server
// that says no is a [*StatusError]: 405 when the branch's rules are not met, 409 when
// there is a conflict.
func (p *Person) Merge(ctx context.Context, r *Repo, number int64, style MergeStyle) error {
	var refused error
	_, err := harness.Eventually(ctx, "the forge's check of the pull request", harness.Patience, func(ctx context.Context) (bool, string) {
		refused = p.Call(ctx, http.MethodPost, r.path(fmt.Sprintf("/pulls/%d/merge", number)), map[string]any{"do": style}, nil)
		var answer *StatusError
		if errors.As(refused, &answer) && strings.Contains(strings.ToLower(answer.Message), "try again later") {
			return false, answer.Message
		}
		return true, ""
	})
	return errors.Join(err, refused)
}

// Close closes a pull request without merging it, as the person.
func (p *Person) Close(ctx context.Context, r *Repo, number int64) error {
	return p.setState(ctx, r, number, "closed")
}

// Reopen opens a closed pull request again, as the person.
func (p *Person) Reopen(ctx context.Context, r *Repo, number int64) error {
	return p.setState(ctx, r, number, "open")
}

func (p *Person) setState(ctx context.Context, r *Repo, number int64, state string) error {
	return p.Call(ctx, http.MethodPatch, r.path(fmt.Sprintf("/pulls/%d", number)), map[string]any{"state": state}, nil)
}
