// SPDX-License-Identifier: Apache-2.0

package build

import (
	"errors"
	"fmt"
)

// ErrTooLarge says that a build comes to more than a build may. The same commit
// will come to the same again.
var ErrTooLarge = errors.New("the build is too large")

// Bounds is what a build may come to at most. Files that several bases share are
// counted as often as kustomize reads them, which is what their cost depends on.
// A zero field is its default.
type Bounds struct {
	// Objects that are read or built; default 10,000.
	Objects int64
	// Bases is how often a kustomization.yaml is read; default 10,000.
	Bases int64
	// Nesting is how many kustomizations refer to one another in a row; default 50.
	Nesting int
	// Files is how many files are read; default 20,000.
	Files int64
	// FileBytes is the size of one file, Bytes that of all; default 16 and 64 MiB.
	FileBytes, Bytes int64
	// DocumentNodes is how many keys, values and list items one YAML document has,
	// Nodes how many all have, with aliases written out; default 500,000 and two
	// millions.
	DocumentNodes, Nodes int64
	// Aliased is how many values the aliases of one document may stand for; default
	// 50,000.
	Aliased int64
	// Depth is how deep lists and maps are nested in a document; default 250.
	Depth int
	// Substituted is the size of one object with its variables replaced; default
	// 4 MiB, which is more than the API server takes.
	Substituted int64
}

func (b Bounds) withDefaults() Bounds {
	fill(&b.Objects, 10_000)
	fill(&b.Bases, 10_000)
	fill(&b.Nesting, 50)
	fill(&b.Files, 20_000)
	fill(&b.FileBytes, 16<<20)
	fill(&b.Bytes, 64<<20)
	fill(&b.DocumentNodes, 500_000)
	fill(&b.Nodes, 2_000_000)
	fill(&b.Aliased, 50_000)
	fill(&b.Depth, 250)
	fill(&b.Substituted, 4<<20)
	return b
}

func fill[N int | int64](field *N, value N) {
	if *field == 0 {
		*field = value
	}
}

// tooLarge names the bound that a build is beyond, and what would help.
func tooLarge[N int | int64](limit N, what, remedy string) error {
	return fmt.Errorf("%w: more than %d %s; %s", ErrTooLarge, limit, what, remedy)
}

const split = "split it into several Kustomizations"
