// SPDX-License-Identifier: Apache-2.0

// Package lru is a cache that is bounded by what its values weigh, in bytes or
// entries, and evicts those that were used longest ago. Counting the values would
// not bound memory where others, such as the owner of a repository, decide how
// large each is.
//
// The order of use is kept by github.com/hashicorp/golang-lru, which bounds the number of
// values only; this package adds the weights and the lock. Sized for 16 MB of values of a
// kilobyte, a golang-lru holds 180 MB when one value in a hundred has a megabyte, twelve times
// what this one holds, which takes no longer. Caches with weights of their own (ristretto,
// otter) may refuse a value that was just put, as their documentation says, so that a hit
// cannot be relied on. It is the one cache of this kind here, also where values are merely
// counted ([NewCounted]).
//
//	go test -run xxx -bench Held ./internal/lru
package lru

import (
	"math"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Cache maps keys to values. It is safe for concurrent use.
type Cache[K comparable, V any] struct {
	// Removed is called for each value that is evicted, removed or replaced; nil is nothing to
	// do. It is set before the first use, and does not use the cache.
	Removed func(K, V)

	limit  int64
	weight func(K, V) int64

	mu   sync.Mutex
	size int64
	lru  *simplelru.LRU[K, weighedEntry[V]]
}

// weighedEntry is a value and its weight when it was put.
type weighedEntry[V any] struct {
	value  V
	weight int64
}

// New returns an empty cache whose values together weigh at most limit, unless the
// last one alone weighs more.
func New[K comparable, V any](limit int64, weight func(K, V) int64) *Cache[K, V] {
	c := &Cache[K, V]{limit: limit, weight: weight}
	// The only error is that of a size that is not positive.
	c.lru, _ = simplelru.NewLRU(math.MaxInt, func(key K, v weighedEntry[V]) {
		c.size -= v.weight
		if c.Removed != nil {
			c.Removed(key, v.value)
		}
	})
	return c
}

// NewCounted returns an empty cache of at most limit values.
func NewCounted[K comparable, V any](limit int64) *Cache[K, V] {
	return New(limit, func(K, V) int64 { return 1 })
}

// Get returns the value of a key and marks it as used.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.lru.Get(key)
	return v.value, ok
}

// Put keeps a value and evicts others until all fit. The value itself stays even if
// it alone weighs more than the limit, so that whoever reads it again and again does
// not make it again and again; a caller that minds does not put it.
func (c *Cache[K, V]) Put(key K, value V) {
	weight := c.weight(key, value)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lru.Remove(key)
	c.lru.Add(key, weighedEntry[V]{value, weight})
	for c.size += weight; c.size > c.limit && c.lru.Len() > 1; {
		c.lru.RemoveOldest()
	}
}

// Remove forgets a key.
func (c *Cache[K, V]) Remove(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lru.Remove(key)
}

// RemoveFunc forgets the keys for which gone is true.
func (c *Cache[K, V]) RemoveFunc(gone func(K, V) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range c.lru.Keys() {
		if v, ok := c.lru.Peek(key); ok && gone(key, v.value) {
			c.lru.Remove(key)
		}
	}
}

// Any reports whether there is a value for which is says so. It marks none as used.
func (c *Cache[K, V]) Any(is func(K, V) bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range c.lru.Keys() {
		if v, ok := c.lru.Peek(key); ok && is(key, v.value) {
			return true
		}
	}
	return false
}

// Clear forgets all keys.
func (c *Cache[K, V]) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lru.Purge()
}

// Usage is what the values weigh together, and how many there are.
func (c *Cache[K, V]) Usage() (weight int64, values int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size, c.lru.Len()
}
