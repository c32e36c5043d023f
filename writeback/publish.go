// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"context"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/git"
)

// publish commits what is proposed and pushes it.
func (a attempt) publish(ctx context.Context, p plannedPush) (Result, error) {
	result := p.result
	commits, err := a.commit(ctx, p)
	if err != nil || len(commits) == 0 {
		return result, err
	}
	last := commits[len(commits)-1]
	updates, err := a.updates(p, last.Hash)
	if err != nil {
		return result, err
	}
	if a.req.BeforePush != nil && !result.Base.IsZero() {
		if err := a.req.BeforePush(ctx, last.Hash, result); err != nil {
			return result, err
		}
	}
	if err := a.mirror.Push(ctx, a.req.Options, updates...); err != nil {
		return result, &pushError{err, commits}
	}
	a.session.recordPush(updates)
	result.Commits, result.Commit, result.Message, result.Changed = commits, last.Hash, last.Message, p.planned.Changed
	if a.pushesCheckout(p) {
		result.Source = last.Hash
	}
	return result, nil
}

// commit writes the planned changes into the mirror: all at once, or each part on top
// of the one before.
func (a attempt) commit(ctx context.Context, p plannedPush) ([]Commit, error) {
	parts := p.edits.Split(p.planned)
	if len(parts) == 0 {
		made, err := a.write(ctx, p.base.Commit(), p.planned)
		if err != nil {
			return nil, err
		}
		return []Commit{made}, nil
	}
	var commits []Commit
	base := p.base.Commit()
	for _, part := range parts {
		files, err := a.mirror.Tree(base)
		if err != nil {
			return nil, err
		}
		planned, err := part.Plan(ctx, a.index, files)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUpdate, err)
		}
		if len(planned.Contents) == 0 {
			continue
		}
		made, err := a.write(ctx, base, planned)
		if err != nil {
			return nil, err
		}
		commits, base = append(commits, made), made.Hash
	}
	return commits, nil
}

func (a attempt) write(ctx context.Context, base plumbing.Hash, p Planned) (Commit, error) {
	message, err := a.req.Message(ctx, p.Changed)
	if err != nil {
		return Commit{}, err
	}
	author := a.req.Author
	author.When = a.clock.Now()
	hash, err := a.mirror.Write(ctx, base, p.Contents, git.CommitInfo{
		Author: author, Committer: author, Message: message, Signer: a.req.Signer,
	})
	if err != nil {
		return Commit{}, fmt.Errorf("writing a commit on %s: %w", base, err)
	}
	return Commit{Hash: hash, Message: message, Changed: p.Changed}, nil
}

// updates move the push branch to what was made, and the refspec's target with it.
func (a attempt) updates(p plannedPush, made plumbing.Hash) ([]git.RefUpdate, error) {
	updates := []git.RefUpdate{{Ref: branchRef(a.req.Push), Old: p.tip, New: made}}
	spec := a.req.Refspec
	if spec.Target == "" || spec.Target == branchRef(a.req.Push) {
		return updates, nil
	}
	to := made
	known := append([]plumbing.Hash{p.base.Commit(), a.req.Last.Push}, p.base.Parents()...)
	switch {
	case a.pushesCheckout(p):
		known = append(known, a.req.Last.Source)
	case spec.Source == p.source.Ref:
		to = p.source.Commit // the refspec pushes what was checked out
	}
	also, err := spec.update(to, refspecTarget{head: a.refs[spec.Target], known: known})
	if err != nil {
		return nil, err
	}
	return append(updates, also), nil
}

// resetPushBranch sets the push branch to the checkout.
func (a attempt) resetPushBranch(ctx context.Context, p plannedPush) (Result, error) {
	result := p.result
	update := git.RefUpdate{Ref: branchRef(a.req.Push), Old: p.tip, New: p.source.Commit}
	if err := a.mirror.Push(ctx, a.req.Options, update); err != nil {
		return result, fmt.Errorf("setting branch %s to %s: %w", a.req.Push, p.source.Commit, err)
	}
	a.session.recordPush([]git.RefUpdate{update})
	result.Withdrawn = p.tip
	return result, nil
}
