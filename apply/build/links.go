// SPDX-License-Identifier: Apache-2.0

package build

import (
	"errors"

	"github.com/sluice-cd/sluice/internal/tree"
)

// maxNames bounds the names that one build looks up along symbolic links.
const maxNames = 2_000_000

func linksOf(t tree.Tree) *tree.Links { return &tree.Links{In: t, Names: maxNames} }

// statEntry returns what is at a path of a tree, the zero entry when there is nothing, and
// where it really is. Links within the tree are followed, as they are in a checkout;
// submodules and links to nothing count as absent. One that leads out of the tree is an
// error.
func statEntry(links *tree.Links, name string) (tree.Entry, string, error) {
	at, err := links.Follow(name)
	switch {
	case errors.Is(err, tree.ErrTooManyNames):
		return tree.Entry{}, name, tooLarge(maxNames, "names along symbolic links", "link less")
	case err != nil && tree.LeadsNowhere(err) && !errors.Is(err, tree.ErrLeaves):
		return tree.Entry{}, name, nil
	case err != nil || kindOf(at.Entry) == absent:
		return tree.Entry{}, name, err
	}
	return at.Entry, at.Path, nil
}
