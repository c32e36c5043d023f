// SPDX-License-Identifier: Apache-2.0

package git

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/disk"
	"github.com/sluice-cd/sluice/internal/git/protocol"
)

// Mirror is a bare, shallow copy of a remote repository. It is safe for
// concurrent use: reading and asking the remote never wait for a fetch.
//
// On disk it is a directory of generations. A generation takes one small pack
// with each fetch and each commit written; when it has many, or is found to be
// damaged, the next fetch starts a new one. The one before stays until then, so
// that a commit that is being made on it can be finished and pushed.
type Mirror struct {
	*sharedMirror
	namespace string
}

// memoryShare is the share of the memory that what this mirror is asked for takes of.
func (m *Mirror) memoryShare() memoryShare {
	return memoryShare{memory: m.memory, namespace: m.namespace}
}

// reader reads a store within the same share.
func (m *Mirror) reader(s *store) reader {
	return reader{s, func(bytes int64) (*budget.Grant, error) { return m.memory.TryAcquire(m.namespace, bytes) }}
}

// sharedMirror is what all who use a mirror share.
type sharedMirror struct {
	remote Remote
	dir    string
	conn   *connection
	trees  *treeCache
	memory *budget.Budget
	space  *disk.Space
	gone   atomic.Bool // it was removed; who still has it does not bring it back
	// busy is held while objects are added. A channel, since a waiting caller's
	// context may end.
	busy    chan struct{}
	refused refusal // guarded by busy

	mu     sync.RWMutex
	usage  usage
	stores []*store // newest first
	last   int      // number of the newest generation
}

// keptStores is how many generations a mirror has at most.
const keptStores = 2

// openMirror takes up what an earlier process left in dir, and removes what
// cannot be used.
func openMirror(dir string, remote Remote, conn *connection, set *Mirrors) (*sharedMirror, error) {
	m := &sharedMirror{
		remote: remote, dir: dir, conn: conn, trees: set.trees, memory: set.Memory, space: set.Space, busy: make(chan struct{}, 1),
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making mirror: %w", err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "[0-9]*"))
	if err != nil {
		return nil, fmt.Errorf("opening mirror: %w", err)
	}
	for i := len(names) - 1; i >= 0; i-- { // Glob sorts; names have equal length
		s, err := openStore(names[i])
		if err != nil || len(m.stores) > 0 {
			if err := os.RemoveAll(names[i]); err != nil {
				return nil, fmt.Errorf("removing old mirror: %w", err)
			}
			continue
		}
		m.stores = []*store{s}
		_, _ = fmt.Sscanf(filepath.Base(names[i]), "%d", &m.last)
	}
	m.account()
	return m, nil
}

// account counts what is on the disk. A mirror that was removed while somebody fetched
// goes once more.
func (m *sharedMirror) account() {
	if m.gone.Load() {
		_ = os.RemoveAll(m.dir)
	}
	size := disk.SizeOf(m.dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.usage.kept(m.space, size)
}

// usedBy notes that a namespace uses the mirror.
func (m *sharedMirror) usedBy(namespace string, now time.Time) *Mirror {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.usage.join(m.space, namespace, now)
	return &Mirror{m, namespace}
}

// leftBy notes that namespaces do not use it any more, since a time or at all.
func (m *sharedMirror) leftBy(gone func(namespace string, last time.Time) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.usage.leave(m.space, gone)
}

// remove deletes the mirror from the disk.
func (m *sharedMirror) remove() {
	m.gone.Store(true)
	m.account()
}

// acquire waits until the caller alone may add objects.
func (m *sharedMirror) acquire(ctx context.Context) (release func(), err error) {
	select {
	case m.busy <- struct{}{}:
		return func() { <-m.busy }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the mirror of %s: %w", m.remote, ctx.Err())
	}
}

// Resolve asks the remote what a ref is now: HEAD, a branch, a tag (peeled to
// its commit), or a full ref name. A commit id is returned as it is, unasked.
// One round trip.
func (m *Mirror) Resolve(ctx context.Context, ref string) (plumbing.Hash, error) {
	if plumbing.IsHash(ref) {
		return plumbing.NewHash(ref), nil
	}
	refs, err := m.Refs(ctx)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	candidates := []string{"refs/heads/" + ref, "refs/tags/" + ref}
	if ref == "HEAD" || strings.HasPrefix(ref, "refs/") {
		candidates = []string{ref}
	}
	for _, name := range candidates {
		if h, ok := refs[name]; ok {
			return h, nil
		}
	}
	return plumbing.ZeroHash, fmt.Errorf("resolving %q at %s: %w", ref, m.remote, ErrRefNotFound)
}

// Refs asks the remote for all its refs: full name, or HEAD, to commit. Tags
// are peeled. An empty repository has none.
func (m *Mirror) Refs(ctx context.Context) (map[string]plumbing.Hash, error) {
	advertised, err := m.advertised(ctx)
	if err != nil {
		return nil, err
	}
	return advertised.Refs, nil
}

func (m *Mirror) advertised(ctx context.Context) (*protocol.Advertisement, error) {
	advertised, err := m.conn.refs(ctx, m.memoryShare())
	if err != nil {
		return nil, fmt.Errorf("listing refs of %s: %w", m.remote, err)
	}
	return advertised, nil
}

// Has reports whether the mirror has a commit with all its files.
func (m *Mirror) Has(h plumbing.Hash) bool { return m.storeOf(h) != nil }

// storeOf returns the newest generation that has the commit, or nil.
func (m *sharedMirror) storeOf(commit plumbing.Hash) *store {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, s := range m.stores {
		if s.has(commit) {
			return s
		}
	}
	return nil
}

// Tree returns the files of a commit that the mirror has; ErrMissing when it
// has not. The tree stays readable for as long as it is held.
func (m *Mirror) Tree(commit plumbing.Hash) (*CommitTree, error) {
	s := m.storeOf(commit)
	if s == nil {
		return nil, fmt.Errorf("%w: commit %s of %s", ErrMissing, commit, m.remote)
	}
	return newCommitTree(m.reader(s), m.trees, commit)
}

// current is the newest generation, or nil when there is none to trust.
func (m *sharedMirror) current() *store {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if len(m.stores) == 0 || !m.stores[0].isIntact() {
		return nil
	}
	return m.stores[0]
}

// replace makes s the newest generation and forgets those before the last.
func (m *sharedMirror) replace(s *store) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stores = append([]*store{s}, m.stores...)
	for len(m.stores) > keptStores {
		oldest := m.stores[len(m.stores)-1]
		m.stores = m.stores[:len(m.stores)-1]
		if err := os.RemoveAll(oldest.dir); err != nil {
			return fmt.Errorf("removing old mirror: %w", err)
		}
	}
	return nil
}
