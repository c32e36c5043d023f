// SPDX-License-Identifier: Apache-2.0

package build

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/sluice-cd/sluice/internal/tree"
)

// errLeaves marks a symbolic link that leads out of the source.
var errLeaves = errors.New("the link leads out of the source")

const (
	// maxHops is how many links one path may go through, as for Linux.
	maxHops = 40
	// maxTarget is how long the target of a link may be, as for Linux.
	maxTarget = 4096
)

// look returns what is at a path of the tree, the zero entry when there is nothing,
// and where it really is. Relative links within the tree are followed, as they are
// in a checkout; submodules and links to nothing count as absent.
func look(t tree.Tree, name string) (tree.Entry, string, error) {
	for range maxHops {
		e, err := stat(t, name)
		if err != nil || kindOf(e) != absent {
			return e, name, err
		}
		link, rest, err := firstLink(t, name, e)
		if err != nil || link == "" {
			return tree.Entry{}, name, err
		}
		if name, err = follow(t, link, rest); err != nil {
			return tree.Entry{}, name, err
		}
	}
	return tree.Entry{}, name, nil
}

// stat is a tree's Stat to whom absence is no error.
func stat(t tree.Tree, name string) (tree.Entry, error) {
	e, err := t.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, tree.ErrNotDir) || errors.Is(err, fs.ErrInvalid) {
		return tree.Entry{}, nil
	}
	return e, err
}

// firstLink returns the first symbolic link on the way to a path that is itself
// absent or a link, and what comes after it; "" when there is none.
func firstLink(t tree.Tree, name string, at tree.Entry) (link, rest string, err error) {
	if at.Mode == tree.Symlink {
		return name, "", nil
	}
	dir := path.Dir(name)
	if dir == "." || at.Mode != 0 {
		return "", "", nil
	}
	if e, err := stat(t, dir); err != nil || e.Mode == tree.Dir {
		return "", "", err // the way is clear, the end is absent
	}
	parts := strings.Split(name, "/")
	for i := range parts {
		link = path.Join(parts[:i+1]...)
		e, err := stat(t, link)
		switch {
		case err != nil:
			return "", "", err
		case e.Mode == tree.Symlink:
			return link, path.Join(parts[i+1:]...), nil
		case e.Mode != tree.Dir:
			return "", "", nil
		}
	}
	return "", "", nil
}

// follow returns the path that a link stands for, with what came after it.
func follow(t tree.Tree, link, rest string) (string, error) {
	data, err := t.ReadFile(link)
	if err != nil {
		return "", err
	}
	target := string(data)
	if len(target) > maxTarget || target == "" {
		return "", fmt.Errorf("%s: %w", link, errLeaves)
	}
	name := path.Join(path.Dir(link), target, rest)
	through := path.Join(path.Dir(link), target)
	if path.IsAbs(target) || through == ".." || strings.HasPrefix(through, "../") || name == ".." || strings.HasPrefix(name, "../") {
		return "", fmt.Errorf("%s -> %.100s: %w", link, target, errLeaves)
	}
	return name, nil
}
