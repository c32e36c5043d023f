// SPDX-License-Identifier: Apache-2.0

package git

import (
	"io"
	"net/http"

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

// bounded ends answers that are too long.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode < http.StatusOK || response.StatusCode >= http.StatusMultipleChoices {
		response.Body = cut{io.LimitReader(response.Body, maxError), response.Body}
		return response, nil
	}
	response.Body = cut{&atMost{from: response.Body, left: maxData}, response.Body}
	return response, nil
}

// cut is a body of which not all is read.
type cut struct {
	io.Reader
	io.Closer
}

// atMost is a reader with an end, beyond which there is an error.
type atMost struct {
	from io.Reader
	left int64
}

// Read implements io.Reader.
func (a *atMost) Read(p []byte) (int, error) {
	if a.left <= 0 {
		return 0, ErrTooMuch
	}
	n, err := a.from.Read(p[:min(int64(len(p)), a.left)])
	a.left -= int64(n)
	return n, err
}
