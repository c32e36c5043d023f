package scan

import "time"

// Looked reports whether the digest of tag was ever looked at, so that a digest
// that differs from it would be noticed.
func (s *Store) Looked(snapshot *Snapshot, tag string) bool {
	_, ok := s.seen.earliest(snapshot.Image(), tag)
	return ok
}

// SeenIn is [Store.Seen] for a tag of a snapshot. The first digest that is looked
// at counts from the scan that found the tag: nobody is made to wait for what was
// there all the time. Every later one counts from now: a tag that is moved starts
// anew.
func (s *Store) SeenIn(snapshot *Snapshot, tag, digest string) time.Time {
	at := s.clock.Now()
	if first := snapshot.FirstSeen(tag); !first.IsZero() && first.Before(at) && !s.Looked(snapshot, tag) {
		at = first
	}
	return s.seen.first(snapshot.Image(), sighting{tag, digest}, at.Unix())
}
