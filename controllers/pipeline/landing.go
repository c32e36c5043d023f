// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"time"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/promotion"
)

// Bounds of the way back to the commit that brought the values of a target: commits that are
// looked at, and those of them that have to be fetched, one request each.
const (
	mostWalkedBack  = 200
	mostFetchedBack = 10
)

// origin notes by which commit a target got what it has. It is looked for when that is news: the
// state has the commits of landings that are known. What a stage has that nobody looked at before
// was seen at the head; nobody knows since when it is there.
func (s stageReader) origin(ctx context.Context, t target, head *git.CommitTree, seen *promotion.TargetObservation) error {
	kept := s.state.Stages[t.stage]
	before, had := kept.Has[t.name]
	isGone := kept.Writing != nil && seen.Wrote == kept.Writing.Bundle // somebody took out what was just written
	b, _ := s.state.Bundle(before)
	isKnown := had && seen.Content.Is(b) && !isGone
	if isKnown || seen.Content.Problem != "" || len(seen.Content.Versions) == 0 {
		return nil
	}
	at := head
	if len(kept.Landings) > 0 {
		var err error
		if at, err = s.broughtBy(ctx, t, head, seen.Content); err != nil || at == nil {
			return err
		}
	}
	seen.Commit, seen.By, seen.At = at.Commit().String(), at.Info().Author.Name, at.Info().Committer.When
	seen.Ours = s.isOurs(t, at)
	return nil
}

// isOurs reports whether a commit was made by us.
func (s stageReader) isOurs(t target, at *git.CommitTree) bool {
	return at.Info().Author.Email == s.repos[t.stage].author.Email
}

// mostTakenOut is how many commits somebody may have made to a target after ours.
const mostTakenOut = 5

// wroteLast is the bundle that we wrote to a target last. A process that was started since then
// finds it in Git: who took it out meanwhile wins, and it is not written once more.
func (s stageReader) wroteLast(ctx context.Context, t target, head *git.CommitTree, has promotion.Content) (string, error) {
	key, w := targetKey{t.stage, t.name}, s.state.Stages[t.stage].Writing
	if _, known := s.wrote[key]; known || w == nil || has.Problem != "" {
		return s.wrote.since(key, w), nil
	}
	b, _ := s.state.Bundle(w.Bundle)
	var last writtenBundle
	at := head
	for n := 0; n < mostTakenOut && last.bundle == "" && at != nil; n++ {
		brought, err := s.broughtBy(ctx, t, at, has)
		if err != nil {
			return "", err
		}
		if brought == nil {
			break
		}
		if s.isOurs(t, brought) && has.Is(b) && !brought.Info().Committer.When.Before(w.At.Truncate(time.Second)) {
			last = writtenBundle{w.Bundle, w.At}
		}
		if at, has, err = s.contentBefore(ctx, t, brought); err != nil {
			return "", err
		}
	}
	s.wrote[key] = last
	return last.bundle, nil
}

// contentBefore is what a target had before a commit.
func (s stageReader) contentBefore(ctx context.Context, t target, at *git.CommitTree) (*git.CommitTree, promotion.Content, error) {
	parents := at.Parents()
	if len(parents) == 0 || !s.repos[t.stage].mirror.Has(parents[0]) {
		return nil, promotion.Content{}, nil
	}
	parent, err := s.repos[t.stage].mirror.Tree(parents[0])
	if err != nil {
		return nil, promotion.Content{}, err
	}
	had, err := s.contents.read(ctx, parent, t)
	return parent, had, err
}

// broughtBy is the commit by which a target got what it has: the first on the way back from the
// head, along first parents, whose parent has something else. Files are read only where those below
// the path differ. It is nil if that is further back than is looked, or than the remote tells.
func (s stageReader) broughtBy(ctx context.Context, t target, head *git.CommitTree, has promotion.Content) (*git.CommitTree, error) {
	mirror := s.repos[t.stage].mirror
	at, fetched := head, 0
	files, err := head.Hash(t.path)
	if err != nil {
		return nil, err
	}
	for range mostWalkedBack {
		parents := at.Parents()
		if len(parents) == 0 {
			return at, nil
		}
		if !mirror.Has(parents[0]) {
			if fetched++; fetched > mostFetchedBack || mirror.Fetch(ctx, parents[0].String(), parents[0]) != nil {
				return nil, ctx.Err()
			}
		}
		parent, err := mirror.Tree(parents[0])
		if err != nil {
			return nil, err
		}
		were, err := parent.Hash(t.path)
		if err != nil {
			return nil, err
		}
		if were != files {
			had, err := s.contents.read(ctx, parent, t)
			if err != nil || !had.Same(has) {
				return at, err
			}
			files = were
		}
		at = parent
	}
	return nil, nil
}
