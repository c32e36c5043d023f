// SPDX-License-Identifier: Apache-2.0

package tree

import "path"

// Changed lists the paths at which two trees differ: files, and directories that only one
// of them has. Only directories with different hashes are read. It is false if there are
// more than most.
func Changed(a, b Tree, most int) (paths []string, ok bool, err error) {
	c := changes{a: a, b: b, most: most}
	if err := c.below(""); err != nil {
		return nil, false, err
	}
	return c.paths, len(c.paths) <= most, nil
}

type changes struct {
	a, b  Tree
	most  int
	paths []string
}

func (c *changes) below(dir string) error {
	left, err := c.a.ReadDir(dir)
	if err != nil {
		return err
	}
	right, err := c.b.ReadDir(dir)
	if err != nil {
		return err
	}
	for len(left)+len(right) > 0 && len(c.paths) <= c.most {
		switch {
		case len(right) == 0 || len(left) > 0 && left[0].Name < right[0].Name:
			c.paths, left = append(c.paths, path.Join(dir, left[0].Name)), left[1:]
		case len(left) == 0 || right[0].Name < left[0].Name:
			c.paths, right = append(c.paths, path.Join(dir, right[0].Name)), right[1:]
		default:
			if err := c.entry(path.Join(dir, left[0].Name), left[0], right[0]); err != nil {
				return err
			}
			left, right = left[1:], right[1:]
		}
	}
	return nil
}

func (c *changes) entry(name string, l, r Entry) error {
	switch {
	case l == r:
		return nil
	case l.Mode == Dir && r.Mode == Dir:
		return c.below(name)
	}
	c.paths = append(c.paths, name)
	return nil
}
