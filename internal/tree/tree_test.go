// SPDX-License-Identifier: Apache-2.0

package tree_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/internal/tree"
)

func TestHashesAreGitsOwn(t *testing.T) {
	files := map[string]tree.Content{
		"a.txt": {Data: []byte("sorts before the directory a\n")}, "a/b/c": {Data: []byte("c\n")}, "a-b": {Data: nil},
		"run": {Mode: tree.Executable, Data: []byte("#!/bin/sh\n")}, "link": {Mode: tree.Symlink, Data: []byte("a/b/c")},
	}
	m, err := tree.New(files)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	git := func(args ...string) string {
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "core.autocrlf=false"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q")
	for name, c := range files {
		path := filepath.Join(dir, name)
		_ = os.MkdirAll(filepath.Dir(path), 0o700)
		switch c.Mode {
		case tree.Symlink:
			err = os.Symlink(string(c.Data), path)
		case tree.Executable:
			err = os.WriteFile(path, c.Data, 0o700)
		default:
			err = os.WriteFile(path, c.Data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	git("add", ".")
	root := git("write-tree")
	for _, path := range []string{"", "a", "a/b", "a/b/c", "run", "link"} {
		want := root
		if path != "" {
			want = git("rev-parse", root+":"+path)
		}
		if got, err := m.Hash(path); err != nil || got != want {
			t.Errorf("hash of %q is %s, %v, Git's is %s", path, got, err, want)
		}
	}
}

func TestReading(t *testing.T) {
	m, err := tree.FromStrings(map[string]string{"b/c": "c", "a": "a", "b.d": "d"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	entries, err := m.ReadDir("/")
	for _, e := range entries {
		names = append(names, e.Name)
	}
	if diff := cmp.Diff([]string{"a", "b", "b.d"}, names); err != nil || diff != "" {
		t.Error(err, diff)
	}
	tests := map[string]struct {
		path             string
		hash             bool
		stat, read, list error
		refused          bool
	}{
		"a file":                  {path: "./b//c", hash: true, list: tree.ErrNotDir},
		"a directory":             {path: "b/", hash: true, read: tree.ErrIsDir},
		"nothing":                 {path: "x", stat: fs.ErrNotExist, read: fs.ErrNotExist, list: fs.ErrNotExist},
		"nothing below a file":    {path: "a/x", stat: fs.ErrNotExist, read: fs.ErrNotExist, list: fs.ErrNotExist},
		"a path out of the tree":  {path: "b/../../x", stat: fs.ErrInvalid, read: fs.ErrInvalid, list: fs.ErrInvalid, refused: true},
		"a path that comes back":  {path: "b/../a", hash: true, list: tree.ErrNotDir},
		"an absolute path within": {path: "/a", hash: true, list: tree.ErrNotDir},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			hash, err := m.Hash(tc.path)
			if (hash != "") != tc.hash || (err != nil) != tc.refused {
				t.Errorf("hash: %q, %v", hash, err)
			}
			if _, err := m.Stat(tc.path); !errors.Is(err, tc.stat) {
				t.Errorf("stat: %v, want %v", err, tc.stat)
			}
			if _, err := m.ReadFile(tc.path); !errors.Is(err, tc.read) {
				t.Errorf("read: %v, want %v", err, tc.read)
			}
			if _, err := m.ReadDir(tc.path); !errors.Is(err, tc.list) {
				t.Errorf("list: %v, want %v", err, tc.list)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"a file out of the tree":  {"../a": ""},
		"a file that is the root": {".": ""},
		"a file below a file":     {"a": "", "a/b": ""},
		"two names for one file":  {"a": "", "./a": ""},
	} {
		if _, err := tree.FromStrings(files); err == nil {
			t.Errorf("accepted %s", name)
		}
	}
}

// archive makes a gzipped tarball.
func archive(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	w := tar.NewWriter(zip)
	for _, h := range headers {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(bytes.Repeat([]byte("x"), int(h.Size))); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestFromTar(t *testing.T) {
	data := archive(t,
		tar.Header{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o750},
		tar.Header{Typeflag: tar.TypeDir, Name: "empty/", Mode: 0o750},
		tar.Header{Typeflag: tar.TypeReg, Name: "./d/f", Size: 3, Mode: 0o600},
		tar.Header{Typeflag: tar.TypeReg, Name: "run", Size: 1, Mode: 0o755},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "link", Linkname: "d/f"},
	)
	got, err := tree.FromTar(bytes.NewReader(data), tree.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want, err := tree.New(map[string]tree.Content{
		"d/f": {Data: []byte("xxx")}, "run": {Mode: tree.Executable, Data: []byte("x")}, "link": {Mode: tree.Symlink, Data: []byte("d/f")},
	})
	if err != nil {
		t.Fatal(err)
	}
	is, _ := got.Hash("")
	if should, _ := want.Hash(""); is != should {
		t.Errorf("hash is %s, want %s", is, should)
	}
}

func TestFromTarRefuses(t *testing.T) {
	file := tar.Header{Typeflag: tar.TypeReg, Name: "f", Size: 1000, Mode: 0o600}
	other := file
	other.Name = "g"
	out := file
	out.Name = "../f"
	long := file
	long.Name = strings.Repeat("d/", 3000) + "f"
	sound := archive(t, file, other)
	full := errors.New("no room")
	tests := map[string]struct {
		data   []byte
		limits tree.Limits
		want   error
	}{
		"too many bytes":          {data: sound, limits: tree.Limits{Bytes: 1999}, want: tree.ErrTooLarge},
		"a path longer than any":  {data: archive(t, long), want: tree.ErrTooLarge},
		"no room for the content": {data: sound, limits: tree.Limits{Grow: func(int64) error { return full }}, want: full},
		"too many files":          {data: sound, limits: tree.Limits{Files: 1}, want: tree.ErrTooLarge},
		"a path out of the tree":  {data: archive(t, out), want: fs.ErrInvalid},
		"a file named twice":      {data: archive(t, file, file), want: fs.ErrExist},
		"a device":                {data: archive(t, tar.Header{Typeflag: tar.TypeChar, Name: "tty"})},
		"a hard link":             {data: archive(t, tar.Header{Typeflag: tar.TypeLink, Name: "l", Linkname: "/etc/passwd"})},
		"an archive cut short":    {data: sound[:len(sound)/2]},
		"something else":          {data: []byte("PK")},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := tree.FromTar(bytes.NewReader(tc.data), tc.limits)
			if err == nil || tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("got %v, %v, want error %v", got, err, tc.want)
			}
		})
	}
}

func FuzzFromTar(f *testing.F) {
	f.Add(archive(f, tar.Header{Typeflag: tar.TypeReg, Name: "a/b", Size: 3, Mode: 0o600}))
	f.Add(archive(f, tar.Header{Typeflag: tar.TypeSymlink, Name: "l", Linkname: "../../x"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := tree.FromTar(bytes.NewReader(data), tree.Limits{Bytes: 1 << 20, Files: 100})
		if err != nil {
			return
		}
		err = tree.Walk(m, "", func(path string, e tree.Entry) error {
			content, err := m.ReadFile(path)
			if err == nil && tree.BlobHash(content) != e.Hash {
				t.Errorf("%s has not its hash", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}
