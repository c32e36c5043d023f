// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sluice-cd/sluice/internal/budget"
)

// freeBytes is how much of an answer is read without asking for memory: nearly all
// lists are shorter.
const freeBytes = 1 << 20

// copies is how often a page is in memory while it is read: in a buffer that grows by
// doubling, and as tags.
const copies = 3

// pageMemory is the memory that one scan takes for what it reads. Its grant is returned
// when the list is made.
type pageMemory struct {
	from      *budget.Budget
	namespace string
	grant     *budget.Grant
	reserved  int64
}

// hold makes sure of the memory for a page of so many bytes.
func (r *pageMemory) hold(ctx context.Context, bytes int64) error {
	if r == nil || r.from == nil || bytes <= freeBytes || copies*bytes <= r.reserved {
		return nil
	}
	more := copies*bytes - r.reserved
	var err error
	if r.grant == nil {
		r.grant, err = r.from.Acquire(ctx, r.namespace, more)
	} else {
		err = r.grant.Grow(more)
	}
	if errors.Is(err, budget.ErrTooLarge) {
		return fmt.Errorf("%w: %w", ErrMemory, err)
	}
	if err == nil {
		r.reserved += more
	}
	return err
}

func (r *pageMemory) release() { r.grant.Release() }

// memoryUse accounts for the tags that a store keeps in memory, to the namespaces that
// use them, in equal parts: a set counts for as long as a snapshot or a listing has it. A
// namespace whose registries have tags without end fills its own share, which is half
// of all. A total of zero is no limit.
type memoryUse struct {
	total, used int64
	reserved    map[string]int64 // by namespace
	sets        map[*tagset]*tagsetUse
}

type tagsetUse struct {
	uses  map[string]int // by namespace; "" is what comes from the disk
	parts map[string]int64
}

// checkMemory reports whether a namespace may have another set, in the place of one that it
// has, which may be nil.
func (r *memoryUse) checkMemory(namespace string, set, last *tagset) error {
	if r.total == 0 || r.sets[set] != nil {
		return nil
	}
	more := set.bytes()
	if known := r.sets[last]; known != nil {
		more -= known.parts[namespace]
	}
	switch {
	case more <= 0:
	case r.reserved[namespace]+more > r.total/2:
		return fmt.Errorf("%w: the tags of all images of namespace %s would take %d bytes of memory, and may take %d: "+
			"remove old tags from the registries",
			ErrMemory, namespace, r.reserved[namespace]+more, r.total/2)
	case r.used+more > r.total:
		return fmt.Errorf("%w: the memory for tags, %d bytes, is in use: give the controller more, or remove old tags from the registries",
			ErrMemory, r.total)
	}
	return nil
}

// add counts one more use of a set. What comes from the disk belongs to no namespace until an
// object uses it.
func (r *memoryUse) add(set *tagset, namespace string) {
	known := r.sets[set]
	if known == nil {
		known = &tagsetUse{uses: map[string]int{}}
		r.sets[set] = known
	}
	if known.uses[namespace]++; known.uses[namespace] == 1 {
		r.divide(set, known)
	}
}

// remove counts one use less.
func (r *memoryUse) remove(set *tagset, namespace string) {
	known := r.sets[set]
	if known == nil {
		return
	}
	if known.uses[namespace]--; known.uses[namespace] > 0 {
		return
	}
	delete(known.uses, namespace)
	r.divide(set, known)
	if len(known.uses) == 0 {
		delete(r.sets, set)
	}
}

// divide counts a set for those who use it now.
func (r *memoryUse) divide(set *tagset, known *tagsetUse) {
	for namespace, bytes := range known.parts {
		r.count(namespace, -bytes)
	}
	known.parts = budget.Divide(set.bytes(), slices.Collect(maps.Keys(known.uses)))
	for namespace, bytes := range known.parts {
		r.count(namespace, bytes)
	}
}

func (r *memoryUse) count(namespace string, bytes int64) {
	r.used += bytes
	if r.reserved[namespace] += bytes; r.reserved[namespace] == 0 {
		delete(r.reserved, namespace)
	}
}

// bytes is what a set takes, with what a listing knows of each tag.
func (s *tagset) bytes() int64 { return int64(len(s.text)) + 8*int64(len(s.ends)) }
