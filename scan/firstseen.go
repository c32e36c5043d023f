// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// firstSeen remembers when a tag was first seen with a digest: the basis of a
// minimum age. What an image says of its own creation is its publisher's word,
// and may be any time at all.
//
// They are kept on disk beside the tags. When they are lost, the clock starts
// anew, which makes a young tag younger and never older. Only what the process saw
// itself is here: all who follow the image share it.
type firstSeen struct {
	mu     sync.Mutex
	images map[string]*seenIndex
	disk   *disk
}

// seenIndex says when the tags of one image were first seen, in Unix seconds.
type seenIndex struct {
	first    map[seenEntry]int64
	earliest map[string]int64 // by tag, whatever the digest
}

type seenEntry struct{ tag, digest string }

// maxSeen bounds a seenIndex. A policy looks at a handful of tags; this many
// come of a registry whose tags move all the time.
const maxSeen = 10_000

func newSeenIndex() *seenIndex {
	return &seenIndex{first: map[seenEntry]int64{}, earliest: map[string]int64{}}
}

// note records a seenEntry unless an earlier one is known.
func (a *seenIndex) note(what seenEntry, at int64) {
	if known, ok := a.first[what]; ok && known <= at {
		return
	}
	a.first[what] = at
	if known, ok := a.earliest[what.tag]; !ok || at < known {
		a.earliest[what.tag] = at
	}
}

// evictOldest forgets the oldest half. What is looked at again counts as new.
func (a *seenIndex) evictOldest() *seenIndex {
	times := make([]int64, 0, len(a.first))
	for _, at := range a.first {
		times = append(times, at)
	}
	slices.Sort(times)
	median := times[len(times)/2]
	kept := newSeenIndex()
	for what, at := range a.first {
		if at > median {
			kept.note(seenEntry{strings.Clone(what.tag), what.digest}, at)
		}
	}
	return kept
}

// index returns the seenIndex of image, from disk if need be. The lock is held.
func (s *firstSeen) index(image string) *seenIndex {
	if a, ok := s.images[image]; ok {
		return a
	}
	a := newSeenIndex()
	s.disk.readSeen(image, a)
	s.images[image] = a
	return a
}

// first returns when the tag was first seen with the digest, which is at unless
// an earlier time is known.
func (s *firstSeen) first(image string, what seenEntry, at int64) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.index(image)
	known, ok := a.first[what]
	if ok && known <= at {
		return time.Unix(known, 0)
	}
	what = seenEntry{strings.Clone(what.tag), strings.Clone(what.digest)}
	a.note(what, at)
	if len(a.first) > maxSeen {
		a = a.evictOldest()
		s.images[image] = a
		s.disk.writeSeen(image, a)
	} else {
		s.disk.appendSeen(image, what, at)
	}
	return time.Unix(at, 0)
}

// earliest is the first seenEntry of tag with any digest.
func (s *firstSeen) earliest(image, tag string) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.index(image).earliest[tag]
	return time.Unix(at, 0), ok
}

// forget drops an image from memory.
func (s *firstSeen) forget(image string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.images, image)
}

// HasDigest reports whether the digest of tag was ever looked at, so that a digest
// that differs from it would be noticed.
func (s *Store) HasDigest(snapshot *Snapshot, tag string) bool {
	_, ok := s.seen.earliest(snapshot.Image(), tag)
	return ok
}

// SeenIn is [Store.Seen] for a tag of a snapshot. The first digest that is looked
// at counts from the scan that found the tag: nobody is made to wait for what was
// there all the time. Every later one counts from now: a tag that is moved starts
// anew.
func (s *Store) SeenIn(snapshot *Snapshot, tag, digest string) time.Time {
	at := s.clock.Now()
	if first := snapshot.FirstSeen(tag); !first.IsZero() && first.Before(at) && !s.HasDigest(snapshot, tag) {
		at = first
	}
	return s.seen.first(snapshot.Image(), seenEntry{tag, digest}, at.Unix())
}
