// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"slices"
	"strings"
	"time"

	"github.com/sluice-cd/sluice/internal/registry"
)

// listing is what a registry answered: all tags of one image, as one credential
// sees them. Every ImageRepository that asks for both shares it. It is immutable.
type listing struct {
	id   registry.ID
	at   time.Time // when the registry said so last
	tags *tagset
	// asked is when the first request of it was sent; zero if it is from the disk. One that
	// was asked for before is not newer, though its answers came later.
	asked time.Time

	// The first-seen clock: epochs are the distinct scans that found something
	// new, in Unix seconds, and born says for each tag which one of them did. A
	// nil born means that all tags are of the first.
	epochs []int64
	born   []uint32

	// pages are what a registry that knows conditional requests is asked with.
	pages []page

	// kept says that a store has it, for keeper, which is a namespace.
	kept   bool
	keeper string

	// confirmed says that tags were missing, and that a second look confirmed it.
	confirmed bool
}

// page remembers one answer of a registry, to ask whether it still holds.
type page struct{ url, etag string }

// newListing is the answer of a registry that is asked for the first time.
func newListing(id registry.ID, tags *tagset, at time.Time) *listing {
	return &listing{id: id, at: at, tags: tags, epochs: []int64{at.Unix()}}
}

// unchangedAt is the same listing at a later time.
func (l *listing) unchangedAt(at time.Time) *listing {
	later := *l
	later.at = at
	return &later
}

// firstSeen is when a scan first found the tag with index i.
func (l *listing) firstSeen(i int) time.Time { return time.Unix(l.firstSeenUnix(i), 0) }

func (l *listing) firstSeenUnix(i int) int64 {
	if l.born == nil {
		return l.epochs[0]
	}
	return l.epochs[l.born[i]]
}

// inheritFirstSeen takes over from other listings of the image when their tags were first
// seen. Tags that are in none of them are seen now.
func (l *listing) inheritFirstSeen(others ...*listing) {
	if len(others) == 0 {
		return // all are of its own scan
	}
	births := make([]int64, l.tags.len())
	for i := range births {
		births[i] = l.firstSeenUnix(i)
	}
	for _, other := range others {
		takeEarlier(births, l.tags, other)
	}
	l.epochs = slices.Compact(slices.Sorted(slices.Values(births)))
	if len(l.epochs) < 2 {
		l.born = nil
		if len(l.epochs) == 0 {
			l.epochs = []int64{l.at.Unix()}
		}
		return
	}
	l.born = make([]uint32, len(births))
	for i, birth := range births {
		at, _ := slices.BinarySearch(l.epochs, birth)
		l.born[i] = uint32(at)
	}
}

// takeEarlier lowers births to those of another listing, walking two sorted sets side by side.
func takeEarlier(births []int64, tags *tagset, other *listing) {
	for i, j := 0, 0; i < tags.len() && j < other.tags.len(); {
		switch strings.Compare(tags.at(i), other.tags.at(j)) {
		case -1:
			i++
		case 1:
			j++
		default:
			births[i] = min(births[i], other.firstSeenUnix(j))
			i, j = i+1, j+1
		}
	}
}
