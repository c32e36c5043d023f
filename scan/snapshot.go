// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"strings"
	"time"
)

// Snapshot is the set of tags of one target at one moment. It is immutable, and
// shares the tags with all snapshots of the same listing: its own are the
// exclusions, one bit a tag.
type Snapshot struct {
	source   string
	revision string
	list     *listing
	left     []uint64 // a bit for each tag that is left out; nil when none is
	count    int
	seen     *firstSeen
}

// newSnapshot leaves out what target excludes. When last has the same tags and
// the same exclusions, nothing is looked at again.
func newSnapshot(target Target, list *listing, last *Snapshot) *Snapshot {
	if last != nil && last.source == target.source && last.list.tags == list.tags {
		later := *last
		later.list = list
		return &later
	}
	s := &Snapshot{source: target.source, list: list, count: list.tags.len()}
	sum, block := sha256.New(), make([]byte, 0, hashBlock+maxTagLength+1)
	for i := range list.tags.len() {
		tag := list.tags.at(i)
		if target.excludes(tag) {
			if s.left == nil {
				s.left = make([]uint64, (list.tags.len()+63)/64)
			}
			s.left[i/64] |= 1 << (i % 64)
			s.count--
			continue
		}
		if block = append(append(block, tag...), '\n'); len(block) > hashBlock {
			_, _ = sum.Write(block) // a hash never fails
			block = block[:0]
		}
	}
	_, _ = sum.Write(block)
	s.revision = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	return s
}

// hashBlock is how much is hashed at once.
const hashBlock = 4096

// Revision is a digest of the set of tags; it changes exactly when the set does.
func (s *Snapshot) Revision() string { return s.revision }

// Time is when the registry answered.
func (s *Snapshot) Time() time.Time { return s.list.at }

// Confirmed reports whether many tags of the list before were missing, and a second
// look confirmed it; see [Shrunk].
func (s *Snapshot) Confirmed() bool { return s.list.confirmed }

// Len is the number of tags.
func (s *Snapshot) Len() int { return s.count }

// Bytes is how long all tags of the registry are together.
func (s *Snapshot) Bytes() int { return len(s.list.tags.text) }

// Listed is the number of tags of the registry, those left out included: what
// counts against the budget.
func (s *Snapshot) Listed() int { return s.list.tags.len() }

// Image names what was listed, for [Store.Seen]: the canonical image name, and
// something more when the registry was reached in a way of the repository's own,
// since such a registry may be another one of the same name.
func (s *Snapshot) Image() string { return s.list.id.Image }

// All yields the tags in ascending bytewise order. They share the snapshot's
// memory: clone the ones to keep.
func (s *Snapshot) All() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range s.list.tags.len() {
			if !s.isExcluded(i) && !yield(s.list.tags.at(i)) {
				return
			}
		}
	}
}

// Last returns copies of the last n tags, in descending order.
func (s *Snapshot) Last(n int) []string {
	var last []string
	for i := s.list.tags.len() - 1; i >= 0 && len(last) < n; i-- {
		if !s.isExcluded(i) {
			last = append(last, strings.Clone(s.list.tags.at(i)))
		}
	}
	return last
}

// FirstSeen is when a scan of the image first found tag, whatever it pointed to
// then; a tag that was there at the very first scan counts from that one. It is
// the zero time for a tag that is not in the snapshot.
func (s *Snapshot) FirstSeen(tag string) time.Time {
	i, ok := s.list.tags.find(tag)
	if !ok || s.isExcluded(i) {
		return time.Time{}
	}
	first := s.list.firstSeen(i)
	if s.seen != nil {
		if at, ok := s.seen.earliest(s.list.id.Image, tag); ok && at.Before(first) {
			return at
		}
	}
	return first
}

func (s *Snapshot) isExcluded(i int) bool {
	return s.left != nil && s.left[i/64]&(1<<(i%64)) != 0
}
