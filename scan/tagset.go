// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"slices"
	"sort"
	"strings"
)

// tagset is a set of tags in ascending bytewise order, packed end to end: two
// allocations, whatever their number. It is immutable.
type tagset struct {
	text string
	ends []uint32 // where each tag ends in text
}

func (s *tagset) len() int { return len(s.ends) }

// at returns the tag with index i; it shares the memory of the set.
func (s *tagset) at(i int) string {
	var start uint32
	if i > 0 {
		start = s.ends[i-1]
	}
	return s.text[start:s.ends[i]]
}

// find returns the index of tag.
func (s *tagset) find(tag string) (int, bool) {
	return sort.Find(s.len(), func(i int) int { return strings.Compare(tag, s.at(i)) })
}

// tagBuffer is a list of tags as a registry sends them, packed: in any order, with
// repetitions. It is reused from scan to scan.
type tagBuffer struct {
	text []byte
	ends []uint32
}

func (h *tagBuffer) reset() { h.text, h.ends = h.text[:0], h.ends[:0] }

// truncate keeps the first n tags.
func (h *tagBuffer) truncate(n int) {
	end := 0
	if n > 0 {
		end = int(h.ends[n-1])
	}
	h.text, h.ends = h.text[:end], h.ends[:n]
}

func (h *tagBuffer) len() int { return len(h.ends) }

func (h *tagBuffer) at(i int) []byte {
	var start uint32
	if i > 0 {
		start = h.ends[i-1]
	}
	return h.text[start:h.ends[i]]
}

// add appends tag, unless the distribution specification does not allow it: what
// is not a tag would end in files and commit messages.
func (h *tagBuffer) add(tag []byte) {
	if !wellFormed(tag) {
		return
	}
	h.text = append(h.text, tag...)
	h.ends = append(h.ends, uint32(len(h.text)))
}

// ascending reports whether the tags are in order and without repetitions, as
// most registries send them.
func (h *tagBuffer) ascending() bool {
	for i := 1; i < h.len(); i++ {
		if string(h.at(i-1)) >= string(h.at(i)) {
			return false
		}
	}
	return true
}

// set returns the tags as a set. It is last itself when nothing changed, so that
// a scan without news allocates nothing for the tags.
func (h *tagBuffer) set(last *tagset) *tagset {
	if !h.ascending() {
		h.sort()
	}
	if last != nil && string(h.text) == last.text && slices.Equal(h.ends, last.ends) {
		return last
	}
	return &tagset{text: string(h.text), ends: slices.Clone(h.ends)}
}

// sort puts the tags in order and drops repetitions.
func (h *tagBuffer) sort() {
	tags := make([]string, h.len())
	text := string(h.text)
	for i := range tags {
		end := h.ends[i]
		tags[i] = text[int(end)-len(h.at(i)) : end]
	}
	slices.Sort(tags)
	tags = slices.Compact(tags)
	h.reset()
	for _, tag := range tags {
		h.text = append(h.text, tag...)
		h.ends = append(h.ends, uint32(len(h.text)))
	}
}

// maxTagLength is that of the distribution specification.
const maxTagLength = 128

// inTags are the bytes that tags are made of.
var inTags = func() (table [256]bool) {
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-" {
		table[c] = true
	}
	return table
}()

// wellFormed reports whether tag is [A-Za-z0-9_][A-Za-z0-9_.-]{0,127}.
func wellFormed(tag []byte) bool {
	if len(tag) == 0 || len(tag) > maxTagLength || tag[0] == '.' || tag[0] == '-' {
		return false
	}
	for _, c := range tag {
		if !inTags[c] {
			return false
		}
	}
	return true
}
