package scan

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
)

// Store keeps the last snapshot of each ImageRepository. Two repositories of one
// image have a snapshot each: their exclusions and credentials may differ.
type Store struct {
	mu        sync.RWMutex
	snapshots map[types.NamespacedName]*Snapshot
	arrived   []func(types.NamespacedName)
}

// NewStore returns an empty store.
func NewStore() *Store {
	return &Store{snapshots: map[types.NamespacedName]*Snapshot{}}
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
	s.mu.Lock()
	before, had := s.snapshots[key]
	s.snapshots[key] = snapshot
	arrived := s.arrived
	s.mu.Unlock()
	if had && before.source == snapshot.source {
		return
	}
	for _, tell := range arrived {
		tell(key)
	}
}

// Delete forgets the snapshot of key.
func (s *Store) Delete(key types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.snapshots, key)
}

// OnArrival calls tell whenever a repository has a snapshot that had none that
// was of use. After a restart that is the only sign: when the registry has
// nothing new, no status changes.
func (s *Store) OnArrival(tell func(types.NamespacedName)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived = append(s.arrived, tell)
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
