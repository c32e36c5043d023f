// SPDX-License-Identifier: Apache-2.0

package outbound

import (
	"net/http"
	"time"
)

// Rules are what a client holds to, whatever the server answers.
type Rules struct {
	// Redirects are [Return] if nil.
	Redirects Redirects
	// Timeout is for a request with its answer; zero is that of the request's context.
	Timeout time.Duration
	// Limits are for answers.
	Limits Limits
}

// NewClient returns a client that keeps to rules over a transport: one of [Guard.Transport] or
// of [Transports], with what the caller puts in front of it. It is the only place where a
// client is made.
func NewClient(transport http.RoundTripper, rules Rules) *http.Client {
	policy := rules.Redirects
	if policy == nil {
		policy = Return
	}
	return &http.Client{Transport: Bound(transport, rules.Limits), CheckRedirect: policy.follow, Timeout: rules.Timeout}
}
