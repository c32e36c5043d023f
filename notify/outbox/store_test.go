// SPDX-License-Identifier: Apache-2.0

package outbox

import (
	"errors"
	"os"
	"testing"
	"time"
)

// TestWhatCannotBeReadNowIsKept has a file that no open works on, as when a process has too many of them.
func TestWhatCannotBeReadNowIsKept(t *testing.T) {
	s := store{dir: t.TempDir()}
	e := Entry{ID: "a", Kind: "k", Added: time.Unix(1_700_000_000, 0)}
	if err := s.write(e, buffered); err != nil {
		t.Fatal(err)
	}
	path := s.path(e.ID, e.Added)
	if err := errors.Join(os.Rename(path, path+"-aside"), os.Symlink(path, path)); err != nil { // a loop
		t.Fatal(err)
	}
	temporary := &Temporary{}
	if _, err := s.read(entryHeader{id: e.ID, added: e.Added}); !errors.As(err, &temporary) {
		t.Errorf("read = %v, which drops the message", err)
	}
	if err := os.Rename(path+"-aside", path+"-kept"); err != nil {
		t.Fatal(err)
	}
	told := 0
	found, err := s.load(func(string, error) { told++ })
	if _, there := os.Lstat(path); err != nil || len(found) > 0 || told != 1 || there != nil {
		t.Errorf("load = %v, %v; told %d times; the file: %v", found, err, told, there)
	}
}
