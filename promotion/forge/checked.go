// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// checkedForge is the Forge in front of a driver: it refuses what the table says that the forge
// cannot do, shortens texts, and says in errors what was tried.
type checkedForge struct {
	driver  driver
	session *session
}

// maxDescription is what GitHub, the strictest, takes of the description of a status.
const maxDescription = 140

// explain adds what was tried to an error, and translates the status codes that mean the
// same at every forge.
func (c *checkedForge) explain(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	err = brief(err)
	if answered := refusal(err); answered != nil {
		switch answered.code {
		case http.StatusForbidden:
			err = c.session.unauthorized(answered.message)
		case http.StatusNotFound:
			err = ErrNotFound
		}
	}
	return fmt.Errorf("%s of %s at %s: %w", fmt.Sprintf(format, args...), c.session.repository, c.session.repository.api.Host, err)
}

// require is the first of the demands that the table does not meet, or nil.
func (c *checkedForge) require(demands ...capabilityCheck) error {
	return require(c.session.provider, demands...)
}

func require(provider string, demands ...capabilityCheck) error {
	for _, d := range demands {
		if d.requested && !d.supported {
			return &Unsupported{Provider: provider, What: d.feature}
		}
	}
	return nil
}

// Supports is [Unsupported] for the first thing that a proposal asks for and the forge of
// these capabilities cannot do.
func (can Capabilities) Supports(provider string, p NewPullRequest) error {
	return require(provider,
		capabilityCheck{p.Draft, can.Draft, "drafts"}, capabilityCheck{len(p.Labels) > 0, can.Labels, "labels"},
		capabilityCheck{len(p.Reviewers) > 0, can.Reviewers, "reviewers"}, capabilityCheck{len(p.Assignees) > 0, can.Assignees, "assignees"})
}

type capabilityCheck struct {
	requested, supported bool
	feature              string
}

// text is what the forge can keep of a text. What its titles mark drafts with is not part
// of the title, and has to fit in front of it.
func (c *checkedForge) text(t Text) Text {
	table := c.session.table
	t.Title = fitted(withoutPrefix(t.Title, table.draftPrefixes...), table.TitleBytes-len(table.draftTitle(Text{Draft: true})))
	t.Body = fitted(t.Body, table.BodyBytes)
	return t
}

// CurrentUser implements Forge.
func (c *checkedForge) CurrentUser(ctx context.Context) (User, error) {
	found, err := c.driver.identity(ctx)
	return found, c.explain(err, "asking for the identity")
}

// Find implements Forge.
func (c *checkedForge) Find(ctx context.Context, base, branch string) (*PullRequest, error) {
	found, err := c.driver.find(ctx, c.session.repository, base, branch)
	return found, c.explain(err, "finding the pull request from %s into %s", branch, base)
}

// Get implements Forge.
func (c *checkedForge) Get(ctx context.Context, number int64) (*PullRequest, error) {
	found, err := c.driver.read(ctx, number)
	return found, c.explain(err, "reading pull request %d", number)
}

// Recent implements Forge. Some lists say more than others; what not all of them say is
// unknown.
func (c *checkedForge) Recent(ctx context.Context) ([]PullRequest, error) {
	found, err := c.driver.pulls.recent(ctx)
	for i := range found {
		pr := &found[i]
		pr.Mergeable, pr.Blocked, pr.Approvals, pr.Queued, pr.ClosedBy = Unknown, nil, 0, false, ""
	}
	return found, c.explain(err, "listing pull requests")
}

// Open implements Forge.
func (c *checkedForge) Open(ctx context.Context, p NewPullRequest) (*PullRequest, error) {
	if err := c.session.table.Supports(c.session.provider, p); err != nil {
		return nil, err
	}
	p.Text = c.text(p.Text)
	opened, err := c.driver.pulls.open(ctx, p)
	return opened, c.explain(err, "opening a pull request from %s into %s", p.Branch, p.Base)
}

// Update implements Forge.
func (c *checkedForge) Update(ctx context.Context, number int64, text Text) (*PullRequest, error) {
	if err := c.require(capabilityCheck{text.Draft, c.session.table.Draft, "drafts"}); err != nil {
		return nil, err
	}
	updated, err := c.driver.update(ctx, number, c.text(text))
	return updated, c.explain(err, "updating pull request %d", number)
}

// Comment implements Forge.
func (c *checkedForge) Comment(ctx context.Context, number int64, body string) error {
	err := c.driver.pulls.comment(ctx, number, fitted(body, c.session.table.BodyBytes))
	return c.explain(err, "commenting on pull request %d", number)
}

// Close implements Forge.
func (c *checkedForge) Close(ctx context.Context, number int64) error {
	return c.explain(c.driver.close(ctx, number), "closing pull request %d", number)
}

// Reopen implements Forge.
func (c *checkedForge) Reopen(ctx context.Context, number int64) error {
	if err := c.require(capabilityCheck{true, c.session.table.Reopen, "reopening pull requests"}); err != nil {
		return err
	}
	return c.explain(c.driver.reopen(ctx, number), "reopening pull request %d", number)
}

// method refuses a merge without a guard, and methods that the forge does not know.
func (c *checkedForge) method(m Merge) error {
	if m.HeadSHA == "" {
		return errors.New("a merge needs the commit that was judged")
	}
	return c.require(capabilityCheck{true, slices.Contains(c.session.table.Methods, m.Method), fmt.Sprintf("merge method %q", m.Method)})
}

// Merge implements Forge.
func (c *checkedForge) Merge(ctx context.Context, number int64, m Merge) (*PullRequest, error) {
	if err := c.method(m); err != nil {
		return nil, err
	}
	merged, err := c.driver.merge(ctx, number, m)
	return merged, c.explain(err, "merging pull request %d", number)
}

// EnableAutoMerge implements Forge.
func (c *checkedForge) EnableAutoMerge(ctx context.Context, number int64, m Merge) error {
	if err := c.require(capabilityCheck{true, c.session.table.AutoMerge, "auto-merge"}); err != nil {
		return err
	}
	if err := c.method(m); err != nil {
		return err
	}
	return c.explain(c.driver.enableAutoMerge(ctx, number, m), "enabling auto-merge of pull request %d", number)
}

// DisableAutoMerge implements Forge.
func (c *checkedForge) DisableAutoMerge(ctx context.Context, number int64) error {
	if !c.session.table.AutoMerge {
		return nil
	}
	return c.explain(c.driver.disableAutoMerge(ctx, number), "disabling auto-merge of pull request %d", number)
}

// Enqueue implements Forge.
func (c *checkedForge) Enqueue(ctx context.Context, number int64, headSHA string) error {
	if err := c.require(capabilityCheck{true, c.session.table.Queue, "merge queues"}); err != nil {
		return err
	}
	return c.explain(c.driver.enqueue(ctx, number, headSHA), "queueing pull request %d", number)
}

// Checks implements Forge.
func (c *checkedForge) Checks(ctx context.Context, sha string) (Checks, error) {
	found, complete, err := c.driver.commits.statuses(ctx, sha)
	if err != nil {
		return Checks{}, c.explain(err, "reading the checks of commit %s", sha)
	}
	return Checks{State: combine(found), Statuses: found, Incomplete: !complete}, nil
}

// Rules implements Forge.
func (c *checkedForge) Rules(ctx context.Context, branch string) (Rules, error) {
	found, err := c.driver.commits.rules(ctx, branch)
	return found, c.explain(err, "reading the rules of branch %s", branch)
}

// Shortened is a status as forges keep it.
func (s Status) Shortened() Status {
	s.Description = fitted(s.Description, maxDescription)
	return s
}

// SetStatus implements Forge.
func (c *checkedForge) SetStatus(ctx context.Context, sha string, s Status) error {
	if err := c.require(capabilityCheck{true, c.session.table.Statuses, "commit statuses"}); err != nil {
		return err
	}
	if !slices.Contains([]CheckState{CheckPending, CheckSuccess, CheckFailure}, s.State) {
		return fmt.Errorf("a status cannot be %q", s.State)
	}
	return c.explain(c.driver.commits.setStatus(settingStatus(ctx), sha, s.Shortened()), "setting the status of commit %s", sha)
}

// EnsureStatus implements Forge. It asks nobody for a status that has to wait: hundreds may wait for
// one another, and what they read counts, too.
func (c *checkedForge) EnsureStatus(ctx context.Context, sha string, s Status) error {
	if until, ok := c.session.limit.mayAllowStatus(c.session.clock.Now(), c.session.table.statuses); !ok {
		return c.explain(&RateLimited{Host: c.session.repository.api.Host, Until: until}, "setting the status of commit %s", sha)
	}
	// A forge that cannot list statuses to this credential gets one that may be there.
	found, _, err := c.driver.commits.statuses(ctx, sha)
	if err == nil && slices.ContainsFunc(found, s.Shortened().isKept) {
		return nil
	}
	return c.SetStatus(ctx, sha, s)
}

// isKept reports whether a status of a commit says what s says. Azure DevOps puts the genre before
// the context.
func (s Status) isKept(known Status) bool {
	return (known.Context == s.Context || known.Context == s.Genre+"/"+s.Context) &&
		known.State == s.State && known.Description == s.Description && known.URL == s.URL
}
