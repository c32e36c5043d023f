// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// The first wait between two attempts and the longest; each is twice the last.
const (
	firstWait = time.Second
	maxWait   = 30 * time.Second
)

// TemporaryError is one that another attempt may mend.
type TemporaryError struct {
	Err error
	// After is when the server wants the next attempt; zero leaves it to us.
	After time.Duration
}

func (e *TemporaryError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *TemporaryError) Unwrap() error { return e.Err }

// Retry calls try once, and up to so many times more while it fails with a
// [TemporaryError]. The error is the last one.
func (c *Client) Retry(ctx context.Context, retries int, try func() error) error {
	wait := firstWait
	for {
		err := try()
		var temporary *TemporaryError
		if !errors.As(err, &temporary) || retries <= 0 {
			return err
		}
		retries--
		timer := c.clock.NewTimer(min(max(wait, temporary.After), maxWait))
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C():
		}
		wait *= 2
	}
}

// retryAfter is what the server asks for in seconds; a date is as good as nothing,
// since its clock is not ours.
func retryAfter(resp *http.Response) time.Duration {
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, int(maxWait/time.Second))) * time.Second
}
