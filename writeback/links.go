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

// maxLinks bounds the symlinks that one run looks at.
const maxLinks = 1000

// ErrLink means that the path is a symlink. What is behind it belongs to another
// path, perhaps of someone else.
var ErrLink = errors.New("it is a symlink, which is not followed")

// link is the error for a root that is a symlink.
func (s *search) link(name string) error {
	target, err := s.target(name)
	if err != nil {
		return fmt.Errorf("%w: name what it points to", ErrLink)
	}
	return fmt.Errorf("%w: name what it points to, %q", ErrLink, target)
}

// target is what a symlink points to, from the root of the tree: at the end of all
// the links that it leads through.
func (s *search) target(name string) (string, error) {
	target, _, err := s.resolve(name)
	return target, err
}

// Why a link leads to nothing that is looked at.
var (
	errOutside = errors.New("it points out of the repository")
	errLoop    = errors.New("it leads through more links than an operating system follows")
)

// maxHops is how many links a path may lead through, as on Linux.
const maxHops = 40

// maxSteps bounds the names that one run looks up along links. A target may have some
// 2000 of them, and every one may be a link.
const maxSteps = 100_000

// resolve follows a symlink and all that its target leads through, those of folders
// included, as an operating system does.
func (s *search) resolve(name string) (string, tree.Entry, error) {
	at, entry := path.Dir(name), tree.Entry{Mode: tree.Dir}
	left := []string{path.Base(name)}
	for hops := 0; len(left) > 0; {
		part := left[0]
		left = left[1:]
		if s.steps++; s.steps > maxSteps {
			return "", tree.Entry{}, errLoop
		}
		switch {
		case part == "" || part == ".":
			continue
		case part == ".." && at == ".":
			return "", tree.Entry{}, errOutside
		case part == "..":
			at, entry = path.Dir(at), tree.Entry{Mode: tree.Dir}
			continue
		}
		next := path.Join(at, part)
		found, err := s.files.Stat(next)
		if err != nil {
			return "", tree.Entry{}, err
		}
		if found.Mode != tree.Symlink {
			at, entry = next, found
			continue
		}
		if hops++; hops > maxHops {
			return "", tree.Entry{}, errLoop
		}
		content, err := s.files.ReadFile(next)
		if err != nil {
			return "", tree.Entry{}, err
		}
		if target := string(content); path.IsAbs(target) || len(target) > maxTarget {
			return "", tree.Entry{}, errOutside
		}
		left = append(strings.Split(string(content), "/"), left...)
	}
	return at, entry, nil
}

// maxTarget is the longest path of a symlink that an operating system takes.
const maxTarget = 4096

// follow reports the symlinks that have markers behind them which are not looked at
// where they are: outside of the root, or in files of other names.
func (s *search) follow(ctx context.Context, root string) error {
	for _, name := range s.links {
		why, err := s.behind(ctx, root, name)
		if err != nil {
			return err
		}
		if why != "" {
			_, _ = s.skip(name, why)
		}
	}
	if len(s.links) > 0 {
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
		target, at, err := s.resolve(links[0])
		if err != nil || seen[target] {
			continue // it points to nothing, or to what was looked at
		}
		seen[target] = true
		inside := root == "." || target == root || strings.HasPrefix(target, root+"/")
		if inside && (at.Mode == tree.Dir || isYAML(path.Base(target))) {
			continue
		}
		further, marked, err := s.marksAt(ctx, links[0], target, at)
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
	behind := search{index: s.index, files: s.files, namespace: s.namespace}
	switch {
	case at.Mode == tree.Dir:
		_, err = behind.directory(ctx, target, at.Hash)
	case at.Mode.IsFile() && (isYAML(path.Base(name)) || isYAML(path.Base(target))):
		_, err = behind.file(ctx, target, at.Hash)
	}
	marked = slices.ContainsFunc(behind.found, func(f File) bool { return len(f.Markers) > 0 || f.Skip == OtherName })
	return behind.links, marked, err
}
