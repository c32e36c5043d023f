// SPDX-License-Identifier: Apache-2.0

package playground

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/sluice-cd/sluice/test/playground/internal/process"
	"github.com/sluice-cd/sluice/test/playground/internal/realnode"
)

// state is what a playground must remember between two runs of the launcher.
type state struct {
	Node      Node                        `json:"node"`
	Password  string                      `json:"password"`
	Ports     map[string]int              `json:"ports"`
	Processes map[string]process.Identity `json:"processes"`
	Host      *realnode.Host              `json:"host,omitempty"` // of a real node

	mu   sync.Mutex
	path string
}

// errNone means that a folder holds no playground.
var errNone = errors.New("no playground here")

// readState returns errNone if dir holds no playground.
func readState(dir string) (*state, error) {
	s := &state{path: filepath.Join(dir, "state.json")}
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNone
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("reading %s: %w", s.path, err)
	}
	if s.Processes == nil {
		s.Processes = map[string]process.Identity{}
	}
	return s, nil
}

func newState(dir string, node Node) *state {
	return &state{
		Node:      node,
		Password:  rand.Text(),
		Ports:     map[string]int{},
		Processes: map[string]process.Identity{},
		path:      filepath.Join(dir, "state.json"),
	}
}

// process returns what is remembered under a name.
func (s *state) process(name string) process.Identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Processes[name]
}

// started remembers a process before anything else can go wrong: a process
// that is not written down is one that down cannot end.
func (s *state) started(name string, id process.Identity) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Processes[name] = id
	return s.saveLocked()
}

func (s *state) save() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.saveLocked()
}

func (s *state) saveLocked() error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	tmp := s.path + ".tmp"
	if err := os.WriteFile(tmp, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("remembering the playground: %w", err)
	}
	return os.Rename(tmp, s.path)
}

// lock lets only one launcher at a time work on a playground. Whoever waited
// while down removed the folder, and with it the file that the lock is on, has
// a lock on nothing and begins again.
func lock(dir string) (unlock func(), err error) {
	for {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("making the playground's folder: %w", err)
		}
		name := filepath.Join(dir, "lock")
		f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return nil, fmt.Errorf("locking the playground: %w", err)
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			f.Close()
			return nil, fmt.Errorf("locking the playground: %w", err)
		}
		if isFile(f, name) {
			return func() { f.Close() }, nil
		}
		f.Close()
	}
}

// isFile reports whether f is still what name leads to.
func isFile(f *os.File, name string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	found, err := os.Stat(name)
	return err == nil && os.SameFile(opened, found)
}
