package writeback

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/git"
)

// publish commits the planned changes and pushes them.
func (s *survey) publish(ctx context.Context, visit *visit) (Result, error) {
	if err := s.commit(ctx); err != nil {
		return s.result, err
	}
	updates, err := s.push(ctx)
	if err != nil {
		return s.result, err
	}
	visit.moved(updates)
	return s.pushed(), nil
}

// commit writes the planned changes into the mirror: all at once, or those of
// one policy after the other.
func (s *survey) commit(ctx context.Context) error {
	if !s.req.PerPolicy {
		return s.write(ctx, s.base.Commit(), s.planned)
	}
	at := s.base.Commit()
	for _, policy := range s.planned.Changed.setters() {
		files, err := s.mirror.Tree(at)
		if err != nil {
			return fmt.Errorf("opening commit %s: %w", at, err)
		}
		marked, err := s.index.Marked(ctx, files, s.req.Path, s.req.Policies.Namespace)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUpdate, err)
		}
		planned, err := s.index.plan(ctx, files, marked, s.req.Policies.only(policy))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUpdate, err)
		}
		if len(planned.Contents) == 0 {
			continue
		}
		if err := s.write(ctx, at, planned); err != nil {
			return err
		}
		at = s.result.Commits[len(s.result.Commits)-1].Hash
	}
	return nil
}

func (s *survey) write(ctx context.Context, base plumbing.Hash, p Planned) error {
	message, err := s.req.Message(ctx, p.Changed)
	if err != nil {
		return err
	}
	author := s.req.Author
	author.When = s.clock.Now()
	hash, err := s.mirror.Write(ctx, base, p.Contents, git.CommitInfo{
		Author: author, Committer: author, Message: message, Signer: s.req.Signer,
	})
	if err != nil {
		return fmt.Errorf("writing a commit on %s: %w", base, err)
	}
	s.result.Commits = append(s.result.Commits, Commit{Hash: hash, Message: message, Changed: p.Changed})
	return nil
}

// push moves the push branch, and the destination of the refspec with it.
func (s *survey) push(ctx context.Context) ([]git.RefUpdate, error) {
	made := s.result.Commits[len(s.result.Commits)-1].Hash
	updates := []git.RefUpdate{{Ref: refOf(s.req.Push), Old: s.old, New: made}}
	more, err := s.also(made)
	if err != nil {
		s.result.Commits = nil
		return nil, err
	}
	updates = append(updates, more...)
	if err := s.mirror.Push(ctx, s.req.Options, updates...); err != nil {
		err = &pushError{err, s.result.Commits}
		s.result.Commits = nil
		return nil, err
	}
	return updates, nil
}

// pushBack sets the push branch to the checkout.
func (s *survey) pushBack(ctx context.Context, visit *visit) error {
	update := git.RefUpdate{Ref: refOf(s.req.Push), Old: s.old, New: s.source.Commit}
	if err := s.mirror.Push(ctx, s.req.Options, update); err != nil {
		return fmt.Errorf("setting branch %s to %s: %w", s.req.Push, s.source.Commit, err)
	}
	visit.moved([]git.RefUpdate{update})
	s.result.Withdrawn = s.old
	return nil
}

// also is what the refspec pushes besides. The mirror has no history to look a
// destination up in, so that one which is neither new, nor among the commits
// around the base, nor what was pushed last, might be replaced by its loss.
func (s *survey) also(made plumbing.Hash) ([]git.RefUpdate, error) {
	target := s.req.Refspec.Target
	if target == "" || target == refOf(s.req.Push) {
		return nil, nil
	}
	if s.req.Refspec.Source == s.source.Ref && !s.samePlace() {
		made = s.source.Commit // the refspec pushes what was checked out
	}
	at := s.refs[target]
	known := append([]plumbing.Hash{plumbing.ZeroHash, made, s.base.Commit(), s.req.Last.Push}, s.base.Parents()...)
	if s.samePlace() {
		known = append(known, s.req.Last.Source)
	}
	if !slices.Contains(known, at) {
		return nil, fmt.Errorf("pushing to %s, which is at %s: %w", target, at, ErrDiverged)
	}
	return []git.RefUpdate{{Ref: target, Old: at, New: made}}, nil
}

// pushed is the result after the push.
func (s *survey) pushed() Result {
	last := s.result.Commits[len(s.result.Commits)-1]
	s.result.Commit, s.result.Message, s.result.Changed = last.Hash, last.Message, s.planned.Changed
	if s.samePlace() {
		s.result.Source = last.Hash
	}
	return s.result
}
