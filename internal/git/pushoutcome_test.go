// SPDX-License-Identifier: Apache-2.0

package git

import (
	"errors"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/git/protocol"
)

// TestWhatBecameOfAPushThatFailed looks at where refs are after the answer to a push was
// lost, or was a refusal in words that nobody knows.
func TestWhatBecameOfAPushThatFailed(t *testing.T) {
	old, made, other := plumbing.NewHash("01"), plumbing.NewHash("02"), plumbing.NewHash("03")
	cause := errors.New("the answer was lost")
	main := protocol.Command{Ref: "refs/heads/main", Old: old, New: made}
	created := protocol.Command{Ref: "refs/heads/new", New: made}
	tests := map[string]struct {
		commands []protocol.Command
		refs     map[string]plumbing.Hash
		want     error
	}{
		"it was carried out":                     {[]protocol.Command{main}, map[string]plumbing.Hash{main.Ref: made}, nil},
		"it was refused":                         {[]protocol.Command{main}, map[string]plumbing.Hash{main.Ref: old}, cause},
		"it lost a race":                         {[]protocol.Command{main}, map[string]plumbing.Hash{main.Ref: other}, ErrNonFastForward},
		"the ref was deleted":                    {[]protocol.Command{main}, nil, ErrNonFastForward},
		"a ref that was to be made is not there": {[]protocol.Command{created}, nil, cause},
		"somebody else made the ref":             {[]protocol.Command{created}, map[string]plumbing.Hash{created.Ref: other}, ErrNonFastForward},
		"one of two was carried out": {
			[]protocol.Command{main, created}, map[string]plumbing.Hash{main.Ref: made}, cause},
		"one of two was carried out, and the other lost a race": {
			[]protocol.Command{main, created}, map[string]plumbing.Hash{main.Ref: made, created.Ref: other}, ErrNonFastForward},
		"both were carried out": {
			[]protocol.Command{main, created}, map[string]plumbing.Hash{main.Ref: made, created.Ref: made}, nil},
	}
	for name, tc := range tests {
		if got := pushResult(tc.commands, tc.refs, cause); !errors.Is(got, tc.want) || (got == nil) != (tc.want == nil) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
