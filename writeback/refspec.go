// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/git"
)

// Refspec is what is pushed besides the push branch, and where to: full names.
type Refspec struct {
	// Source is the push branch, HEAD, which is the same, or what was checked out.
	Source string
	Target string
}

// ParseRefspec reads "source:target". Names that are not full are those of
// branches. Forcing, deleting, patterns and refs by several names are refused.
func ParseRefspec(text string) (Refspec, error) {
	source, target, ok := strings.Cut(text, ":")
	switch {
	case !ok || source == "" || target == "" || strings.Contains(target, ":"):
		return Refspec{}, fmt.Errorf("%q is not source:destination", text)
	case strings.HasPrefix(source, "+"):
		return Refspec{}, fmt.Errorf("%q forces the push, which may lose commits", text)
	case strings.Contains(text, "*"):
		return Refspec{}, fmt.Errorf("%q is a pattern, and only single refs are pushed", text)
	}
	spec := Refspec{Source: full(source), Target: full(target)}
	for _, name := range []string{spec.Source, spec.Target} {
		if err := plumbing.ReferenceName(name).Validate(); err != nil {
			return Refspec{}, fmt.Errorf("%q is not the name of a ref: %w", name, err)
		}
	}
	if spec.Target == string(plumbing.HEAD) {
		return Refspec{}, fmt.Errorf("%q: HEAD is no destination", text)
	}
	return spec, nil
}

func full(name string) string {
	if name == string(plumbing.HEAD) || strings.HasPrefix(name, "refs/") {
		return name
	}
	return branchRef(name)
}

// refspecTarget is what is known of a refspec's target before a push.
type refspecTarget struct {
	head plumbing.Hash // zero if it is not there
	// known are the commits that the target may have without losing any: the mirror
	// has no history to look others up in.
	known []plumbing.Hash
}

// update is the move of the refspec's target to a commit. It is [ErrDiverged] unless
// the target is new, is there already, or is at a commit that is known to be part of
// what replaces it.
func (s Refspec) update(to plumbing.Hash, d refspecTarget) (git.RefUpdate, error) {
	if !d.head.IsZero() && d.head != to && !slices.Contains(d.known, d.head) {
		return git.RefUpdate{}, fmt.Errorf("pushing to %s, which is at %s: %w", s.Target, d.head, ErrDiverged)
	}
	return git.RefUpdate{Ref: s.Target, Old: d.head, New: to}, nil
}
