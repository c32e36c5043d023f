package scan

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
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
	used := map[listingID]bool{}
	for _, snapshot := range s.snapshots {
		used[snapshot.list.id] = true
	}
	images, folders := map[string]bool{}, map[string]bool{}
	for id := range s.listings {
		if !used[id] {
			delete(s.listings, id)
			images[id.image] = true
		}
	}
	for id := range used {
		delete(images, id.image)
		if s.disk != nil {
			folders[s.disk.folder(id.image)] = true
		}
	}
	s.mu.Unlock()
	for image := range images {
		s.seen.forget(image)
	}
	s.disk.collect(folders, s.clock.Now().Add(-unusedLife))
}

// collect removes what was not touched since before, but for the sightings of
// images in use: those are only written when something is new.
func (d *disk) collect(used map[string]bool, before time.Time) {
	if d == nil {
		return
	}
	err := filepath.WalkDir(d.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil || info.ModTime().After(before) {
			return nil
		}
		if entry.Name() == sightingsName && used[filepath.Dir(path)] {
			return nil
		}
		if strings.HasSuffix(path, listingSuffix) || entry.Name() == sightingsName || strings.HasPrefix(entry.Name(), ".new-") {
			_ = os.Remove(path)
			_ = os.Remove(filepath.Dir(path)) // if it is empty now
		}
		return nil
	})
	d.report("collecting the tag cache", err)
}
