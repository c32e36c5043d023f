// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// ask sends a request with JSON and decodes the answer; both in and out may be nil.
// It is for forges without a client library that fits.
func (s *session) ask(ctx context.Context, method string, u *url.URL, in, out any) error {
	_, err := s.exchangeJSON(ctx, method, u, in, out)
	return err
}

// exchangeJSON is ask for those who need the header, too.
func (s *session) exchangeJSON(ctx context.Context, method string, u *url.URL, in, out any) (http.Header, error) {
	var body io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	// Azure DevOps answers with 401 then, instead of leading to a page for signing in.
	req.Header.Set("X-TFS-FedAuthRedirect", "Suppress")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := s.client().Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusNonAuthoritativeInfo { // Azure DevOps, for a token that it does not know
		return nil, s.unauthorized("")
	}
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return resp.Header, nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return nil, fmt.Errorf("%s answers with something else than expected", u.Host)
	}
	return resp.Header, nil
}

// withQuery adds parameters, pairs of a name and a value, to a URL.
func withQuery(u *url.URL, pairs ...string) *url.URL {
	query := u.Query()
	for i := 0; i+1 < len(pairs); i += 2 {
		query.Add(pairs[i], pairs[i+1])
	}
	u.RawQuery = query.Encode()
	return u
}
