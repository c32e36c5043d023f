// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"net/http"
	"strings"
)

// Call is an HTTP request that is sent until somebody answers it as expected, as those who send webhooks do.
type Call struct {
	Method, URL, Body string
	Header            http.Header // nil without headers of its own
}

// Answered sends the request once, and reports whether it is answered with a status, and if not, with which or
// why not at all: a check for [Eventually].
func (c Call) Answered(ctx context.Context, status int) (bool, string) {
	req, err := http.NewRequestWithContext(ctx, c.Method, c.URL, strings.NewReader(c.Body))
	if err != nil {
		return false, err.Error()
	}
	if c.Header != nil {
		req.Header = c.Header.Clone()
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err.Error()
	}
	_ = resp.Body.Close()
	return resp.StatusCode == status, resp.Status
}
