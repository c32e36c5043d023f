package pack

import (
	"context"

	"github.com/sluice-cd/sluice/internal/budget"
)

// Memory grants what a pack takes of memory while it is received: it waits its turn,
// and the grant grows with what the pack turns out to hold. A nil Memory grants
// everything.
type Memory func(ctx context.Context, bytes int64) (*budget.Grant, error)

// Room is Memory for those who cannot wait: readers.
type Room func(bytes int64) (*budget.Grant, error)

// entryMemory is what an object takes while its pack is indexed, and smallestEntry
// what it takes of the pack at least.
const (
	entryMemory   = 256
	smallestEntry = 9
	// freely is what is held without asking: objects of a common size.
	freely = 1 << 20
)

// acquire asks for what the index of a pack of so many bytes and objects takes.
func (m Memory) acquire(ctx context.Context, size, objects int64) (*ledger, error) {
	if m == nil {
		return &ledger{}, nil
	}
	grant, err := m(ctx, min(objects, size/smallestEntry)*entryMemory+freely)
	return &ledger{grant: grant, granted: freely}, err
}

// ledger is what one reader holds of memory at the moment, and has been granted so far:
// it is the most at once that counts.
type ledger struct {
	room          Room
	grant         *budget.Grant
	held, granted int64
}

// hold notes that so many bytes are about to be held.
func (l *ledger) hold(bytes int64) error {
	l.held += bytes
	more := l.held - l.granted
	if more <= 0 {
		return nil
	}
	if l.grant == nil && l.room != nil {
		grant, err := l.room(more)
		l.grant, l.granted = grant, l.held
		return err
	}
	l.granted = l.held
	return l.grant.Grow(more)
}

// drop notes that they are held no more.
func (l *ledger) drop(bytes int64) { l.held -= bytes }

func (l *ledger) release() { l.grant.Release() }
