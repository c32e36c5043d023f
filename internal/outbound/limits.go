// SPDX-License-Identifier: Apache-2.0

package outbound

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/sluice-cd/sluice/internal/bounded"
)

// ErrTooLarge means that a server answered with more than is read of it.
var ErrTooLarge = errors.New("the answer is too large")

// Limits are how many bytes are read of an answer. They count after decompression.
type Limits struct {
	// Bytes is the most that an answer may have: reading on is an error that is [ErrTooLarge].
	// Zero is for callers that bound what they read themselves.
	Bytes int64
	// What is too large then, in the words of the error; empty is "the answer".
	What string
	// Kind is what the error is as well, for callers that branch on errors of their own; nil is
	// nothing.
	Kind error
	// Refusal is the most that is read of an answer that is no success, which ends there without
	// an error, since its beginning says why. Zero is Bytes, with the error.
	Refusal int64
	// Except are requests whose callers bound the answer by what they know of it; nil is none.
	Except func(*http.Request) bool
}

// Bound returns a transport that ends the answers of another one at their limits. It is for
// libraries that make their clients themselves; others have [Rules.Limits].
func Bound(next http.RoundTripper, limits Limits) http.RoundTripper {
	if limits.Bytes <= 0 {
		return next
	}
	beyond := tooLarge(fmt.Sprintf("%s has more than %d bytes", cmp.Or(limits.What, "the answer"), limits.Bytes))
	b := &limitedTransport{next: next, limits: limits, beyond: beyond}
	if limits.Kind != nil {
		b.beyond = fmt.Errorf("%w: %w", limits.Kind, beyond)
	}
	return b
}

// tooLarge is an [ErrTooLarge] that says what is.
type tooLarge string

func (e tooLarge) Error() string { return string(e) }

// Is makes it [ErrTooLarge].
func (tooLarge) Is(target error) bool { return target == ErrTooLarge }

type limitedTransport struct {
	next   http.RoundTripper
	limits Limits
	beyond error
}

// RoundTrip implements http.RoundTripper.
func (b *limitedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(req)
	switch {
	case err != nil || resp.Body == nil || b.limits.Except != nil && b.limits.Except(req):
		return resp, err
	case b.limits.Refusal > 0 && resp.StatusCode/100 != 2:
		resp.Body = truncatedBody{io.LimitReader(resp.Body, b.limits.Refusal), resp.Body}
	default:
		resp.Body = bounded.Body(resp.Body, b.limits.Bytes, b.beyond)
	}
	return resp, nil
}

// CloseIdleConnections is what [http.Client.CloseIdleConnections] looks for.
func (b *limitedTransport) CloseIdleConnections() {
	if next, ok := b.next.(interface{ CloseIdleConnections() }); ok {
		next.CloseIdleConnections()
	}
}

// truncatedBody is a body that ends early.
type truncatedBody struct {
	io.Reader
	io.Closer
}
