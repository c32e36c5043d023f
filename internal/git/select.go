// SPDX-License-Identifier: Apache-2.0

package git

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/pattern"
	"github.com/sluice-cd/sluice/internal/suggest"
)

const (
	branchPrefix  = "refs/heads/"
	tagPrefix     = "refs/tags/"
	defaultBranch = "master"
)

// Reference names a commit as GitRepository's spec.ref does. Of several fields,
// commit comes before name, name before semver, semver before tag, and tag
// before branch; none means the branch master.
type Reference struct {
	Branch, Tag, SemVer, Name, Commit string
}

// BranchName is the branch that the reference follows, "" when what it names
// is none.
func (r Reference) BranchName() string {
	branch, named := strings.CutPrefix(r.Name, branchPrefix)
	switch {
	case r.Commit != "":
		return ""
	case named:
		return branch
	case r.Name != "", r.SemVer != "", r.Tag != "":
		return ""
	case r.Branch != "":
		return r.Branch
	}
	return defaultBranch
}

// Validate returns ErrInvalidReference for names that no repository can have, by the
// rules of git check-ref-format, and says which field it is.
func (r Reference) Validate() error {
	for _, name := range []struct{ field, value, full string }{
		{"branch", r.Branch, branchPrefix + r.Branch}, {"tag", r.Tag, tagPrefix + r.Tag}, {"name", r.Name, r.Name},
	} {
		if name.value == "" {
			continue
		}
		if err := plumbing.ReferenceName(name.full).Validate(); err != nil {
			return &ReferenceError{Field: name.field, Why: fmt.Sprintf("%q is no name that Git allows (git check-ref-format)", name.value)}
		}
	}
	return nil
}

// Selected is what a [Reference] is now.
type Selected struct {
	Commit plumbing.Hash
	// Ref is what to fetch: the full name of a ref, or a commit.
	Ref string
	// Label is what revisions call it: a branch, a tag or a full name.
	Label string
	// Tag is the object of the tag that Ref names, zero if that is no annotated tag.
	Tag plumbing.Hash
}

// Revision names the commit as artifacts and statuses do: main@sha1:abc.
func (s Selected) Revision() string {
	if s.Label == "" {
		return "sha1:" + s.Commit.String()
	}
	return s.Label + "@sha1:" + s.Commit.String()
}

// Select asks the remote what a reference is now: one round trip, and none for
// a commit, which is taken at its word. The errors that callers branch on are
// ErrInvalidReference, ErrEmptyRepository and ErrRefNotFound.
func (m *Mirror) Select(ctx context.Context, ref Reference) (Selected, error) {
	if err := ref.Validate(); err != nil {
		return Selected{}, err
	}
	if ref.Commit != "" {
		return ref.pinned()
	}
	advertised, err := m.advertised(ctx)
	if err != nil {
		return Selected{}, err
	}
	selected, err := m.SelectFrom(advertised.Refs, ref)
	selected.Tag = advertised.Tags[selected.Ref]
	return selected, err
}

// SelectFrom is Select for those who have asked for the refs already. It knows of no
// objects of tags.
func (m *Mirror) SelectFrom(refs map[string]plumbing.Hash, ref Reference) (Selected, error) {
	switch {
	case ref.Commit != "":
		return ref.pinned()
	case len(refs) == 0:
		return Selected{}, ErrEmptyRepository
	}
	return ref.selectFrom(refs, m.remote)
}

func (r Reference) pinned() (Selected, error) {
	if !plumbing.IsHash(r.Commit) {
		return Selected{}, &ReferenceError{Field: "commit", Why: fmt.Sprintf("%q is no full commit id", r.Commit)}
	}
	return Selected{Commit: plumbing.NewHash(r.Commit), Ref: r.Commit, Label: r.Branch}, nil
}

func (r Reference) selectFrom(refs map[string]plumbing.Hash, remote Remote) (Selected, error) {
	full, label, err := r.choose(refs)
	if err != nil {
		return Selected{}, err
	}
	commit, ok := refs[full]
	if !ok {
		return Selected{}, fmt.Errorf("%w: %s of %s%s", ErrRefNotFound, full, remote, suggestion(full, refs))
	}
	return Selected{Commit: commit, Ref: full, Label: label}, nil
}

// suggestion asks whether it was another branch or tag that somebody meant who misspelt one; it
// is empty where none is near.
func suggestion(full string, refs map[string]plumbing.Hash) string {
	for _, prefix := range []string{branchPrefix, tagPrefix} {
		name, of := strings.CutPrefix(full, prefix)
		if !of {
			continue
		}
		var known []string
		for ref := range refs {
			if other, same := strings.CutPrefix(ref, prefix); same {
				known = append(known, other)
			}
		}
		slices.Sort(known)
		if near := suggest.Nearest(name, known); near != "" {
			return fmt.Sprintf(" (did you mean %s?)", near)
		}
	}
	return ""
}

// choose returns the full name of the ref to follow, and what revisions call it.
func (r Reference) choose(refs map[string]plumbing.Hash) (full, label string, err error) {
	switch {
	case r.Name != "":
		return r.Name, r.Name, nil
	case r.SemVer != "":
		tag, err := highest(refs, r.SemVer)
		return tagPrefix + tag, tag, err
	case r.Tag != "":
		return tagPrefix + r.Tag, r.Tag, nil
	case r.Branch != "":
		return branchPrefix + r.Branch, r.Branch, nil
	}
	return branchPrefix + defaultBranch, defaultBranch, nil
}

// highest returns the tag with the highest version in a range. Of tags with
// equal versions (v1.0.0, 1.0.0, 1.0.0+build) it is the last by name.
func highest(refs map[string]plumbing.Hash, expression string) (string, error) {
	constraint, err := pattern.Versions(expression)
	if err != nil {
		return "", &ReferenceError{Field: "semver", Why: err.Error()}
	}
	var best string
	var version *semver.Version
	for ref := range refs {
		tag, isTag := strings.CutPrefix(ref, tagPrefix)
		v, err := semver.StrictNewVersion(strings.TrimPrefix(tag, "v"))
		if !isTag || err != nil || !constraint.Check(v) {
			continue
		}
		if order := compare(v, version); order > 0 || order == 0 && tag > best {
			best, version = tag, v
		}
	}
	if version == nil {
		return "", fmt.Errorf("%w: no match found for semver: %s", ErrRefNotFound, expression)
	}
	return best, nil
}

// compare orders versions; nil is before all.
func compare(a, b *semver.Version) int {
	if b == nil {
		return 1
	}
	return a.Compare(b)
}

// ReferenceError is an [ErrInvalidReference] with the field of the [Reference] that it is about.
type ReferenceError struct{ Field, Why string }

func (e *ReferenceError) Error() string {
	return fmt.Sprintf("%v: %s %s", ErrInvalidReference, e.Field, e.Why)
}

// Unwrap makes it an [ErrInvalidReference].
func (e *ReferenceError) Unwrap() error { return ErrInvalidReference }
