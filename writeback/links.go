// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/writeback/edit"
)

const (
	// maxLinks bounds the symlinks that one run looks at.
	maxLinks = 1000
	// maxNames bounds the names that one run looks up along links.
	maxNames = 100_000
)

// ErrLink means that the path is a symlink, or leads through one. What is behind it
// belongs to another path, perhaps of someone else.
var ErrLink = errors.New("it is a symlink, which is not followed")

// linkError says what to name instead of a path that is a symlink or leads through one,
// which no tree follows; nil if the path does neither.
func linkError(files Files, links *tree.Links, name string) error {
	parts, err := tree.Split(name)
	if err != nil {
		return nil // whoever looks at the path says so
	}
	for i := range parts {
		link := path.Join(parts[:i+1]...)
		at, err := files.Stat(link)
		switch {
		case err != nil:
			return nil // likewise
		case at.Mode != tree.Symlink:
			continue
		}
		err = ErrLink
		if i < len(parts)-1 {
			err = fmt.Errorf("%q leads there: %w", link, ErrLink)
		}
		target, nowhere := links.Follow(name)
		if nowhere != nil {
			return fmt.Errorf("%w: name what it points to", err)
		}
		return fmt.Errorf("%w: name what it points to, %q", err, target.Path)
	}
	return nil
}

// follow reports the symlinks that have markers behind them which are not looked at
// where they are: outside of the root, or in files of other names.
func (s *search) follow(ctx context.Context, root string) error {
	for _, name := range s.linked {
		why, err := s.behind(ctx, root, name)
		if err != nil {
			return err
		}
		if why == "" {
			continue
		}
		if _, err := s.skip(name, why); err != nil {
			return err
		}
	}
	if len(s.linked) > 0 {
		slices.SortStableFunc(s.found, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	}
	return nil
}

// maxResolved bounds the links that one run follows: those behind links too.
const maxResolved = 2 * maxLinks

// behind says why the markers behind a link are not looked at, and nothing where
// there are none. Behind a link to a folder there may be further links.
func (s *search) behind(ctx context.Context, root, name string) (edit.Reason, error) {
	seen := map[string]bool{}
	for links := []string{name}; len(links) > 0 && s.resolved < maxResolved; links = links[1:] {
		s.resolved++
		at, err := s.links.Follow(links[0])
		switch target := at.Path; {
		case tree.LeadsNowhere(err), errors.Is(err, tree.ErrTooManyNames), err == nil && seen[target]:
			continue
		case err != nil:
			return "", fmt.Errorf("following the symlink %s: %w", links[0], err)
		}
		target := at.Path
		seen[target] = true
		inside := root == "." || target == root || strings.HasPrefix(target, root+"/")
		if inside && (at.Mode == tree.Dir || isYAML(path.Base(target))) {
			continue
		}
		further, marked, err := s.marksAt(ctx, links[0], target, at.Entry)
		switch {
		case err != nil:
			return "", err
		case marked && inside:
			return LinkedName, nil
		case marked:
			return Linked, nil
		}
		links = append(links, further...)
	}
	return "", nil
}

// marksAt tells whether there are markers at or below the target of a link, and what
// links there are.
func (s *search) marksAt(ctx context.Context, name, target string, at tree.Entry) (links []string, marked bool, err error) {
	behind := s.index.search(s.files, s.namespace)
	switch {
	case at.Mode == tree.Dir:
		_, err = behind.directory(ctx, target, at.Hash)
	case at.Mode.IsFile() && (isYAML(path.Base(name)) || isYAML(path.Base(target))):
		_, err = behind.file(ctx, target, at.Hash)
	}
	marked = slices.ContainsFunc(behind.found, func(f File) bool { return len(f.Markers) > 0 || f.Skip == OtherName })
	return behind.linked, marked, err
}
