// SPDX-License-Identifier: Apache-2.0

package git

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/disk"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// Mirrors is the set of all mirrors below one directory, which one process has
// to itself. It is safe for concurrent use.
type Mirrors struct {
	dir   string
	clock clock.PassiveClock
	trees *treeCache

	mu      sync.Mutex
	open    map[string]*mirrorUse
	clients map[string]*httpClient
	swept   time.Time
	owned   map[string]ownership // the mirror of each owner
	owners  map[string]int       // how many owners a mirror has
	found   map[string]int64     // bytes of what an earlier process left
	fetched atomic.Int64         // bytes of packs

	// Guard is what connections go through, and Memory what they take of; nil are
	// those without bounds. Set them, too, before the first Get.
	Guard  *outbound.Guard
	Memory *budget.Budget
	// Space is what is free on the disk, likewise.
	Space *disk.Space
	// SSHKeyExchanges and SSHHostKeys are the algorithms to offer to SSH servers;
	// none means those that are considered safe. Set them before the first Get.
	SSHKeyExchanges, SSHHostKeys []string
}

// httpClient is a client that those with the same certificates and proxy share.
type httpClient struct {
	*http.Client
	used time.Time
}

// ownership is which mirror an owner has, and in which namespace the owner is.
type ownership struct{ id, namespace string }

// mirrorUse is an open mirror and when it was last asked for.
type mirrorUse struct {
	mirror   *sharedMirror
	lastUsed time.Time
}

// A mirror that nobody asked for in this time is removed: its repository or its
// credential is not in use any more, and fetching it again is cheap enough for
// the rest.
const (
	idleAfter  = 48 * time.Hour
	sweepEvery = time.Hour
)

// NewMirrors returns the mirrors kept below dir, which is made when needed. What
// is there from an earlier process is used again.
func NewMirrors(dir string, clk clock.PassiveClock) *Mirrors {
	return &Mirrors{
		dir: dir, clock: clk, trees: newTreeCache(maxCachedEntries),
		open: map[string]*mirrorUse{}, clients: map[string]*httpClient{},
		owned: map[string]ownership{}, owners: map[string]int{},
	}
}

// Get returns the mirror of a remote. It asks the remote nothing: Resolve and
// Fetch do. A URL that cannot be used gives ErrUnsupportedURL.
func (m *Mirrors) Get(_ context.Context, remote Remote) (*Mirror, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.clock.Now()
	if err := m.sweep(now); err != nil {
		return nil, err
	}
	id := remote.ID()
	m.own(remote.Owner, ownership{id, remote.Namespace})
	if u, ok := m.open[id]; ok {
		u.lastUsed = now
		return u.mirror.usedBy(remote.Namespace, now), nil
	}
	conn, err := m.dial(remote)
	if errors.Is(err, ErrUnsupportedURL) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("opening mirror of %s: %w", remote, err)
	}
	m.Space.Release("", m.found[id]) // it counts as the mirror's from now on
	delete(m.found, id)
	mirror, err := openMirror(filepath.Join(m.dir, id), remote, conn, m)
	if err != nil {
		return nil, err
	}
	m.open[id] = &mirrorUse{mirror: mirror, lastUsed: now}
	return mirror.usedBy(remote.Namespace, now), nil
}

// OwnedBy returns the mirror of an owner, as it was when somebody read the owner's remote last; not ok if nobody did since the start,
// or the mirror was not used for long. Its use does not count as one.
func (m *Mirrors) OwnedBy(owner string) (mirror *Mirror, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	of, ok := m.owned[owner]
	if !ok {
		return nil, false
	}
	u, ok := m.open[of.id]
	if !ok {
		return nil, false
	}
	return &Mirror{u.mirror, of.namespace}, true
}

// own notes which mirror an owner has now. The lock is held.
func (m *Mirrors) own(owner string, now ownership) {
	before := m.owned[owner]
	if owner == "" || before == now {
		return
	}
	if now.id == "" {
		delete(m.owned, owner)
	} else {
		m.owned[owner] = now
		m.owners[now.id]++
	}
	if before.id != "" {
		m.releaseOwner(before)
	}
}

// releaseOwner notes that an owner has a mirror no more. The lock is held.
func (m *Mirrors) releaseOwner(before ownership) {
	u, open := m.open[before.id]
	if m.owners[before.id]--; m.owners[before.id] > 0 {
		if open { // others of the namespace say so when they ask for it
			u.mirror.leftBy(func(namespace string, _ time.Time) bool { return namespace == before.namespace })
		}
		return
	}
	delete(m.owners, before.id)
	if open {
		delete(m.open, before.id)
		u.mirror.remove()
	}
}

// Forget removes the mirror of an owner that is gone, unless others have it too.
func (m *Mirrors) Forget(owner string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.own(owner, ownership{})
}

// Sweep removes what nobody has used for two days. Get does so, too, once an hour.
func (m *Mirrors) Sweep() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sweep(m.clock.Now())
}

// sweep removes the mirrors that nobody uses, and those that an earlier process
// left and nobody asked this one for.
func (m *Mirrors) sweep(now time.Time) error {
	if m.swept.IsZero() {
		m.swept = now // a fresh process has not been asked for anything yet
		m.count()
	}
	if now.Sub(m.swept) < sweepEvery {
		return nil
	}
	m.swept = now
	for id, u := range m.open {
		if now.Sub(u.lastUsed) > idleAfter {
			delete(m.open, id)
			u.mirror.remove()
			continue
		}
		u.mirror.leftBy(func(_ string, last time.Time) bool { return now.Sub(last) > idleAfter })
	}
	for key, client := range m.clients {
		if now.Sub(client.used) > idleAfter {
			client.CloseIdleConnections()
			delete(m.clients, key)
		}
	}
	return m.sweepDisk(now)
}

// count looks at what an earlier process left.
func (m *Mirrors) count() {
	m.found = map[string]int64{}
	dirs, _ := os.ReadDir(m.dir)
	for _, dir := range dirs {
		size := disk.SizeOf(filepath.Join(m.dir, dir.Name()))
		m.found[dir.Name()] = size
		m.Space.Record("", size)
	}
}

// sweepDisk removes what is there and not open.
func (m *Mirrors) sweepDisk(now time.Time) error {
	dirs, err := os.ReadDir(m.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("looking for idle mirrors: %w", err)
	}
	for _, dir := range dirs {
		if _, inUse := m.open[dir.Name()]; inUse {
			continue
		}
		info, err := dir.Info()
		if err == nil && now.Sub(info.ModTime()) > idleAfter {
			err = os.RemoveAll(filepath.Join(m.dir, dir.Name()))
			m.Space.Release("", m.found[dir.Name()])
			delete(m.found, dir.Name())
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing idle mirror: %w", err)
		}
	}
	return nil
}
