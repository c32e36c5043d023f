package writeback

import (
	"context"
	"maps"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// takenBack finds the updates that were there when the last run ended and are
// not there any more though their policies still stand for the same images: the
// work of someone who did not want them. To write them again would be a quarrel,
// which two clusters would carry on for as long as they run.
//
// A marker that was not there before, or had another value, is no such work; nor
// is a branch that was set back to an older commit, from which all is to be done
// again. What the last run left has to be known to tell: a mirror that was lost,
// and a remote that does not hand out older commits, leave no such evidence.
func (s *survey) takenBack(ctx context.Context, before plumbing.Hash, marked []File) []Undone {
	suspects := s.suspects()
	if len(suspects) == 0 || before.IsZero() || before == s.base.Commit() {
		return nil
	}
	if !s.mirror.Has(before) && s.mirror.Fetch(ctx, before.String(), before) != nil {
		return nil
	}
	then, err := s.mirror.Tree(before)
	if err != nil || setBack(then, s.base) {
		return nil
	}
	was, err := s.index.Marked(ctx, then, s.req.Path, s.req.Policies.Namespace)
	if err != nil {
		return nil // the path was not there
	}
	var undone []Undone
	for _, policy := range slices.Sorted(maps.Keys(lost(was, marked, s.req.Policies.images()))) {
		if suspects[policy] {
			undone = append(undone, Undone{
				Policy: policy, Image: s.req.Policies.Chosen[policy],
				Reverted: s.author(ctx, policy), By: s.base.Commit(),
			})
		}
	}
	return undone
}

// author is the last pushed commit, if the image of a policy is in it.
func (s *survey) author(ctx context.Context, policy string) plumbing.Hash {
	pushed, err := s.mirror.Tree(s.req.Last.Push)
	if err != nil {
		return plumbing.ZeroHash
	}
	marked, err := s.index.Marked(ctx, pushed, s.req.Path, s.req.Policies.Namespace)
	if err != nil {
		return plumbing.ZeroHash
	}
	for at, t := range count(marked, s.req.Policies.images()) {
		if at.setter.Policy == policy && t.current > 0 {
			return s.req.Last.Push
		}
	}
	return plumbing.ZeroHash
}

// suspects are the policies whose last choice would be written again.
func (s *survey) suspects() map[string]bool {
	suspects := map[string]bool{}
	for _, o := range s.planned.Changed.setters() {
		image, known := s.req.Last.Choices[o]
		if known && image == s.req.Policies.Chosen[o] {
			suspects[o] = true
		}
	}
	return suspects
}

// setBack reports whether a branch went from one commit to an older one. The
// mirror has no history; a child tells its parent, and else time tells.
func setBack(from, to *git.CommitTree) bool {
	if slices.Contains(to.Parents(), from.Commit()) {
		return false
	}
	return to.Info().Committer.When.Before(from.Info().Committer.When)
}

// place is where a marker is, as far as that can be told when lines move.
type place struct {
	file   string
	setter edit.Setter
	object edit.Object
}

// tally counts the markers of a place, and those that are up to date.
type tally struct{ all, current int }

// lost are the policies of markers that were up to date and are not any more.
// Where markers were added or removed as well, the others get the benefit of the
// doubt.
func lost(was, is []File, images edit.Images) map[string]bool {
	before, after := count(was, images), count(is, images)
	policies := map[string]bool{}
	for at, then := range before {
		now := after[at]
		removed := max(0, then.all-now.all)
		if now.current < then.current-removed {
			policies[at.setter.Policy] = true
		}
	}
	return policies
}

func count(files []File, images edit.Images) map[place]tally {
	counts := map[place]tally{}
	for _, file := range files {
		for _, o := range edit.Plan(file.Markers, images) {
			if o.Skip != "" {
				continue
			}
			at := place{file.Path, o.Setter, o.Object}
			t := counts[at]
			t.all++
			if !o.Changed() {
				t.current++
			}
			counts[at] = t
		}
	}
	return counts
}
