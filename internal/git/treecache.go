// SPDX-License-Identifier: Apache-2.0

package git

import (
	"sync/atomic"

	"github.com/sluice-cd/sluice/internal/lru"
	"github.com/sluice-cd/sluice/internal/tree"
)

// maxCachedEntries bounds the decoded directories that are kept: some 60 MiB.
const maxCachedEntries = 400_000

// treeCache keeps decoded directories by hash and evicts those used longest ago.
// The hash says all, so that one cache serves all mirrors. A restart loses it, and
// each directory is decoded again when it is next read.
type treeCache struct {
	byHash *lru.Cache[string, *cachedTree]
}

type cachedTree struct {
	entries []tree.Entry
	size    atomic.Pointer[subtreeSize] // nil until it is measured
}

func newTreeCache(limit int64) *treeCache {
	return &treeCache{lru.New(limit, func(_ string, t *cachedTree) int64 { return weight(t.entries) })}
}

// weight is what a directory counts for: its entries, more for those with long names.
func weight(entries []tree.Entry) int64 {
	const common = 64
	w := 1
	for _, e := range entries {
		w += 1 + len(e.Name)/common
	}
	return int64(w)
}

func (c *treeCache) get(hash string) ([]tree.Entry, bool) {
	if t, ok := c.byHash.Get(hash); ok {
		return t.entries, true
	}
	return nil, false
}

func (c *treeCache) put(hash string, entries []tree.Entry) {
	c.byHash.Put(hash, &cachedTree{entries: entries})
}

// size returns what was measured of a directory.
func (c *treeCache) size(hash string) (subtreeSize, bool) {
	if t, ok := c.byHash.Get(hash); ok {
		if e := t.size.Load(); e != nil {
			return *e, true
		}
	}
	return subtreeSize{}, false
}

// setSize remembers what is below a directory, for as long as the directory is kept.
func (c *treeCache) setSize(hash string, e subtreeSize) {
	if t, ok := c.byHash.Get(hash); ok {
		t.size.Store(&e)
	}
}
