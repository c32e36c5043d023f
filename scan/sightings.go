package scan

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// Sightings remember when a tag was first seen with a digest: the basis of a
// minimum age. What an image says of its own creation is its publisher's word,
// and may be any time at all.
//
// They are kept on disk beside the tags. When they are lost, the clock starts
// anew, which makes a young tag younger and never older; who knows better from
// elsewhere says so with [Store.Restore].
type Sightings struct {
	mu     sync.Mutex
	images map[string]*album
	disk   *disk
}

// album holds the sightings of one image, in Unix seconds.
type album struct {
	first    map[sighting]int64
	earliest map[string]int64 // by tag, whatever the digest
}

type sighting struct{ tag, digest string }

// maxSightings bounds an album. A policy looks at a handful of tags; this many
// come of a registry whose tags move all the time.
const maxSightings = 10_000

func newAlbum() *album {
	return &album{first: map[sighting]int64{}, earliest: map[string]int64{}}
}

// note records a sighting unless an earlier one is known.
func (a *album) note(what sighting, at int64) {
	if known, ok := a.first[what]; ok && known <= at {
		return
	}
	a.first[what] = at
	if known, ok := a.earliest[what.tag]; !ok || at < known {
		a.earliest[what.tag] = at
	}
}

// thin forgets the oldest half. What is looked at again counts as new.
func (a *album) thin() *album {
	times := make([]int64, 0, len(a.first))
	for _, at := range a.first {
		times = append(times, at)
	}
	slices.Sort(times)
	median := times[len(times)/2]
	kept := newAlbum()
	for what, at := range a.first {
		if at > median {
			kept.note(sighting{strings.Clone(what.tag), what.digest}, at)
		}
	}
	return kept
}

// of returns the album of image, from disk if need be. The lock is held.
func (s *Sightings) of(image string) *album {
	if a, ok := s.images[image]; ok {
		return a
	}
	a := newAlbum()
	s.disk.readSightings(image, a)
	s.images[image] = a
	return a
}

// first returns when the tag was first seen with the digest, which is at unless
// an earlier time is known.
func (s *Sightings) first(image string, what sighting, at int64) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.of(image)
	known, ok := a.first[what]
	if ok && known <= at {
		return time.Unix(known, 0)
	}
	what = sighting{strings.Clone(what.tag), strings.Clone(what.digest)}
	a.note(what, at)
	if len(a.first) > maxSightings {
		a = a.thin()
		s.images[image] = a
		s.disk.writeSightings(image, a)
	} else {
		s.disk.appendSighting(image, what, at)
	}
	return time.Unix(at, 0)
}

// earliest is the first sighting of tag with any digest.
func (s *Sightings) earliest(image, tag string) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.of(image).earliest[tag]
	return time.Unix(at, 0), ok
}

// forget drops an image from memory.
func (s *Sightings) forget(image string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.images, image)
}
