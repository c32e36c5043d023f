// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/git/pack"
)

// store is one generation of a mirror on disk: a bare repository that holds a
// set of commits, each with all of its files and without its ancestors.
//
// The file "shallow" lists those commits. It is what Git calls the shallow
// points and what a fetch must tell the server, which would otherwise believe
// that the history behind them is here, and leave out of the answer files that
// only that history has.
//
// Its files are closed by the garbage collector: a reader may hold on to a store
// that its mirror has long replaced and removed from the disk.
type store struct {
	dir string

	mu    sync.RWMutex
	packs []*pack.Pack                  // newest first
	tips  []plumbing.Hash               // commits that are here and at the remote
	local map[plumbing.Hash]localCommit // commits that Write made and nobody pushed
	bad   error                         // the first corruption seen
}

// localCommit is a commit that is only here, with the pack that Write made for it.
type localCommit struct {
	base plumbing.Hash
	pack *pack.Pack
}

const (
	packDir     = "objects/pack"
	shallowFile = "shallow"
)

// createStore makes an empty store in dir, which must not exist.
func createStore(dir string) (*store, error) {
	for _, sub := range []string{packDir, "refs/heads"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("making mirror: %w", err)
		}
	}
	files := map[string]string{
		"HEAD":   "ref: refs/heads/main\n",
		"config": "[core]\n\trepositoryformatversion = 0\n\tbare = true\n",
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return nil, fmt.Errorf("making mirror: %w", err)
		}
	}
	return &store{dir: dir, local: map[plumbing.Hash]localCommit{}}, nil
}

// openStore opens what an earlier process left in dir. A store without commits
// was never finished, which is an error, as is any damage that can be seen from
// the outside.
func openStore(dir string) (*store, error) {
	s := &store{dir: dir, local: map[plumbing.Hash]localCommit{}}
	data, err := os.ReadFile(filepath.Join(dir, shallowFile))
	if err != nil {
		return nil, fmt.Errorf("opening mirror: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		s.tips = append(s.tips, plumbing.NewHash(strings.TrimSpace(line)))
	}
	indexes, err := filepath.Glob(filepath.Join(dir, packDir, "pack-*.idx"))
	if err != nil {
		return nil, fmt.Errorf("opening mirror: %w", err)
	}
	for _, index := range indexes {
		p, err := pack.Open(strings.TrimSuffix(index, ".idx") + ".pack")
		if err != nil {
			return nil, fmt.Errorf("opening mirror: %w", err)
		}
		s.packs = append(s.packs, p)
	}
	for _, tip := range s.tips {
		if !s.holds(tip) {
			return nil, fmt.Errorf("opening mirror: %w: %s", ErrMissing, tip)
		}
	}
	if len(s.tips) == 0 {
		return nil, fmt.Errorf("opening mirror: %w: it is empty", ErrMissing)
	}
	s.sweep()
	return s, nil
}

// sweep removes what a killed process left half-written: temporary files, and packs whose
// index was not there yet, which makes them count.
func (s *store) sweep() {
	left, _ := filepath.Glob(filepath.Join(s.dir, packDir, "tmp_pack_*"))
	packs, _ := filepath.Glob(filepath.Join(s.dir, packDir, "*.pack"))
	for _, path := range packs {
		if !slices.ContainsFunc(s.packs, func(p *pack.Pack) bool { return p.Path() == path }) {
			left = append(left, path)
		}
	}
	for _, path := range left {
		_ = os.Remove(path)
	}
}

// has reports whether a commit is here with all its files.
func (s *store) has(commit plumbing.Hash) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, drafted := s.local[commit]
	return s.bad == nil && (drafted || slices.Contains(s.tips, commit))
}

// isIntact reports whether no damage was seen.
func (s *store) isIntact() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.bad == nil
}

// complete reports whether the commit is here, and the directory it names. The error
// is that of a commit that is beyond the limits.
func (s reader) complete(commit plumbing.Hash) (bool, error) {
	c, err := s.commit(commit)
	if errors.Is(err, pack.ErrTooLarge) {
		return false, err
	}
	if err != nil {
		return false, nil // what cannot be read is not here
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.holds(c.TreeHash), nil
}

// holds reports whether the object is in a pack.
func (s *store) holds(h plumbing.Hash) bool {
	return slices.ContainsFunc(s.packs, func(p *pack.Pack) bool { return p.Has(h) })
}

// reader reads a store for somebody.
type reader struct {
	*store
	memory pack.TryAcquireMemory // of the reader's share; nil has no bounds
}

// read returns an object.
func (s reader) read(h plumbing.Hash) (pack.Object, error) {
	return find(s.store, h, func(p *pack.Pack, h plumbing.Hash) (pack.Object, error) { return p.ReadWithin(h, s.memory) })
}

// size returns how long an object is.
func (s *store) size(h plumbing.Hash) (int64, error) {
	return find(s, h, (*pack.Pack).Size)
}

// find asks the packs for an object. Corruption is remembered: the store is then no
// longer trusted with anything.
func find[T any](s *store, h plumbing.Hash, ask func(*pack.Pack, plumbing.Hash) (T, error)) (T, error) {
	s.mu.RLock()
	packs := s.packs
	s.mu.RUnlock()
	for _, p := range packs {
		found, err := ask(p, h)
		if errors.Is(err, pack.ErrNotFound) {
			continue
		}
		if errors.Is(err, pack.ErrCorrupt) {
			s.markCorrupt(err)
		}
		return found, err
	}
	var none T
	return none, fmt.Errorf("%w: %s: %w", ErrMissing, h, pack.ErrNotFound)
}

// markCorrupt notes the first damage that was seen: the mirror is fetched again.
func (s *store) markCorrupt(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bad == nil {
		s.bad = err
	}
}

// add makes the objects of a pack readable; readers keep the list they have.
func (s *store) add(p *pack.Pack) {
	if p == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	same := func(other *pack.Pack) bool { return other.Path() == p.Path() }
	if slices.ContainsFunc(s.packs, same) {
		return // written twice, with equal content
	}
	s.packs = append([]*pack.Pack{p}, s.packs...)
}

// addTip records a commit as being both here and at the remote.
func (s *store) addTip(commit plumbing.Hash) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.local, commit)
	if slices.Contains(s.tips, commit) {
		return nil
	}
	tips := append(slices.Clone(s.tips), commit)
	var list bytes.Buffer
	for _, tip := range tips {
		fmt.Fprintln(&list, tip)
	}
	path := filepath.Join(s.dir, shallowFile)
	if err := os.WriteFile(path+".tmp", list.Bytes(), 0o600); err != nil {
		return fmt.Errorf("recording commit: %w", err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("recording commit: %w", err)
	}
	s.tips = tips
	return nil
}

// addUnpushed records a commit that exists only here.
func (s *store) addUnpushed(commit plumbing.Hash, d localCommit) {
	s.add(d.pack)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.tips, commit) {
		s.local[commit] = d
	}
}

// unpushed returns the commits from one that Write made back to the one that the
// remote has, or to the first; none when the remote has it itself. ErrMissing means that the
// commit is unknown.
func (s *store) unpushed(commit plumbing.Hash) ([]localCommit, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var chain []localCommit
	for !commit.IsZero() && !slices.Contains(s.tips, commit) {
		d, ok := s.local[commit]
		if !ok {
			return nil, fmt.Errorf("%w: commit %s", ErrMissing, commit)
		}
		chain = append(chain, d)
		commit = d.base
	}
	return chain, nil
}

// heads returns the commits that a fetch may tell the server about.
func (s *store) heads() []plumbing.Hash {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.tips)
}

// isFull reports whether there are so many packs that all is better fetched anew.
func (s *store) isFull() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.packs) >= maxPacks
}

// allowedGarbage is how many bytes a store may hold beyond what it needs.
const allowedGarbage = 8 << 20

// isMostlyGarbage reports whether most of the store is likely to be of no use any more. What a
// fetch of everything brought is its largest pack, and what came since at least as much.
func (s *store) isMostlyGarbage() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all, largest int64
	for _, p := range s.packs {
		all += p.Bytes()
		largest = max(largest, p.Bytes())
	}
	return all > 2*largest+allowedGarbage
}
