// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/sluice-cd/sluice/internal/registry"
)

// How long what nobody asks for is kept.
const (
	gcInterval = time.Hour
	// unusedLife is that of a file. An object that is suspended, or that failed to
	// be read, asks for nothing and yet wants its clock back later.
	unusedLife = 14 * 24 * time.Hour
)

// Start collects garbage until ctx ends. It is a Runnable of a manager.
func (s *Store) Start(ctx context.Context) error {
	ticker := time.NewTicker(gcInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			s.collect()
		}
	}
}

// NeedLeaderElection says that the garbage is the replica's own.
func (*Store) NeedLeaderElection() bool { return false }

// collect drops listings that no snapshot uses from memory, and files that were
// not used for long from the disk.
func (s *Store) collect() {
	s.mu.Lock()
	used := map[registry.ID]bool{}
	for _, snapshot := range s.snapshots {
		used[snapshot.list.id] = true
	}
	images, kept := map[string]bool{}, map[string]bool{}
	for image, listings := range s.listings {
		maps.DeleteFunc(listings, func(_ string, l *listing) bool {
			if used[l.id] {
				return false
			}
			s.memory.remove(l.tags, l.keeper)
			return true
		})
		if len(listings) == 0 {
			delete(s.listings, image)
			images[image] = true
		}
	}
	for id := range used {
		delete(images, id.Image)
		kept[seenFileOf(id.Image)] = true
	}
	s.mu.Unlock()
	for image := range images {
		s.seen.forget(image)
	}
	s.disk.collect(kept, s.clock.Now().Add(-unusedLife))
}

// collect removes what was not touched since before, but for the first-seen entries of
// images in use: those are only written when something is new. What then is there
// is looked at anew.
func (d *disk) collect(kept map[string]bool, before time.Time) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	entries, err := os.ReadDir(d.dir)
	d.report("collecting the tag cache", err)
	for _, entry := range entries {
		name := entry.Name()
		ours := strings.HasSuffix(name, listingSuffix) || strings.HasSuffix(name, seenSuffix) || strings.HasPrefix(name, newPrefix)
		info, err := entry.Info()
		if ours && err == nil && !info.ModTime().After(before) && !kept[name] {
			_ = os.Remove(d.path(name))
		}
	}
	d.there = nil
}
