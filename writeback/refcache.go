// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/lru"
)

// branch is a branch of a remote, by the remote's id and the branch's short name.
type branch struct{ remote, name string }

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
	// asking is one question to a remote for all runs on it of a namespace, of whose share of
	// the memory the answer takes.
	asking background.Group[refsKey, map[string]plumbing.Hash]

	mu      sync.Mutex
	remotes map[string]*listedRefs // by the remote's id: those with runs
}

// askTimeout ends a question that a server does not answer, however many wait for it: the default of spec.timeout of a GitRepository.
const askTimeout = time.Minute

type refsKey struct{ remote, namespace string }

// maxHeads bounds the last heads: some ten thousand branches.
const maxHeads = 4 << 20

func newRefCache(clk clock.PassiveClock) *refCache {
	c := &refCache{clock: clk, heads: lru.New(maxHeads, weighHead), remotes: map[string]*listedRefs{}}
	c.asking.Timeout = askTimeout
	return c
}

func weighHead(b branch, commit plumbing.Hash) int64 {
	return costOfEntry + int64(len(b.remote)+len(b.name)+len(commit))
}

// listedRefs are the refs of one remote as far as runs have asked for them.
type listedRefs struct {
	runs int // under way or waiting; guarded by the cache's lock

	mu     sync.Mutex
	refs   map[string]plumbing.Hash // nil if they are not known
	listed time.Time                // when all refs were asked for
	pushed map[string]pushedRef     // single refs, since all were asked for
}

// pushedRef is where a push moved a ref.
type pushedRef struct {
	to       plumbing.Hash
	pushedAt time.Time
}

// lister asks a remote for its refs. A [git.Mirror] is one.
type lister interface {
	Refs(ctx context.Context) (map[string]plumbing.Hash, error)
}

// refSession is one run's use of the cache. What was listed before the run began does
// not count for it.
type refSession struct {
	refsKey
	cache  *refCache
	listed *listedRefs
	since  time.Time
}

// begin opens a session. End it when the run is over.
func (c *refCache) begin(remote, namespace string) *refSession {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.remotes[remote] == nil {
		c.remotes[remote] = &listedRefs{pushed: map[string]pushedRef{}}
	}
	c.remotes[remote].runs++
	return &refSession{refsKey: refsKey{remote, namespace}, cache: c, listed: c.remotes[remote], since: c.clock.Now()}
}

func (s *refSession) end() {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	if s.listed.runs--; s.listed.runs == 0 {
		delete(s.cache.remotes, s.remote)
	}
}

// list returns the refs of the remote, of which the needed ones are no older than the
// session. If none are named, all are. It waits no longer than ctx for what another run asked.
func (s *refSession) list(ctx context.Context, remote lister, needed ...string) (map[string]plumbing.Hash, error) {
	if refs := s.listed.refsSince(s.since, needed); refs != nil {
		return refs, nil
	}
	asked := s.cache.clock.Now()
	ask := func(ctx context.Context) (map[string]plumbing.Hash, error) {
		refs, err := remote.Refs(ctx)
		if err != nil {
			return nil, err
		}
		return s.listed.record(refs, asked), nil
	}
	refs, err := s.cache.asking.DoSince(ctx, s.refsKey, s.since, asked, ask)
	return maps.Clone(refs), err
}

// refsSince returns the refs if the needed ones were asked for, or pushed, since a time; else nil.
func (l *listedRefs) refsSince(since time.Time, needed []string) map[string]plumbing.Hash {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refs == nil {
		return nil
	}
	stale := func(ref string) bool {
		pushed, ok := l.pushed[ref]
		return !ok || pushed.pushedAt.Before(since)
	}
	if l.listed.Before(since) && (len(needed) == 0 || slices.ContainsFunc(needed, stale)) {
		return nil
	}
	return maps.Clone(l.refs)
}

// record notes what the remote answered to the question at a time, and returns it with what
// runs pushed meanwhile, which the answer may not have. Of two questions, the answer to the later one counts.
func (l *listedRefs) record(refs map[string]plumbing.Hash, asked time.Time) map[string]plumbing.Hash {
	l.mu.Lock()
	defer l.mu.Unlock()
	overtaken := asked.Before(l.listed)
	for ref, pushed := range l.pushed {
		switch {
		case pushed.pushedAt.After(asked):
			refs[ref] = pushed.to
		case !overtaken:
			delete(l.pushed, ref)
		}
	}
	if !overtaken {
		l.refs, l.listed = refs, asked
	}
	return maps.Clone(refs)
}

// recordPush notes where a push moved refs.
func (s *refSession) recordPush(updates []git.RefUpdate) {
	s.listed.mu.Lock()
	defer s.listed.mu.Unlock()
	for _, u := range updates {
		s.listed.pushed[u.Ref] = pushedRef{to: u.New, pushedAt: s.cache.clock.Now()}
		if s.listed.refs != nil {
			s.listed.refs[u.Ref] = u.New
		}
	}
}

// invalidate makes the next list ask the remote: what was listed proved wrong, as would be
// the answer to a question that is under way.
func (s *refSession) invalidate() {
	s.since = s.cache.clock.Now()
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
