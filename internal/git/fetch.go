// SPDX-License-Identifier: Apache-2.0

package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/disk"
	"github.com/sluice-cd/sluice/internal/git/pack"
)

// maxPacks is when a generation is full. Finding an object costs a look into
// each pack, and starting anew costs a fetch of all files.
const maxPacks = 48

// Fetch makes sure that the mirror has a commit, which is what ref resolved to.
// It asks nothing when the mirror has it already. ErrRefNotFound means that the
// remote does not hand it out: it went away since it was resolved. A commit that was
// beyond the limits once is not fetched again: it would be the same.
func (m *Mirror) Fetch(ctx context.Context, ref string, want plumbing.Hash) error {
	return m.withMemory(ctx, func(share memoryShare) error { return m.fetch(ctx, share, ref, want) })
}

// withMemory runs what adds objects and takes memory of the share of its namespace. While it is
// short of memory, others have their turn: those of other namespaces have a share of their own.
func (m *Mirror) withMemory(ctx context.Context, work func(memoryShare) error) error {
	grant := m.memory.Open(m.namespace)
	defer grant.Release()
	for {
		release, err := m.acquire(ctx)
		if err != nil {
			return err
		}
		err = work(memoryShare{memory: m.memory, namespace: m.namespace, within: grant})
		release()
		if !errors.Is(err, budget.ErrExhausted) {
			return err
		}
		if err := grant.Wait(ctx, 0); err != nil {
			return fmt.Errorf("fetching from %s: %w", m.remote, err)
		}
	}
}

// fetch is one attempt of Fetch.
func (m *Mirror) fetch(ctx context.Context, share memoryShare, ref string, want plumbing.Hash) (err error) {
	if m.refused.err != nil && m.refused.commit == want {
		return m.refused.err
	}
	s := m.current()
	if s != nil && !s.isFull() && m.Has(want) {
		return nil
	}
	defer m.account()
	defer func() {
		if errors.Is(err, pack.ErrTooLarge) || errors.Is(err, budget.ErrTooLarge) {
			m.refused = refusal{want, err}
		}
	}()
	if s == nil || s.isFull() || s.isMostlyGarbage() {
		return m.renew(ctx, share, ref, want)
	}
	err = m.fetchInto(ctx, share, s, want)
	if errors.Is(err, pack.ErrMalformed) || errors.Is(err, pack.ErrCorrupt) {
		return m.renew(ctx, share, ref, want) // what is here and what came do not fit
	}
	if err != nil {
		return m.fetchError(ref, want, err)
	}
	return nil
}

// fetchError says what could not be fetched. A ref that is the commit is named once.
func (m *Mirror) fetchError(ref string, want plumbing.Hash, err error) error {
	what := want.String()
	if ref != what {
		what = fmt.Sprintf("%s (%s)", ref, want)
	}
	return fmt.Errorf("fetching %s from %s: %w", what, m.remote, err)
}

// refusal is why a commit cannot be had, whatever is tried.
type refusal struct {
	commit plumbing.Hash
	err    error
}

// renew starts a generation with nothing but the wanted commit.
func (m *Mirror) renew(ctx context.Context, share memoryShare, ref string, want plumbing.Hash) error {
	m.last++
	dir := filepath.Join(m.dir, fmt.Sprintf("%08d", m.last))
	s, err := createStore(dir)
	if err == nil {
		err = m.fetchInto(ctx, share, s, want)
	}
	if err != nil {
		return errors.Join(m.fetchError(ref, want, err), os.RemoveAll(dir))
	}
	return m.replace(s)
}

// fetchInto adds a commit to a store.
func (m *Mirror) fetchInto(ctx context.Context, share memoryShare, s *store, want plumbing.Hash) error {
	if err := m.receive(ctx, share, s, want); err != nil {
		return err
	}
	complete, err := m.reader(s).complete(want)
	if err != nil {
		return err
	}
	if !complete {
		return fmt.Errorf("%w: the remote did not send commit %s", pack.ErrMalformed, want)
	}
	return s.addTip(want)
}

// receive adds what the remote sends when it is asked for an object.
func (m *Mirror) receive(ctx context.Context, share memoryShare, s *store, want plumbing.Hash) (err error) {
	stream, err := m.conn.fetch(ctx, share, want, s.heads())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stream.Close()) }()
	meter := disk.Meter{Space: m.space, Namespace: m.namespace}
	defer meter.Commit(0) // what stays is counted with the mirror
	received, err := pack.Receive(ctx, filepath.Join(s.dir, packDir), meter.Reader(stream), m.reader(s).read, share.acquire)
	if err != nil {
		return err
	}
	s.add(received)
	return nil
}
