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

// target is what a symlink points to, from the root of the tree.
func (s *search) target(name string) (string, error) {
	content, err := s.files.ReadFile(name)
	if err != nil {
		return "", err
	}
	target := string(content)
	if path.IsAbs(target) || len(target) > maxTarget {
		return "", fmt.Errorf("%s points out of the repository", name)
	}
	target = path.Join(path.Dir(name), target)
	if target == ".." || strings.HasPrefix(target, "../") {
		return "", fmt.Errorf("%s points out of the repository", name)
	}
	return target, nil
}

// maxTarget is the longest path of a symlink that an operating system takes.
const maxTarget = 4096

// follow reports the symlinks that have markers behind them, outside of the root:
// those inside are looked at where they are. Links behind links are not followed.
func (s *search) follow(ctx context.Context, root string) error {
	links := s.links
	for _, name := range links {
		target, err := s.target(name)
		if err != nil || root == "." || target == root || strings.HasPrefix(target, root+"/") {
			continue
		}
		marked, err := s.marksBehind(ctx, name, target)
		if err != nil {
			return err
		}
		if marked {
			_, _ = s.skip(name, Linked)
		}
	}
	if len(links) > 0 {
		slices.SortStableFunc(s.found, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	}
	return nil
}

// marksBehind tells whether there are markers at or below the target of a link.
func (s *search) marksBehind(ctx context.Context, name, target string) (bool, error) {
	at, err := s.files.Stat(target)
	if err != nil {
		return false, nil // it points to nothing
	}
	behind := search{index: s.index, files: s.files, namespace: s.namespace}
	switch {
	case at.Mode == tree.Dir:
		_, err = behind.directory(ctx, target, at.Hash)
	case at.Mode.IsFile() && (mayHoldMarkers(path.Base(name)) || mayHoldMarkers(path.Base(target))):
		_, err = behind.file(ctx, target, at.Hash)
	}
	marked := slices.ContainsFunc(behind.found, func(f File) bool { return len(f.Markers) > 0 })
	return marked, err
}
