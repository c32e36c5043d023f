// SPDX-License-Identifier: Apache-2.0

package build

import (
	"errors"
	"maps"
	"slices"

	"github.com/sluice-cd/sluice/internal/tree"
)

// Reads is what a build found in its tree, by path: what kind of thing was
// there where it only looked, the content hash where it read or listed.
type Reads map[string]string

// What a path can answer to a build that only looks whether it is there.
const (
	absent = "absent"
	isFile = "file"
	isDir  = "dir"
)

// AnsweredBy reports whether t gives the answers that were recorded, in which
// case a build from t would come to the same objects. The first path that
// answers differently is returned beside false.
func (r Reads) AnsweredBy(t tree.Tree) (changed string, same bool, err error) {
	links := linksOf(t)
	for _, name := range slices.Sorted(maps.Keys(r)) {
		e, _, err := statEntry(links, name)
		if errors.Is(err, tree.ErrLeaves) || errors.Is(err, ErrTooLarge) {
			return name, false, nil
		}
		if err != nil {
			return name, false, err
		}
		was := r[name]
		if is := kindOf(e); was != is && was != hashOf(e) {
			return name, false, nil
		}
	}
	return "", true, nil
}

// probe notes that the build saw what kind of thing is at name.
func (r Reads) probe(name string, e tree.Entry) {
	if _, known := r[name]; !known {
		r[name] = kindOf(e)
	}
}

// read notes that the build depends on all that is at name.
func (r Reads) read(name string, e tree.Entry) { r[name] = hashOf(e) }

func kindOf(e tree.Entry) string {
	switch {
	case e.Mode == tree.Dir:
		return isDir
	case e.Mode.IsFile():
		return isFile
	}
	return absent
}

func hashOf(e tree.Entry) string {
	if kindOf(e) == absent {
		return absent
	}
	return kindOf(e) + ":" + e.Hash
}
