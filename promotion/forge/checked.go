// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// checked is a driver behind what all drivers have in common: what the table says that
// the forge cannot do is refused, texts are shortened, and errors are translated and
// say what was tried.
type checked struct {
	driver  Forge
	session *session
}

// maxDescription is what GitHub, the strictest, takes of the description of a status.
const maxDescription = 140

// explain adds what was tried to an error, and makes those of package forge of the
// answers that mean the same everywhere.
func (c *checked) explain(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	err = brief(err)
	if answered := refusal(err); answered != nil {
		switch answered.code {
		case http.StatusForbidden:
			err = &Unauthorized{Host: answered.host, Keys: c.session.who.keys, Needs: c.session.table.needs, Reason: answered.message}
		case http.StatusNotFound:
			err = ErrNotFound
		}
	}
	return fmt.Errorf("%s of %s at %s: %w", fmt.Sprintf(format, args...), c.session.repository, c.session.repository.api.Host, err)
}

func (c *checked) unsupported(what string) error {
	return &Unsupported{Provider: c.session.provider, What: what}
}

// require is the first of the demands that the table does not meet, or nil.
func (c *checked) require(demands ...demand) error {
	for _, d := range demands {
		if d.wanted && !d.able {
			return c.unsupported(d.what)
		}
	}
	return nil
}

type demand struct {
	wanted, able bool
	what         string
}

func (c *checked) text(t Text) Text {
	t.Title = shorten(t.Title, c.session.table.TitleBytes)
	t.Body = shorten(t.Body, c.session.table.BodyBytes)
	return t
}

// Identity implements Forge.
func (c *checked) Identity(ctx context.Context) (Identity, error) {
	found, err := c.driver.Identity(ctx)
	return found, c.explain(err, "asking for the identity")
}

// Find implements Forge.
func (c *checked) Find(ctx context.Context, base, branch string) (*PullRequest, error) {
	found, err := c.driver.Find(ctx, base, branch)
	return found, c.explain(err, "finding the pull request from %s into %s", branch, base)
}

// Get implements Forge.
func (c *checked) Get(ctx context.Context, number int64) (*PullRequest, error) {
	found, err := c.driver.Get(ctx, number)
	return found, c.explain(err, "reading pull request %d", number)
}

// Recent implements Forge.
func (c *checked) Recent(ctx context.Context) ([]PullRequest, error) {
	found, err := c.driver.Recent(ctx)
	return found, c.explain(err, "listing pull requests")
}

// Open implements Forge.
func (c *checked) Open(ctx context.Context, p Proposal) (*PullRequest, error) {
	can := c.session.table
	err := c.require(
		demand{p.Draft, can.Draft, "drafts"}, demand{len(p.Labels) > 0, can.Labels, "labels"},
		demand{len(p.Reviewers) > 0, can.Reviewers, "reviewers"}, demand{len(p.Assignees) > 0, can.Assignees, "assignees"})
	if err != nil {
		return nil, err
	}
	p.Text = c.text(p.Text)
	opened, err := c.driver.Open(ctx, p)
	return opened, c.explain(err, "opening a pull request from %s into %s", p.Branch, p.Base)
}

// Update implements Forge.
func (c *checked) Update(ctx context.Context, number int64, text Text) (*PullRequest, error) {
	if err := c.require(demand{text.Draft, c.session.table.Draft, "drafts"}); err != nil {
		return nil, err
	}
	updated, err := c.driver.Update(ctx, number, c.text(text))
	return updated, c.explain(err, "updating pull request %d", number)
}

// Comment implements Forge.
func (c *checked) Comment(ctx context.Context, number int64, body string) error {
	return c.explain(c.driver.Comment(ctx, number, shorten(body, c.session.table.BodyBytes)), "commenting on pull request %d", number)
}

// Close implements Forge.
func (c *checked) Close(ctx context.Context, number int64) error {
	err := c.driver.Close(ctx, number)
	if refused := refusal(err); refused != nil && refused.code < http.StatusInternalServerError {
		if now, readErr := c.driver.Get(ctx, number); readErr == nil && now.State != Open {
			return nil
		}
	}
	return c.explain(err, "closing pull request %d", number)
}

// Reopen implements Forge.
func (c *checked) Reopen(ctx context.Context, number int64) error {
	if err := c.require(demand{true, c.session.table.Reopen, "reopening pull requests"}); err != nil {
		return err
	}
	err := c.driver.Reopen(ctx, number)
	if refused := refusal(err); refused != nil && refused.final() {
		if now, readErr := c.driver.Get(ctx, number); readErr == nil && now.State == Open {
			return nil
		}
		err = &NotReopened{Reason: orElse(refused.message, "the forge does not say why")}
	}
	return c.explain(err, "reopening pull request %d", number)
}

// method refuses a merge without a guard, and methods that the forge does not know.
func (c *checked) method(m Merge) error {
	if m.HeadSHA == "" {
		return errors.New("a merge needs the commit that was judged")
	}
	return c.require(demand{true, slices.Contains(c.session.table.Methods, m.Method), fmt.Sprintf("merge method %q", m.Method)})
}

// Merge implements Forge. A refusal is checked against the pull request as it is then:
// whoever merged it, it is merged.
func (c *checked) Merge(ctx context.Context, number int64, m Merge) (*PullRequest, error) {
	if err := c.method(m); err != nil {
		return nil, err
	}
	merged, err := c.driver.Merge(ctx, number, m)
	if err != nil && refusedMerge(err) {
		switch now, readErr := c.driver.Get(ctx, number); {
		case readErr != nil:
		case now.State == Merged:
			return now, nil
		case now.State == Closed:
			err = &NotMergeable{Reason: "it is closed"}
		}
	}
	return merged, c.explain(err, "merging pull request %d", number)
}

// refusedMerge reports whether a forge decided against a merge, rather than not at all.
func refusedMerge(err error) bool {
	var not *NotMergeable
	return errors.As(err, &not) || errors.Is(err, ErrHeadMoved) || refusal(err) != nil && refusal(err).code < http.StatusInternalServerError
}

// EnableAutoMerge implements Forge.
func (c *checked) EnableAutoMerge(ctx context.Context, number int64, m Merge) error {
	if err := c.require(demand{true, c.session.table.AutoMerge, "auto-merge"}); err != nil {
		return err
	}
	if err := c.method(m); err != nil {
		return err
	}
	return c.explain(c.driver.EnableAutoMerge(ctx, number, m), "enabling auto-merge of pull request %d", number)
}

// DisableAutoMerge implements Forge.
func (c *checked) DisableAutoMerge(ctx context.Context, number int64) error {
	if !c.session.table.AutoMerge {
		return nil
	}
	return c.explain(c.driver.DisableAutoMerge(ctx, number), "disabling auto-merge of pull request %d", number)
}

// Enqueue implements Forge.
func (c *checked) Enqueue(ctx context.Context, number int64, headSHA string) error {
	if err := c.require(demand{true, c.session.table.Queue, "merge queues"}); err != nil {
		return err
	}
	return c.explain(c.driver.Enqueue(ctx, number, headSHA), "queueing pull request %d", number)
}

// Checks implements Forge.
func (c *checked) Checks(ctx context.Context, sha string) (Checks, error) {
	found, err := c.driver.Checks(ctx, sha)
	return found, c.explain(err, "reading the checks of commit %s", sha)
}

// Rules implements Forge.
func (c *checked) Rules(ctx context.Context, branch string) (Rules, error) {
	found, err := c.driver.Rules(ctx, branch)
	return found, c.explain(err, "reading the rules of branch %s", branch)
}

// SetStatus implements Forge.
func (c *checked) SetStatus(ctx context.Context, sha string, s Status) error {
	if err := c.require(demand{true, c.session.table.Statuses, "commit statuses"}); err != nil {
		return err
	}
	s.Description = shorten(s.Description, maxDescription)
	return c.explain(c.driver.SetStatus(ctx, sha, s), "setting the status of commit %s", sha)
}
