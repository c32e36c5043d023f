package writeback

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/git"
)

// views remember where the refs of a remote are for as long as runs wait for one
// another, so that those who waited need not ask again what the one before them
// asked, or made so, since they came.
type views struct {
	clock clock.PassiveClock

	mu       sync.Mutex
	byRemote map[string]*view
}

// view is what is known of one remote.
type view struct {
	guests int // runs that are under way or waiting
	mu     sync.Mutex
	refs   map[string]plumbing.Hash
	asked  time.Time            // when all refs were asked for
	pushed map[string]time.Time // when single ones were moved
}

// visit is one run's look at a view: nothing that was known before it came
// counts.
type visit struct {
	*view
	clock clock.PassiveClock
	since time.Time
}

func (v *views) enter(remote git.Remote) (*visit, func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	id := remote.ID()
	if v.byRemote[id] == nil {
		v.byRemote[id] = &view{pushed: map[string]time.Time{}}
	}
	at := v.byRemote[id]
	at.guests++
	return &visit{view: at, clock: v.clock, since: v.clock.Now()}, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		if at.guests--; at.guests == 0 {
			delete(v.byRemote, id)
		}
	}
}

// look returns the remote's refs, of which those that are needed are no older
// than the visit. Without needed ones, all are.
func (v *visit) look(ctx context.Context, mirror *git.Mirror, needed ...string) (map[string]plumbing.Hash, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.knows(needed) {
		return maps.Clone(v.refs), nil
	}
	asked := v.clock.Now()
	refs, err := mirror.Refs(ctx)
	if err != nil {
		return nil, err
	}
	v.refs, v.asked = refs, asked
	clear(v.pushed)
	return maps.Clone(refs), nil
}

func (v *visit) knows(needed []string) bool {
	if v.refs == nil {
		return false
	}
	if !v.asked.Before(v.since) {
		return true
	}
	for _, ref := range needed {
		if at, ok := v.pushed[ref]; !ok || at.Before(v.since) {
			return false
		}
	}
	return len(needed) > 0
}

// moved notes a push.
func (v *visit) moved(updates []git.RefUpdate) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, u := range updates {
		if v.refs != nil {
			v.refs[u.Ref] = u.New
			v.pushed[u.Ref] = v.clock.Now()
		}
	}
}

// doubt makes the next look ask the remote: what is known was proved wrong.
func (v *visit) doubt() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.refs = nil
}
