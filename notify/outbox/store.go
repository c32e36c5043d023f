// SPDX-License-Identifier: Apache-2.0

package outbox

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// store is a folder with a file for each entry: <time in nanoseconds>-<hash of the
// ID>.json, so that the order of names is that of time.
type store struct{ dir string }

const (
	suffix    = ".json"
	temporary = ".new"
	// maxFile bounds what is read of a file: a body and what is around it.
	maxFile = 2 * maxBody
)

func (s store) path(id string, added time.Time) string {
	sum := sha256.Sum256([]byte(id))
	return filepath.Join(s.dir, fmt.Sprintf("%020d-%s%s", added.UnixNano(), hex.EncodeToString(sum[:8]), suffix))
}

// durability is what an entry that was written outlives.
type durability int

const (
	buffered durability = iota // the end of the process
	synced                     // that of the node, too
)

// write keeps an entry. A file is whole or not there at all.
func (s store) write(e Entry, d durability) (err error) {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	path := s.path(e.ID, e.Added)
	file, err := os.OpenFile(path+temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil && d == synced {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(path+temporary, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(path+temporary))
	}
	if d == synced {
		return syncFolder(s.dir)
	}
	return nil
}

func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// errMalformed marks a file that no entry was written to. Other errors of reading, such as too many open
// files, say nothing about the entry.
var errMalformed = errors.New("it holds no message")

// load returns what is kept, oldest first. What is malformed is removed and logged; what cannot be read
// is logged, and left for the next start.
func (s store) load(broken func(file string, err error)) ([]Entry, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var found []Entry
	for _, file := range files {
		path := filepath.Join(s.dir, file.Name())
		if !strings.HasSuffix(path, suffix) {
			_ = os.Remove(path) // it was being written, and Put had not returned
			continue
		}
		e, err := readEntry(path)
		if err == nil && s.path(e.ID, e.Added) != path {
			err = fmt.Errorf("%w: its name is that of another entry", errMalformed)
		}
		if err != nil {
			broken(file.Name(), err)
			if errors.Is(err, errMalformed) {
				_ = os.Remove(path)
			}
			continue
		}
		found = append(found, e)
	}
	return found, nil
}

func readEntry(path string) (Entry, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Entry{}, err
	}
	if info.Size() > maxFile {
		return Entry{}, fmt.Errorf("%w: it has %d bytes", errMalformed, info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Entry{}, err
	}
	var e Entry
	if err := json.Unmarshal(data, &e); err != nil {
		return Entry{}, fmt.Errorf("%w: %w", errMalformed, err)
	}
	return e, nil
}

// read returns an entry with its body. An error that says nothing about the entry is [Temporary].
func (s store) read(k entryHeader) (Entry, error) {
	if k.whole != nil {
		return *k.whole, nil
	}
	e, err := readEntry(s.path(k.id, k.added))
	if err != nil && !errors.Is(err, errMalformed) && !errors.Is(err, fs.ErrNotExist) {
		return Entry{}, &Temporary{Err: err}
	}
	return e, err
}

func (s store) remove(k entryHeader) error {
	if k.whole != nil {
		return nil
	}
	err := os.Remove(s.path(k.id, k.added))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
