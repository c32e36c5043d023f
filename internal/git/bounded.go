// SPDX-License-Identifier: Apache-2.0

package git

import (
	"io"
	"net/http"

	"github.com/sluice-cd/sluice/internal/bounded"
	"github.com/sluice-cd/sluice/internal/git/protocol"
)

// ErrTooMuch means that a remote said more than any would that is in order.
var ErrTooMuch = protocol.ErrTooMuch

// How long the answers of a remote may be. Packs have limits of their own, which
// the pack package explains; here they only need an end.
const (
	maxRefs  = 64 << 20 // some 500,000 refs
	maxError = 64 << 10 // an answer that is none, such as a page that tells why
	maxData  = 2 << 30
)

// boundedTransport ends answers that are too long.
type boundedTransport struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode < http.StatusOK || response.StatusCode >= http.StatusMultipleChoices {
		response.Body = truncated{io.LimitReader(response.Body, maxError), response.Body}
		return response, nil
	}
	response.Body = bounded.Body(response.Body, maxData, ErrTooMuch)
	return response, nil
}

// truncated is a body that ends early: the beginning of an error page is enough.
type truncated struct {
	io.Reader
	io.Closer
}
