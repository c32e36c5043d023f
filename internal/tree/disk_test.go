// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDisk(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"app/.git", "app/b"} {
		must(os.MkdirAll(filepath.Join(dir, name), 0o755))
	}
	for name, text := range map[string]string{"app/a.yaml": "a", "app/b/c.yaml": "c", "app/.git/config": "secret", "app/left.yaml": "l"} {
		must(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	must(os.WriteFile(filepath.Join(dir, "app/run"), nil, 0o700))
	must(os.Symlink("../app/a.yaml", filepath.Join(dir, "app/link")))
	root, err := os.OpenRoot(dir)
	must(err)
	defer root.Close()
	d := NewDisk(root, func(name string, dir bool) bool { return name == "app/left.yaml" && !dir })

	entries, err := d.ReadDir("app")
	must(err)
	want := []Entry{
		{"a.yaml", File, onDisk}, {"b", Dir, onDisk}, {"link", Symlink, onDisk}, {"run", Executable, onDisk},
	}
	if diff := cmp.Diff(want, entries); diff != "" {
		t.Errorf("ReadDir (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{"app/a.yaml": "a", "/app/b/c.yaml": "c", "app/link": "../app/a.yaml"} {
		if got, err := d.ReadFile(name); string(got) != want || err != nil {
			t.Errorf("ReadFile(%s) = %q, %v", name, got, err)
		}
	}
	if at, err := d.Stat("."); at.Name != "." || at.Mode != Dir || err != nil {
		t.Errorf("the root is %+v, %v", at, err)
	}
	for name, want := range map[string]error{
		"app/left.yaml": fs.ErrNotExist, "app/.git/config": fs.ErrNotExist, "none": fs.ErrNotExist,
		"app": ErrIsDir, "app/a.yaml/b": ErrNotDir,
	} {
		if _, err := d.ReadFile(name); !errors.Is(err, want) {
			t.Errorf("ReadFile(%s) = %v, want %v", name, err, want)
		}
	}
	if _, err := d.ReadDir("app/a.yaml"); !errors.Is(err, ErrNotDir) {
		t.Errorf("ReadDir of a file = %v", err)
	}
	if hash, err := d.Hash("none"); hash != "" || err != nil {
		t.Errorf("Hash of nothing = %q, %v", hash, err)
	}
	if _, err := d.ReadFile("../outside"); err == nil {
		t.Error("it reads what is outside")
	}
}
