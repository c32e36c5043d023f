// SPDX-License-Identifier: Apache-2.0

package git

import (
	"fmt"

	"github.com/sluice-cd/sluice/internal/tree"
)

// What a commit may hold. Ten directories that each hold the next one ten times
// are a few hundred bytes and ten thousand million paths, so that neither the
// size of a repository nor the number of its objects bounds a walk through it.
const (
	maxFiles = 1 << 20
	// maxName and maxPath are what Linux allows, where all this is unpacked.
	maxName = 255
	maxPath = 4096
)

// subtreeSize is what is below a directory: how many paths, and the length of the
// longest. It does not depend on where the directory is.
type subtreeSize struct {
	paths, longest int
}

// measure refuses a commit that is too large to walk through. What is below a
// directory is counted once however often it is there, and remembered with the
// directory, so that the next commit costs what is new in it.
func (t *CommitTree) measure() error {
	_, err := t.sizeOf(t.commit.TreeHash.String(), 0)
	return err
}

// sizeOf measures a directory whose own path has above bytes. It gives up as soon
// as something is too large, which bounds its work whatever is remembered.
func (t *CommitTree) sizeOf(hash string, above int) (subtreeSize, error) {
	if above > maxPath {
		return subtreeSize{}, tooLong(above)
	}
	known, measured := t.trees.size(hash)
	if !measured {
		entries, err := t.dir(hash)
		if err != nil {
			return subtreeSize{}, err
		}
		if known, err = t.sum(entries, above); err != nil {
			return subtreeSize{}, err
		}
		t.trees.setSize(hash, known)
	}
	if above+known.longest > maxPath {
		return subtreeSize{}, tooLong(above + known.longest)
	}
	return known, nil
}

func tooLong(path int) error {
	return fmt.Errorf("%w: a path of %d bytes or more, of which %d are allowed", ErrTree, path, maxPath)
}

// sum adds up the entries of a directory whose own path has above bytes.
func (t *CommitTree) sum(entries []tree.Entry, above int) (subtreeSize, error) {
	total := subtreeSize{paths: len(entries)}
	for _, e := range entries {
		length := len(e.Name)
		if e.Mode == tree.Dir {
			below, err := t.sizeOf(e.Hash, above+len(e.Name)+1)
			if err != nil {
				return subtreeSize{}, err
			}
			if total.paths += below.paths; total.paths > maxFiles {
				return subtreeSize{}, fmt.Errorf("%w: more than %d paths", ErrTree, maxFiles)
			}
			length += 1 + below.longest
		}
		total.longest = max(total.longest, length)
	}
	return total, nil
}
