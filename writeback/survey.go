package writeback

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/git"
)

// survey is one attempt: what the remote has, what is to be written, and on top
// of what.
//
//	push branch          is built on           and pushed
//	the checkout         its head              as it moved on
//	another, not there   the checkout          as a new branch
//	another, only ours   the checkout          over what is there, unless that
//	                                           is just what it would become
//	another, not ours    its own tip           as it moved on
//
// Where nothing is to be written another branch is left alone, unless it proposes
// what is not wanted any more: then it is set to the checkout.
type survey struct {
	*Writer
	mirror *git.Mirror
	req    Request

	refs    map[string]plumbing.Hash // what look found
	source  git.Selected
	base    *git.CommitTree // what to edit and to commit on
	old     plumbing.Hash   // the push branch, zero when it is to be made
	planned Planned
	// withdraws says that the push branch is to be set to the checkout.
	withdraws bool

	result Result
}

func refOf(branch string) string { return plumbing.NewBranchReferenceName(branch).String() }

// run finds out what is to be written, given where the refs are.
func (s *survey) run(ctx context.Context) (err error) {
	if s.source, err = s.mirror.SelectFrom(s.refs, s.req.Checkout); err != nil {
		return fmt.Errorf("selecting what to check out: %w", err)
	}
	s.result.Source, s.result.Label = s.source.Commit, s.source.Label
	if err := s.at(ctx, s.source.Ref, s.source.Commit); err != nil {
		return err
	}
	s.old = s.refs[refOf(s.req.Push)]
	if s.samePlace() {
		return s.plan(ctx, s.req.Last.Source)
	}
	s.result.Base = s.source.Commit
	switch err := s.plan(ctx, s.req.Last.Source); {
	case err != nil || s.old.IsZero():
		return err
	case len(s.planned.Contents) == 0:
		return s.withdraw(ctx)
	}
	return s.rebase(ctx)
}

// withdraw finds out whether the push branch, if it is ours, has an image that no
// policy stands for any more. One that was merged has the same as the checkout.
func (s *survey) withdraw(ctx context.Context) error {
	if s.old != s.req.Last.Push || s.req.Last.Base.IsZero() {
		return nil
	}
	onto := s.base
	if err := s.at(ctx, refOf(s.req.Push), s.old); err != nil {
		return err
	}
	marked, err := s.index.Marked(ctx, s.base, s.req.Path, s.req.Policies.Namespace)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUpdate, err)
	}
	proposed, err := s.index.plan(ctx, s.base, marked, s.req.Policies)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUpdate, err)
	}
	s.base, s.withdraws = onto, len(proposed.Contents) > 0
	return nil
}

// look finds out where the refs are.
func (s *survey) look(ctx context.Context, visit *visit) error {
	var needed []string
	if branch := s.req.Checkout.BranchName(); branch != "" {
		needed = append(needed, refOf(branch), refOf(s.req.Push))
		if s.req.Refspec.Target != "" {
			needed = append(needed, s.req.Refspec.Target)
		}
	}
	var err error
	if s.refs, err = visit.look(ctx, s.mirror, needed...); err != nil {
		return fmt.Errorf("asking for the refs of %s: %w", s.req.Remote, err)
	}
	return nil
}

func (s *survey) samePlace() bool { return s.source.Ref == refOf(s.req.Push) }

// at fetches a commit and makes it the base.
func (s *survey) at(ctx context.Context, ref string, commit plumbing.Hash) error {
	err := s.mirror.Fetch(ctx, ref, commit)
	if errors.Is(err, git.ErrRefNotFound) && !plumbing.IsHash(ref) {
		err = git.ErrNonFastForward // it was there a moment ago
	}
	if err != nil {
		return fmt.Errorf("fetching %s of %s: %w", commit, ref, err)
	}
	if s.base, err = s.mirror.Tree(commit); err != nil {
		return fmt.Errorf("opening commit %s: %w", commit, err)
	}
	return nil
}

// plan edits what the base has. The commit before is where the last run left the
// same branch.
func (s *survey) plan(ctx context.Context, before plumbing.Hash) error {
	marked, err := s.index.Marked(ctx, s.base, s.req.Path, s.req.Policies.Namespace)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUpdate, err)
	}
	policies := s.req.Policies
	if s.planned, err = s.index.plan(ctx, s.base, marked, policies); err != nil {
		return fmt.Errorf("%w: %w", ErrUpdate, err)
	}
	if undone := s.takenBack(ctx, before, marked); len(undone) > 0 {
		s.result.Undone = append(s.result.Undone, undone...)
		policies = policies.hold(undone)
		if s.planned, err = s.index.plan(ctx, s.base, marked, policies); err != nil {
			return fmt.Errorf("%w: %w", ErrUpdate, err)
		}
	}
	s.req.Policies = policies
	s.result.Report, s.result.Held = s.planned.Report, s.planned.Held
	return nil
}

// rebase decides what becomes of a push branch that is there already.
func (s *survey) rebase(ctx context.Context) error {
	onto := s.base
	if err := s.at(ctx, refOf(s.req.Push), s.old); err != nil {
		return err
	}
	tip := s.base
	if !s.ours(tip) {
		s.result.Foreign, s.result.Base = s.old, plumbing.ZeroHash
		return s.plan(ctx, s.req.Last.Push)
	}
	s.base = onto
	current := s.req.Last.Base == s.source.Commit || slices.Equal(tip.Parents(), []plumbing.Hash{s.source.Commit})
	if !current {
		return nil
	}
	same, err := sameBut(onto, tip, s.planned.Contents)
	if err != nil {
		return fmt.Errorf("comparing %s with %s: %w", s.old, s.source.Commit, err)
	}
	if same {
		s.planned.Contents = nil // the branch is what it would become
	}
	return nil
}

// ours reports whether building the push branch anew loses nobody's work: its tip
// is what the last run pushed onto the checkout, or is a commit of the author's
// right on top of the checkout, or is part of the checkout.
func (s *survey) ours(tip *git.CommitTree) bool {
	switch {
	case tip.Commit() == s.req.Last.Push && !s.req.Last.Base.IsZero():
		return true
	case tip.Commit() == s.source.Commit, slices.Contains(s.base.Parents(), s.source.Commit) && s.isAuthor(tip):
		return true
	}
	checkout, err := s.mirror.Tree(s.source.Commit)
	return err == nil && slices.Contains(checkout.Parents(), tip.Commit())
}

func (s *survey) isAuthor(tip *git.CommitTree) bool {
	info := tip.Info()
	return len(tip.Parents()) == 1 && info.Author.Email == s.req.Author.Email && info.Committer.Email == s.req.Author.Email
}
