// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// storageLock is held on --storage-path while the process runs: two processes would
// remove each other's mirrors and artifacts as ones that nobody refers to.
type storageLock struct{ file *os.File }

// lockFile is the file below --storage-path that is locked, and says by whom.
const lockFile = "lock"

// lockStorage takes the folder, which it makes if need be, for this process. The lock
// ends with the process, however that ends.
func lockStorage(path string) (*storageLock, error) {
	if path == "" {
		return nil, errors.New("--storage-path: name a folder that the process may write to")
	}
	if err := os.MkdirAll(path, 0o750); err != nil {
		return nil, unwritable(path, err)
	}
	file, err := os.OpenFile(filepath.Join(path, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, unwritable(path, err)
	}
	if err := lock(file, path); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &storageLock{file: file}, nil
}

// lock locks the file and writes into it who holds it, which also tries whether the
// disk takes anything at all.
func lock(file *os.File, path string) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder, _ := io.ReadAll(io.LimitReader(file, 1<<10))
		return fmt.Errorf("--storage-path: %s is in use by another controller (%s); give this one a folder of its own",
			path, strings.TrimSpace(string(holder)))
	}
	// A file system without locks is not refused: it is not wrong to use it alone.
	if err != nil && !errors.Is(err, syscall.ENOTSUP) && !errors.Is(err, syscall.ENOLCK) && !errors.Is(err, syscall.ENOSYS) {
		return unwritable(path, err)
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("finding the host name: %w", err)
	}
	if err := file.Truncate(0); err != nil {
		return unwritable(path, err)
	}
	if _, err := fmt.Fprintf(file, "pid %d on %s\n", os.Getpid(), host); err != nil {
		return unwritable(path, err)
	}
	return nil
}

func unwritable(path string, err error) error {
	return fmt.Errorf("--storage-path: %s cannot be written to (%w); mount a volume there, or name another folder", path, err)
}

// release lets another process take the folder.
func (l *storageLock) release() error { return l.file.Close() }
