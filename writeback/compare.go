// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"path"

	"github.com/sluice-cd/sluice/internal/tree"
)

// sameExcept reports whether b equals a except for the given files, which have the
// given contents in b. Only directories with different hashes are read.
func sameExcept(a, b tree.Tree, changes map[string][]byte) (bool, error) {
	c := treeComparison{a: a, b: b, changes: changes}
	same, err := c.directory("")
	return same && c.seen == len(changes), err
}

type treeComparison struct {
	a, b    tree.Tree
	changes map[string][]byte
	seen    int
}

func (c *treeComparison) directory(dir string) (bool, error) {
	left, err := c.a.ReadDir(dir)
	if err != nil {
		return false, err
	}
	right, err := c.b.ReadDir(dir)
	if err != nil || len(left) != len(right) {
		return false, err
	}
	for i, l := range left {
		same, err := c.entry(path.Join(dir, l.Name), l, right[i])
		if err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

func (c *treeComparison) entry(name string, l, r tree.Entry) (bool, error) {
	switch content, edited := c.changes[name]; {
	case l.Name != r.Name || l.Mode != r.Mode:
		return false, nil
	case edited:
		c.seen++
		return r.Hash == tree.BlobHash(content), nil
	case l.Hash == r.Hash:
		return true, nil
	case l.Mode == tree.Dir:
		return c.directory(name)
	}
	return false, nil
}
