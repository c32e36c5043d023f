package git

import (
	"container/list"
	"sync"

	"github.com/sluice-cd/sluice/internal/tree"
)

// maxCachedEntries bounds the decoded directories that are kept: some 60 MiB.
const maxCachedEntries = 400_000

// treeCache keeps decoded directories by hash, the least used going first. The
// hash says all, so one cache serves all mirrors.
type treeCache struct {
	mu    sync.Mutex
	limit int
	size  int
	order *list.List // of *cachedTree, most recently used in front
	byID  map[string]*list.Element
}

type cachedTree struct {
	hash    string
	entries []tree.Entry
	extent  *extent // nil until it is measured
}

func newTreeCache(limit int) *treeCache {
	return &treeCache{limit: limit, order: list.New(), byID: map[string]*list.Element{}}
}

// weight is what a directory counts for: its entries, more for those with long names.
func weight(entries []tree.Entry) int {
	const common = 64
	w := 1
	for _, e := range entries {
		w += 1 + len(e.Name)/common
	}
	return w
}

func (c *treeCache) get(hash string) ([]tree.Entry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.byID[hash]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(at)
	return at.Value.(*cachedTree).entries, true
}

func (c *treeCache) put(hash string, entries []tree.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byID[hash]; ok {
		return
	}
	c.byID[hash] = c.order.PushFront(&cachedTree{hash: hash, entries: entries})
	c.size += weight(entries)
	for c.size > c.limit && c.order.Len() > 1 {
		last := c.order.Remove(c.order.Back()).(*cachedTree)
		delete(c.byID, last.hash)
		c.size -= weight(last.entries)
	}
}

// extent returns what was measured of a directory.
func (c *treeCache) extent(hash string) (extent, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.byID[hash]
	if !ok || at.Value.(*cachedTree).extent == nil {
		return extent{}, false
	}
	return *at.Value.(*cachedTree).extent, true
}

// measured remembers what is below a directory that is kept.
func (c *treeCache) measured(hash string, e extent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, ok := c.byID[hash]; ok {
		at.Value.(*cachedTree).extent = &e
	}
}
