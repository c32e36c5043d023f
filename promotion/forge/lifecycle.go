// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// read is a pull request as it is now.
func (d *driver) read(ctx context.Context, number int64) (*PullRequest, error) {
	now, err := d.pulls.get(ctx, number)
	if err != nil {
		return nil, err
	}
	return &now.PullRequest, nil
}

// find returns the pull request of a branch of the repository itself.
func (d *driver) find(ctx context.Context, in repository, base, branch string) (*PullRequest, error) {
	list, err := d.pulls.candidates(ctx, base, branch)
	if err != nil {
		return nil, err
	}
	found := in.find(list, base, branch)
	if found == nil {
		return nil, ErrNotFound
	}
	return d.read(ctx, found.Number)
}

// update writes only what differs.
func (d *driver) update(ctx context.Context, number int64, text Text) (*PullRequest, error) {
	now, err := d.pulls.get(ctx, number)
	switch {
	case err != nil:
		return nil, err
	case now.Title == text.Title && now.Body == text.Body && now.Draft == text.Draft:
		return &now.PullRequest, nil
	}
	if err := d.pulls.update(ctx, now, text); err != nil {
		return nil, err
	}
	return d.read(ctx, number)
}

// close is done if the pull request is closed, whoever did it.
func (d *driver) close(ctx context.Context, number int64) error {
	err := d.pulls.close(ctx, number)
	if refused := refusal(err); refused != nil && refused.code < http.StatusInternalServerError {
		if now, readErr := d.read(ctx, number); readErr == nil && now.State != Open {
			return nil
		}
	}
	return err
}

// reopen is done if the pull request is open.
func (d *driver) reopen(ctx context.Context, number int64) error {
	err := d.reopening.reopen(ctx, number)
	refused := refusal(err)
	if refused == nil || !refused.final() {
		return err
	}
	if now, readErr := d.read(ctx, number); readErr == nil && now.State == Open {
		return nil
	}
	return &NotReopened{Reason: orElse(refused.message, "the forge does not say why")}
}

// merge checks a refusal against the pull request as it is then: whoever merged it, it is
// merged.
func (d *driver) merge(ctx context.Context, number int64, m Merge) (*PullRequest, error) {
	err := d.pulls.merge(ctx, number, m)
	if err == nil {
		return d.read(ctx, number)
	}
	if !declinedMerge(err) {
		return nil, err
	}
	now, readErr := d.read(ctx, number)
	switch {
	case readErr != nil:
		return nil, err
	case now.State == Merged:
		return now, nil
	case now.State == Closed:
		return nil, notMergeable(now, "")
	case now.HeadSHA != m.HeadSHA: // whatever else the forge has against it
		return nil, ErrHeadMoved
	}
	return nil, explainMerge(now, sameHead(err))
}

// sameHead is a refusal of a head that is still the one that was judged, as far as the forge shows: it
// lags behind itself, or another field of the pull request changed. Asked at once it would say the same.
func sameHead(err error) error {
	if errors.Is(err, ErrHeadMoved) {
		return &NotMergeable{Reason: "the forge says that its head moved, and shows the same", Transient: true}
	}
	return err
}

// declinedMerge reports whether a forge decided against a merge, rather than not at all.
func declinedMerge(err error) bool {
	var not *NotMergeable
	return errors.As(err, &not) || errors.Is(err, ErrHeadMoved) || refusal(err) != nil && refusal(err).code < http.StatusInternalServerError
}

// explainMerge makes a refusal that the driver did not understand one that says what
// blocks the pull request.
func explainMerge(now *PullRequest, err error) error {
	if refused := refusal(err); refused != nil && refused.final() {
		return notMergeable(now, refused.message)
	}
	return err
}

// enableAutoMerge asks for a merge that is not possible yet.
func (d *driver) enableAutoMerge(ctx context.Context, number int64, m Merge) error {
	now, err := d.pulls.get(ctx, number)
	if err != nil {
		return err
	}
	if err := now.expect(m.HeadSHA); err != nil {
		return err
	}
	switch {
	case now.Auto == Yes:
		return nil
	case now.Mergeable == Yes:
		return ErrMergeableNow
	}
	return explainMerge(&now.PullRequest, sameHead(d.autoMerge.enableAutoMerge(ctx, now, m)))
}

func (d *driver) disableAutoMerge(ctx context.Context, number int64) error {
	now, err := d.pulls.get(ctx, number)
	if err != nil || now.Auto == No {
		return err
	}
	return d.autoMerge.disableAutoMerge(ctx, now)
}

func (d *driver) enqueue(ctx context.Context, number int64, headSHA string) error {
	now, err := d.pulls.get(ctx, number)
	if err != nil {
		return err
	}
	if err := now.expect(headSHA); err != nil || now.Queued {
		return err
	}
	return explainMerge(&now.PullRequest, sameHead(d.queue.enqueue(ctx, now)))
}

// find returns the pull request of a branch of the repository itself in a list: the open
// one, else the newest, else nil. A fork's branch of the same name is never taken.
func (r repository) find(list []PullRequest, base, branch string) *PullRequest {
	var newest *PullRequest
	for i := range list {
		pr := &list[i]
		switch {
		case pr.Base != base || pr.Branch != branch || !r.isNamed(pr.HeadRepo):
		case pr.State == Open:
			return pr
		case newest == nil || pr.Number > newest.Number:
			newest = pr
		}
	}
	return newest
}

// notMergeable tells by a pull request why it was not merged, beside what the forge
// itself answered.
func notMergeable(now *PullRequest, message string) *NotMergeable {
	if now.State != Open {
		return &NotMergeable{Reason: "it is " + string(now.State)}
	}
	reasons, transient := []string{}, now.Mergeable != No
	for _, why := range now.Blocked {
		reasons = append(reasons, string(why))
		transient = transient || why != ByConflict && why != ByDraft && why != ByBehind
	}
	if message != "" {
		reasons = append(reasons, message)
	}
	return &NotMergeable{Reason: orElse(strings.Join(reasons, "; "), "the forge does not say why"), Transient: transient}
}

// warn does what decorates a pull request that is open already, and keeps why that
// failed: it is no reason to take the pull request back.
func (pr *PullRequest) warn(what string, n int, do func() error) {
	if n == 0 {
		return
	}
	if err := do(); err != nil {
		pr.Warnings = append(pr.Warnings, fmt.Sprintf("%s were not set: %v", what, brief(err)))
	}
}

// message is the message of the commit that a merge makes; "" leaves it to the forge.
func (m Merge) message() string {
	if m.Title == "" {
		return ""
	}
	return strings.TrimSpace(m.Title + "\n\n" + m.Body)
}

// staleAfter is how long a pull request has to be open at least for a program that closes it to mean
// that nobody cared. One that closes it at once says that it is not allowed.
const staleAfter = time.Hour

// wasOpenLong reports whether what a program closed was open for a while.
func wasOpenLong(opened, closed time.Time) bool {
	return !opened.IsZero() && closed.Sub(opened) >= staleAfter
}
