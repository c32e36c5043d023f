// SPDX-License-Identifier: Apache-2.0

package git

import (
	"maps"
	"slices"
	"time"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/disk"
)

// usage charges the bytes that a mirror keeps on the disk to the namespaces that use it, in equal
// parts: the first one does not pay for all, and a later one does not get the mirror for nothing.
// The zero value charges nothing to nobody.
type usage struct {
	bytes   int64
	users   map[string]time.Time // when each namespace asked for the mirror last
	charged map[string]int64     // what counts for each
}

// kept notes how much is kept now.
func (u *usage) kept(space *disk.Space, bytes int64) {
	u.bytes = bytes
	u.charge(space)
}

// join notes that a namespace uses the mirror.
func (u *usage) join(space *disk.Space, namespace string, now time.Time) {
	_, known := u.users[namespace]
	if u.users == nil {
		u.users = map[string]time.Time{}
	}
	if u.users[namespace] = now; !known {
		u.charge(space)
	}
}

// leave takes namespaces out that are gone, given when they asked last.
func (u *usage) leave(space *disk.Space, gone func(namespace string, last time.Time) bool) {
	before := len(u.users)
	maps.DeleteFunc(u.users, gone)
	if len(u.users) != before {
		u.charge(space)
	}
}

// charge divides the bytes. Without users they count for nobody in particular.
func (u *usage) charge(space *disk.Space) {
	parts := budget.Divide(u.bytes, slices.Collect(maps.Keys(u.users)))
	if len(parts) == 0 {
		parts = map[string]int64{"": u.bytes}
	}
	for namespace, bytes := range u.charged {
		space.Record(namespace, -bytes)
	}
	for namespace, bytes := range parts {
		space.Record(namespace, bytes)
	}
	u.charged = parts
}
