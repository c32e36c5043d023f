// SPDX-License-Identifier: Apache-2.0

package git

import (
	"github.com/sluice-cd/sluice/internal/git/protocol"
	"github.com/sluice-cd/sluice/internal/outbound"
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

// answers are the limits over HTTP.
var answers = outbound.Limits{Bytes: maxData, Refusal: maxError, Kind: ErrTooMuch}
