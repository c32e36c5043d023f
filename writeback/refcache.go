// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/lru"
)

// refCache remembers where the refs of remotes are, to save round trips:
//
//	listed refs   while runs on a remote overlap, so that a run that waited need not
//	              ask what another asked, or pushed, since it began
//	last heads    where a run left its branch, so that the next run may push without
//	              asking at all; a wrong one loses a race and nothing else
//
// Listed refs go with the last run on their remote, last heads when the cache is full
// or a run fails. A restart loses both, and costs each branch one round trip.
type refCache struct {
	clock clock.PassiveClock
	heads *lru.Cache[branch, plumbing.Hash]

	mu      sync.Mutex
	remotes map[string]*listedRefs // by the remote's id: those with runs
}

// maxHeads bounds the last heads: some ten thousand branches.
const maxHeads = 4 << 20

func newRefCache(clk clock.PassiveClock) *refCache {
	return &refCache{clock: clk, heads: lru.New(maxHeads, weighHead), remotes: map[string]*listedRefs{}}
}

func weighHead(b branch, commit plumbing.Hash) int64 {
	return costOfEntry + int64(len(b.remote)+len(b.name)+len(commit))
}

// listedRefs are the refs of one remote as far as runs have asked for them.
type listedRefs struct {
	runs int // under way or waiting; guarded by the cache's lock

	mu     sync.Mutex // also held while the remote is asked: others wait for the answer
	refs   map[string]plumbing.Hash
	listed time.Time            // when all refs were asked for
	pushed map[string]time.Time // when single refs were pushed
}

// lister asks a remote for its refs. A [git.Mirror] is one.
type lister interface {
	Refs(ctx context.Context) (map[string]plumbing.Hash, error)
}

// refSession is one run's use of the cache. What was listed before the run began does
// not count for it.
type refSession struct {
	cache  *refCache
	remote string
	listed *listedRefs
	since  time.Time
}

// begin opens a session. End it when the run is over.
func (c *refCache) begin(remote string) *refSession {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.remotes[remote] == nil {
		c.remotes[remote] = &listedRefs{pushed: map[string]time.Time{}}
	}
	c.remotes[remote].runs++
	return &refSession{cache: c, remote: remote, listed: c.remotes[remote], since: c.clock.Now()}
}

func (s *refSession) end() {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	if s.listed.runs--; s.listed.runs == 0 {
		delete(s.cache.remotes, s.remote)
	}
}

// list returns the refs of the remote, of which the needed ones are no older than the
// session. If none are named, all are.
func (s *refSession) list(ctx context.Context, remote lister, needed ...string) (map[string]plumbing.Hash, error) {
	l := s.listed
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isFresh(s.since, needed) {
		return maps.Clone(l.refs), nil
	}
	asked := s.cache.clock.Now()
	refs, err := remote.Refs(ctx)
	if err != nil {
		return nil, err
	}
	l.refs, l.listed = refs, asked
	clear(l.pushed)
	return maps.Clone(refs), nil
}

// isFresh reports whether the needed refs were asked for, or pushed, since a time.
func (l *listedRefs) isFresh(since time.Time, needed []string) bool {
	if l.refs == nil {
		return false
	}
	if !l.listed.Before(since) {
		return true
	}
	for _, ref := range needed {
		if at, ok := l.pushed[ref]; !ok || at.Before(since) {
			return false
		}
	}
	return len(needed) > 0
}

// recordPush notes where a push moved refs.
func (s *refSession) recordPush(updates []git.RefUpdate) {
	s.listed.mu.Lock()
	defer s.listed.mu.Unlock()
	if s.listed.refs == nil {
		return
	}
	for _, u := range updates {
		s.listed.refs[u.Ref] = u.New
		s.listed.pushed[u.Ref] = s.cache.clock.Now()
	}
}

// invalidate makes the next list ask the remote: what was listed proved wrong.
func (s *refSession) invalidate() {
	s.listed.mu.Lock()
	defer s.listed.mu.Unlock()
	s.listed.refs = nil
}

// lastHead is where the last run left a branch; zero if that is not known.
func (s *refSession) lastHead(name string) plumbing.Hash {
	head, _ := s.cache.heads.Get(branch{s.remote, name})
	return head
}

// setLastHead notes where a run leaves a branch; zero forgets it.
func (s *refSession) setLastHead(name string, head plumbing.Hash) {
	if head.IsZero() {
		s.cache.heads.Remove(branch{s.remote, name})
		return
	}
	s.cache.heads.Put(branch{s.remote, name}, head)
}
