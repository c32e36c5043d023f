// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"context"

	"github.com/sluice-cd/sluice/internal/budget"
)

// AcquireMemory grants what a pack takes of memory while it is received: it may wait its turn,
// and the grant grows with what the pack turns out to hold, and is emptied in the end. A
// nil AcquireMemory grants everything.
type AcquireMemory func(ctx context.Context, bytes int64) (*budget.Grant, error)

// TryAcquireMemory is AcquireMemory for those who cannot wait: readers.
type TryAcquireMemory func(bytes int64) (*budget.Grant, error)

// entryMemory is what an object takes while its pack is indexed, and smallestEntry
// what it takes of the pack at least.
const (
	entryMemory   = 256
	smallestEntry = 9
	// unreserved is what is held without asking: objects of a common size.
	unreserved = 1 << 20
)

// acquire asks for what the index of a pack of so many bytes and objects takes.
func (m AcquireMemory) acquire(ctx context.Context, size, objects int64) (*reservation, error) {
	if m == nil {
		return &reservation{}, nil
	}
	grant, err := m(ctx, min(objects, size/smallestEntry)*entryMemory+unreserved)
	return &reservation{grant: grant, granted: unreserved}, err
}

// reservation is what one reader holds of memory at the moment, and has been granted so far:
// it is the most at once that counts.
type reservation struct {
	try           TryAcquireMemory // nil if the grant was acquired by waiting
	grant         *budget.Grant
	held, granted int64
}

// hold notes that so many bytes are about to be held.
func (r *reservation) hold(bytes int64) error {
	r.held += bytes
	more := r.held - r.granted
	if more <= 0 {
		return nil
	}
	if r.grant == nil && r.try != nil {
		grant, err := r.try(more)
		r.grant, r.granted = grant, r.held
		return err
	}
	r.granted = r.held
	return r.grant.Grow(more)
}

// drop notes that they are held no more.
func (r *reservation) drop(bytes int64) { r.held -= bytes }

func (r *reservation) release() { r.grant.Empty() }
