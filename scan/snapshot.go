package scan

import (
	"crypto/sha256"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// Snapshot is the set of tags of one target at one moment. It is immutable.
type Snapshot struct {
	source   string
	revision string
	at       time.Time

	text string   // the tags in ascending order, end to end
	ends []uint32 // where each of them ends in text
}

// newSnapshot packs the tags that target does not exclude.
func newSnapshot(target Target, tags []string, at time.Time) *Snapshot {
	tags = slices.DeleteFunc(tags, target.excludes)
	slices.Sort(tags)
	tags = slices.Compact(tags)
	sum := sha256.New()
	s := &Snapshot{source: target.source, at: at, ends: make([]uint32, len(tags))}
	var size int
	for i, tag := range tags {
		size += len(tag)
		s.ends[i] = uint32(size)
		_, _ = sum.Write([]byte(tag + "\n")) // a hash never fails
	}
	var text strings.Builder
	text.Grow(size)
	for _, tag := range tags {
		text.WriteString(tag)
	}
	s.text = text.String()
	s.revision = fmt.Sprintf("sha256:%x", sum.Sum(nil))
	return s
}

// Revision is a digest of the set of tags; it changes exactly when the set does.
func (s *Snapshot) Revision() string { return s.revision }

// Time is when the registry answered.
func (s *Snapshot) Time() time.Time { return s.at }

// Len is the number of tags.
func (s *Snapshot) Len() int { return len(s.ends) }

// All yields the tags in ascending bytewise order. They share the snapshot's
// memory: clone the ones to keep.
func (s *Snapshot) All() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range s.ends {
			if !yield(s.tag(i)) {
				return
			}
		}
	}
}

// Last returns copies of the last n tags, in descending order.
func (s *Snapshot) Last(n int) []string {
	var last []string
	for i := len(s.ends) - 1; i >= max(len(s.ends)-n, 0); i-- {
		last = append(last, strings.Clone(s.tag(i)))
	}
	return last
}

func (s *Snapshot) tag(i int) string {
	var start uint32
	if i > 0 {
		start = s.ends[i-1]
	}
	return s.text[start:s.ends[i]]
}
