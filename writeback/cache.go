package writeback

import (
	"container/list"
	"sync"
)

// cache keeps values up to a number of bytes that they take together, those used
// longest ago going first. Counting values would not bound memory: a repository
// decides how large they are.
type cache[V any] struct {
	limit  int64
	weight func(V) int64

	mu    sync.Mutex
	size  int64
	order *list.List // of *cached[V], the one used last in front
	byKey map[string]*list.Element
}

type cached[V any] struct {
	key    string
	value  V
	weight int64
}

func newCache[V any](limit int64, weight func(V) int64) *cache[V] {
	return &cache[V]{limit: limit, weight: weight, order: list.New(), byKey: map[string]*list.Element{}}
}

// get returns the value of a key; an empty key has none.
func (c *cache[V]) get(key string) (value V, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, known := c.byKey[key]
	if !known {
		return value, false
	}
	c.order.MoveToFront(at)
	return at.Value.(*cached[V]).value, true
}

// put keeps a value, unless the key is empty or the value would take a large part
// of all there is.
func (c *cache[V]) put(key string, value V) {
	weight := c.weight(value) + int64(len(key)) + costOfEntry
	c.mu.Lock()
	defer c.mu.Unlock()
	if key == "" || weight > c.limit/8 {
		return
	}
	c.drop(key)
	c.byKey[key] = c.order.PushFront(&cached[V]{key, value, weight})
	for c.size += weight; c.size > c.limit; {
		c.drop(c.order.Back().Value.(*cached[V]).key)
	}
}

// drop forgets a key. The caller has the lock.
func (c *cache[V]) drop(key string) {
	if at, known := c.byKey[key]; known {
		c.size -= c.order.Remove(at).(*cached[V]).weight
		delete(c.byKey, key)
	}
}

// remove forgets a key.
func (c *cache[V]) remove(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(key)
}

// costOfEntry is what an entry takes besides its key and its value.
const costOfEntry = 200
