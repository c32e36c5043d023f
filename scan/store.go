// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/wake"
)

// Store keeps the last snapshot of each ImageRepository, the listings that the
// snapshots share, and the first-seen clock. With [InDir] it survives a restart;
// what is lost only means a scan.
//
// Two repositories of one image have a snapshot each: their exclusions may
// differ, and their credentials may see different tags.
type Store struct {
	clock clock.PassiveClock
	disk  *disk
	seen  *firstSeen

	mu        sync.RWMutex
	snapshots map[types.NamespacedName]*Snapshot
	listings  map[string]map[string]*listing // by image and access
	memory    memoryUse
	arrivals  wake.Source
}

// StoreOption changes what [NewStore] makes.
type StoreOption func(*Store)

// InDir keeps a copy of the store in a directory. Errors of the disk are told to
// failed and have no other effect.
func InDir(dir string, failed func(error)) StoreOption {
	return func(s *Store) { s.disk = &disk{dir: dir, failed: failed} }
}

// WithClock sets the clock of [Store.Seen].
func WithClock(clk clock.PassiveClock) StoreOption {
	return func(s *Store) { s.clock = clk }
}

// WithTagMemory bounds the bytes of all tags in memory, of which a namespace may have
// half; zero is no limit.
func WithTagMemory(bytes int64) StoreOption {
	return func(s *Store) { s.memory.total = bytes }
}

// NewStore returns a store that is empty, or has what the directory has.
func NewStore(options ...StoreOption) *Store {
	s := &Store{
		clock:     clock.RealClock{},
		snapshots: map[types.NamespacedName]*Snapshot{},
		listings:  map[string]map[string]*listing{},
		memory:    memoryUse{reserved: map[string]int64{}, sets: map[*tagset]*tagsetUse{}},
	}
	for _, option := range options {
		option(s)
	}
	s.seen = &firstSeen{images: map[string]*seenIndex{}, disk: s.disk}
	return s
}

// Get returns the last snapshot of key, if it is one of target: a snapshot taken
// before the image or its exclusions were edited says nothing about it.
func (s *Store) Get(key types.NamespacedName, target Target) (*Snapshot, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if snapshot, ok := s.snapshots[key]; ok && snapshot.source == target.source {
		return snapshot, true
	}
	return nil, false
}

// Put replaces the snapshot of key.
func (s *Store) Put(key types.NamespacedName, snapshot *Snapshot) {
	own := *snapshot
	own.seen = s.seen
	if !own.list.kept {
		own.list = s.replaceListing(own.list, key.Namespace)
	}
	s.mu.Lock()
	before, had := s.snapshots[key]
	s.snapshots[key] = &own
	s.memory.add(own.list.tags, key.Namespace)
	if had {
		s.memory.remove(before.list.tags, key.Namespace)
	}
	s.mu.Unlock()
	if !had || before.source != own.source {
		s.arrivals.Wake(key)
	}
}

// Delete forgets the snapshot of key.
func (s *Store) Delete(key types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if snapshot, ok := s.snapshots[key]; ok {
		s.memory.remove(snapshot.list.tags, key.Namespace)
		delete(s.snapshots, key)
	}
}

// Arrivals wakes every repository that has a snapshot and had none that was of use.
// After a restart that is the only sign: when the registry has nothing new, no status
// changes.
func (s *Store) Arrivals() *wake.Source { return &s.arrivals }

// Seen returns when tag was first seen with digest, and remembers the present
// time if that is now. The image is what [Snapshot.Image] says. The digest may be
// empty, which makes it the seenEntry of a tag.
func (s *Store) Seen(image, tag, digest string) time.Time {
	return s.seen.first(image, seenEntry{tag, digest}, s.clock.Now().Unix())
}

// listing returns the last listing of id, from disk if need be, or nil.
func (s *Store) listing(id registry.ID) *listing {
	s.mu.RLock()
	l := s.listings[id.Image][id.Access]
	s.mu.RUnlock()
	if l != nil {
		return l
	}
	if l = s.disk.readListing(id); l == nil {
		return nil
	}
	l.kept = true
	s.mu.Lock()
	defer s.mu.Unlock()
	if newer := s.listings[id.Image][id.Access]; newer != nil {
		return newer
	}
	s.add(l, "")
	return l
}

// checkMemory reports whether a namespace may keep the tags of a listing, in the place of
// those of the last one, which may be nil.
func (s *Store) checkMemory(namespace string, fresh, last *listing) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last == nil {
		return s.memory.checkMemory(namespace, fresh.tags, nil)
	}
	return s.memory.checkMemory(namespace, fresh.tags, last.tags)
}

// replaceListing makes fresh the listing of its image and credential. Its tags are as old
// as any listing of the image knows them: a token that is renewed every hour
// must not start the clock anew. When nothing changed nothing is written.
func (s *Store) replaceListing(fresh *listing, namespace string) *listing {
	last := s.listing(fresh.id)
	if last != nil && last.tags == fresh.tags {
		same := last.unchangedAt(fresh.at)
		same.asked, same.confirmed, same.pages = fresh.asked, fresh.confirmed, fresh.pages
		if newer := s.set(same, namespace); newer != same {
			return newer
		}
		if slices.Equal(last.pages, fresh.pages) {
			s.disk.touch(same)
		} else {
			s.disk.writeListing(same)
		}
		return same
	}
	fresh.inheritFirstSeen(s.siblings(fresh.id.Image)...)
	if newer := s.set(fresh, namespace); newer != fresh {
		return newer
	}
	s.disk.writeListing(fresh)
	return fresh
}

// set makes l the listing of its image and credential, unless there is one that was asked
// for later, and returns the one that it is.
func (s *Store) set(l *listing, namespace string) *listing {
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.listings[l.id.Image][l.id.Access]; other != nil && !l.asked.IsZero() && other.asked.After(l.asked) {
		return other
	}
	l.kept = true
	s.add(l, namespace)
	return l
}

// add makes l the listing of its image and credential. The lock is held.
func (s *Store) add(l *listing, namespace string) {
	if s.listings[l.id.Image] == nil {
		s.listings[l.id.Image] = map[string]*listing{}
	}
	before := s.listings[l.id.Image][l.id.Access]
	s.listings[l.id.Image][l.id.Access] = l
	l.keeper = namespace
	s.memory.add(l.tags, namespace)
	if before != nil {
		s.memory.remove(before.tags, before.keeper)
	}
}

// siblings are all listings of an image.
func (s *Store) siblings(image string) []*listing {
	for _, id := range s.disk.listingsOf(image) {
		s.listing(id)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Values(s.listings[image]))
}

var tagsDesc = prometheus.NewDesc("sluice_image_repository_tags",
	"Tags of an ImageRepository that are not excluded.", []string{"namespace", "name"}, nil)

// Describe implements prometheus.Collector.
func (s *Store) Describe(descs chan<- *prometheus.Desc) { descs <- tagsDesc }

// Collect implements prometheus.Collector.
func (s *Store) Collect(metrics chan<- prometheus.Metric) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for key, snapshot := range s.snapshots {
		metrics <- prometheus.MustNewConstMetric(tagsDesc, prometheus.GaugeValue,
			float64(snapshot.Len()), key.Namespace, key.Name)
	}
}
