// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"errors"
	"time"
)

// The first wait between two attempts and the longest one. Each is twice the one before.
const (
	minBackoff = time.Second
	maxBackoff = 30 * time.Second
)

// TemporaryError is a failure after which [Client.Post] tries again.
type TemporaryError struct {
	Err error
	// After is the server's Retry-After, up to maxBackoff; zero if it named none.
	After time.Duration
}

func (e *TemporaryError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *TemporaryError) Unwrap() error { return e.Err }

// retry calls try until it succeeds or fails with something else than a
// [TemporaryError], retries times at most after the first. The error is the last one.
func (c *Client) retry(ctx context.Context, retries int, try func() error) error {
	wait := minBackoff
	for {
		err := try()
		var temporary *TemporaryError
		if !errors.As(err, &temporary) || retries <= 0 {
			return err
		}
		retries--
		timer := c.clock.NewTimer(min(max(wait, temporary.After), maxBackoff))
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C():
		}
		wait *= 2
	}
}
