// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAStoragePathThatCannotBeWrittenToIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"no path":                         "",
		"a path below a file":             filepath.Join(file, "data"),
		"a file":                          file,
		"a folder that no one can make":   "/proc/nope",
		"a folder that takes no new file": "/proc/self",
	}
	for name, path := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := lockStorage(path); err == nil || !strings.HasPrefix(err.Error(), "--storage-path: ") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestASecondControllerOnTheSameStoragePathIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	first, err := lockStorage(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = lockStorage(dir)
	if err == nil ||
		!strings.Contains(err.Error(), fmt.Sprintf("--storage-path: %s is in use by another controller (pid %d on ", dir, os.Getpid())) {
		t.Errorf("got %v", err)
	}
	if err := first.release(); err != nil {
		t.Fatal(err)
	}
	again, err := lockStorage(dir)
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	if err := again.release(); err != nil {
		t.Error(err)
	}
}
