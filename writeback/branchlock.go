// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"context"
	"sync"
)

// branch is a branch of a remote, by the remote's id and the branch's short name.
type branch struct{ remote, name string }

// branchLocks let one run at a time write to a branch. A lock exists while a run
// holds it or waits for it.
type branchLocks struct {
	mu    sync.Mutex
	locks map[branch]*branchLock
}

type branchLock struct {
	users int           // runs that hold it or wait; guarded by the set's lock
	held  chan struct{} // has an element while a run holds the lock
}

// lock waits until no other run writes to the branch, or ctx ends.
func (l *branchLocks) lock(ctx context.Context, b branch) (unlock func(), err error) {
	lock := l.join(b)
	select {
	case lock.held <- struct{}{}:
		return func() { <-lock.held; l.leave(b) }, nil
	case <-ctx.Done():
		l.leave(b)
		return nil, ctx.Err()
	}
}

func (l *branchLocks) join(b branch) *branchLock {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.locks == nil {
		l.locks = map[branch]*branchLock{}
	}
	if l.locks[b] == nil {
		l.locks[b] = &branchLock{held: make(chan struct{}, 1)}
	}
	l.locks[b].users++
	return l.locks[b]
}

func (l *branchLocks) leave(b branch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.locks[b].users--; l.locks[b].users == 0 {
		delete(l.locks, b)
	}
}
