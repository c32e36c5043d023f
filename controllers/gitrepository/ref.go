package gitrepository

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/git"
)

const (
	branches = "refs/heads/"
	tags     = "refs/tags/"
)

var (
	errEmpty   = errors.New("git repository is empty")
	errInvalid = errors.New("invalid spec.ref")
)

// resolve finds the commit of a spec.ref, whose fields come before one another
// in the order commit, name, semver, tag, branch.
func resolve(ctx context.Context, mirror *git.Mirror, ref *sourcev1.GitRepositoryRef) (observed, error) {
	if ref == nil {
		ref = &sourcev1.GitRepositoryRef{}
	}
	if ref.Commit != "" {
		return pinned(mirror, ref)
	}
	refs, err := mirror.Refs(ctx)
	if err != nil {
		return observed{}, err
	}
	if len(refs) == 0 {
		return observed{}, errEmpty
	}
	full, label, err := choose(refs, ref)
	if err != nil {
		return observed{}, err
	}
	commit, ok := refs[full]
	if !ok {
		return observed{}, fmt.Errorf("%w: %s of %s", git.ErrRefNotFound, full, mirror.Remote())
	}
	return observed{mirror: mirror, commit: commit, ref: full, revision: revisionOf(label, commit)}, nil
}

// pinned takes a commit at its word: what it is cannot change.
func pinned(mirror *git.Mirror, ref *sourcev1.GitRepositoryRef) (observed, error) {
	if !plumbing.IsHash(ref.Commit) {
		return observed{}, fmt.Errorf("%w: commit %q is no full commit id", errInvalid, ref.Commit)
	}
	commit := plumbing.NewHash(ref.Commit)
	return observed{mirror: mirror, commit: commit, ref: ref.Commit, revision: revisionOf(ref.Branch, commit)}, nil
}

// choose returns the full name of the ref to follow, and what revisions call it.
func choose(refs map[string]plumbing.Hash, ref *sourcev1.GitRepositoryRef) (full, label string, err error) {
	switch {
	case ref.Name != "":
		return ref.Name, ref.Name, nil
	case ref.SemVer != "":
		tag, err := highest(refs, ref.SemVer)
		return tags + tag, tag, err
	case ref.Tag != "":
		return tags + ref.Tag, ref.Tag, nil
	case ref.Branch != "":
		return branches + ref.Branch, ref.Branch, nil
	}
	return branches + defaultBranch, defaultBranch, nil
}

// highest returns the tag with the highest version in a range. Of tags with
// equal versions (v1.0.0, 1.0.0, 1.0.0+build) it is the last by name.
func highest(refs map[string]plumbing.Hash, expression string) (string, error) {
	constraint, err := semver.NewConstraint(expression)
	if err != nil {
		return "", fmt.Errorf("%w: semver %q: %w", errInvalid, expression, err)
	}
	var best string
	var version *semver.Version
	for ref := range refs {
		tag, isTag := strings.CutPrefix(ref, tags)
		v, err := semver.StrictNewVersion(strings.TrimPrefix(tag, "v"))
		if !isTag || err != nil || !constraint.Check(v) {
			continue
		}
		if order := compare(v, version); order > 0 || order == 0 && tag > best {
			best, version = tag, v
		}
	}
	if version == nil {
		return "", fmt.Errorf("no match found for semver: %s", expression)
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

// revisionOf names a commit as artifacts do.
func revisionOf(label string, commit plumbing.Hash) string {
	if label == "" {
		return "sha1:" + commit.String()
	}
	return label + "@sha1:" + commit.String()
}
