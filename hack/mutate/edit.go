// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"slices"
)

// edits are what changes in the text of a file: text is put before and behind nodes, and operators
// are replaced. They are made in the order in which the syntax is walked, the outer node first, which
// is how those at one place nest.
type edits []edit

type edit struct {
	id   int // of the mutant
	at   int // the offset in the source
	kind editKind
	skip int // so many bytes of the source are left out
	text string
}

// editKind orders edits at one offset: what ends there comes before what begins there.
type editKind int

const (
	behind editKind = iota
	before
	instead
)

func (e *edits) wrap(id, from, to int, prefix, suffix string) {
	*e = append(*e, edit{id: id, at: from, kind: before, text: prefix}, edit{id: id, at: to, kind: behind, text: suffix})
}

func (e *edits) insert(id, at int, text string) {
	*e = append(*e, edit{id: id, at: at, kind: before, text: text})
}

func (e *edits) replace(id, at, length int, text string) {
	*e = append(*e, edit{id: id, at: at, kind: instead, skip: length, text: text})
}

// apply returns the source with the edits.
func (e edits) apply(source []byte) []byte {
	ordered := slices.Clone(e)
	slices.Reverse(ordered) // the inner node's end comes first
	slices.SortStableFunc(ordered, func(a, b edit) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.kind, b.kind))
	})
	var out bytes.Buffer
	done := 0
	for len(ordered) > 0 {
		end := 1
		for end < len(ordered) && ordered[end].at == ordered[0].at && ordered[end].kind == ordered[0].kind {
			end++
		}
		group := ordered[:end]
		ordered = ordered[end:]
		if group[0].kind == before {
			slices.Reverse(group) // the outer node's begin comes first
		}
		for _, g := range group {
			out.Write(source[done:g.at])
			out.WriteString(g.text)
			done = g.at + g.skip
		}
	}
	out.Write(source[done:])
	return out.Bytes()
}
