// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/source"
)

// blobs is a tree in memory that finds content by hash.
type blobs struct {
	*tree.Memory
	byHash map[string][]byte
	reads  int
}

func (b *blobs) ReadBlob(hash string) ([]byte, error) {
	b.reads++
	return b.byHash[hash], nil
}

func (b *blobs) BlobSize(hash string) (int64, error) { return int64(len(b.byHash[hash])), nil }

// link as the start of a content makes a symlink to the rest.
const link = "-> "

func treeOf(t testing.TB, files map[string]string) *blobs {
	t.Helper()
	b := &blobs{byHash: map[string][]byte{}}
	contents := map[string]tree.Content{}
	for name, data := range files {
		c := tree.Content{Mode: tree.File, Data: []byte(data)}
		if target, ok := bytes.CutPrefix(c.Data, []byte(link)); ok {
			c = tree.Content{Mode: tree.Symlink, Data: target}
		}
		if bytes.HasPrefix(c.Data, []byte("#!")) {
			c.Mode = tree.Executable
		}
		b.byHash[tree.BlobHash(c.Data)] = c.Data
		contents[name] = c
	}
	var err error
	if b.Memory, err = tree.New(contents); err != nil {
		t.Fatal(err)
	}
	return b
}

func viewOf(t testing.TB, files map[string]string, ignore *string, before *source.View) *source.View {
	t.Helper()
	v, err := source.NewView(t.Context(), treeOf(t, files), ignore, before, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// contentsOf reads a whole tree.
func contentsOf(t testing.TB, from tree.Tree) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := tree.Walk(from, "", func(path string, _ tree.Entry) error {
		data, err := from.ReadFile(path)
		all[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestView(t *testing.T) {
	ptr := func(s string) *string { return &s }
	tests := map[string]struct {
		files  map[string]string
		ignore *string
		want   []string
	}{
		"defaults leave out version control, CI and images": {
			files: map[string]string{
				"a.yaml": "a", ".gitignore": "x", "sub/.gitattributes": "x", ".github/workflows/ci.yml": "x",
				"logo.png": "x", "deep/archive.tar.gz": "x", ".sops.yaml": "x", "x/.flux.yaml": "x",
			},
			want: []string{"a.yaml"},
		},
		"spec.ignore replaces the defaults, but for version control": {
			files:  map[string]string{"a.yaml": "a", "logo.png": "x", ".gitignore": "x", "docs/b.md": "b"},
			ignore: ptr("docs/\n# a comment\n"),
			want:   []string{"a.yaml", "logo.png"},
		},
		"an empty spec.ignore has no rules, so the defaults stay": {
			files:  map[string]string{"a.yaml": "a", "logo.png": "x"},
			ignore: ptr("\n"),
			want:   []string{"a.yaml"},
		},
		"everything but one directory": {
			files:  map[string]string{"a.yaml": "a", "deploy/b.yaml": "b", "deploy/sub/c.yaml": "c", "other/d.yaml": "d"},
			ignore: ptr("/*\n!/deploy\n"),
			want:   []string{"deploy/b.yaml", "deploy/sub/c.yaml"},
		},
		"a .sourceignore rules where it lies": {
			files: map[string]string{"sub/.sourceignore": "*.md\n", "sub/a.md": "x", "sub/b.yaml": "b", "c.md": "c"},
			want:  []string{"c.md", "sub/.sourceignore", "sub/b.yaml"},
		},
		"spec.ignore comes after a .sourceignore": {
			files:  map[string]string{".sourceignore": "*.md\n", "a.md": "a", "b.md": "x"},
			ignore: ptr("!a.md\n"),
			want:   []string{".sourceignore", "a.md"},
		},
		"symlinks become what they point at": {
			files: map[string]string{
				"base/a.yaml": "a", "file": link + "base/a.yaml", "dir": link + "base", "chain": link + "file",
				"sub/up": link + "../base/a.yaml", "through": link + "dir/../base/./a.yaml", "within": link + "dir/a.yaml",
			},
			want: []string{"base/a.yaml", "chain", "dir/a.yaml", "file", "sub/up", "through", "within"},
		},
		"symlinks to nothing, to the outside and around in circles are left out": {
			files: map[string]string{
				"a.yaml": "a", "broken": link + "none", "out": link + "../etc/passwd", "abs": link + "/etc/passwd",
				"self": link + "self", "up/root": link + "..", "x/y": link + "../y", "y/x": link + "../x",
			},
			want: []string{"a.yaml"},
		},
		"a directory without files is not there": {
			files: map[string]string{"a.yaml": "a", "img/x.png": "x"},
			want:  []string{"a.yaml"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			v := viewOf(t, tc.files, tc.ignore, nil)
			var got []string
			if err := tree.Walk(v, "", func(path string, _ tree.Entry) error { got = append(got, path); return nil }); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			fresh, err := tree.FromStrings(contentsOf(t, v))
			if err != nil {
				t.Fatal(err)
			}
			want, _ := fresh.Hash("")
			if hash, _ := v.Hash(""); hash != want {
				t.Errorf("the view's hash is %s, that of its files %s", hash, want)
			}
		})
	}
}

func TestViewFollowsChanges(t *testing.T) {
	before := map[string]string{"a/f.yaml": "1", "b/f.yaml": "1", "b/link": link + "../a/f.yaml", "c.png": "x"}
	first := viewOf(t, before, nil, nil)
	after := map[string]string{"a/f.yaml": "2", "b/f.yaml": "1", "b/link": link + "../a/f.yaml", "c.png": "x"}
	second := viewOf(t, after, nil, first)
	want := map[string]string{"a/f.yaml": "2", "b/f.yaml": "1", "b/link": "2"}
	if diff := cmp.Diff(want, contentsOf(t, second)); diff != "" {
		t.Error(diff)
	}
	all := "!*"
	third := viewOf(t, after, &all, second)
	want["c.png"] = "x"
	if diff := cmp.Diff(want, contentsOf(t, third)); diff != "" {
		t.Errorf("with other rules: %s", diff)
	}
	for path, want := range map[string]bool{"a": true, "a/f.yaml": true, "none": false, "a/f.yaml/x": false, "c.png": false} {
		if hash, err := second.Hash(path); err != nil || (hash != "") != want {
			t.Errorf("hash of %s: %q, %v", path, hash, err)
		}
		if _, err := second.Stat(path); (err == nil) != want {
			t.Errorf("stat of %s: %v", path, err)
		}
	}
	if _, err := second.ReadDir("a/f.yaml"); err == nil {
		t.Error("listed a file")
	}
	if _, err := second.ReadFile("a"); err == nil {
		t.Error("read a directory")
	}
	if _, err := second.ReadFile("../x"); err == nil {
		t.Error("left the tree")
	}
}

// TestTreesThatMakeTooMuchOfThemselves are small in Git and would take a process or
// a processor when they are looked through.
func TestTreesThatMakeTooMuchOfThemselves(t *testing.T) {
	many := func(n int, name, content string) map[string]string {
		files := map[string]string{"a.yaml": "a"}
		for i := range n {
			files[fmt.Sprintf(name, i)] = content
		}
		return files
	}
	ptr := func(s string) *string { return &s }
	tests := map[string]struct {
		files  map[string]string
		ignore *string
		want   error // nil: a.yaml is there
	}{
		"a symlink whose target is megabytes long is left out": {
			files: map[string]string{"a.yaml": "a", "link": link + strings.Repeat("./", 8<<20) + "a.yaml"},
		},
		"a symlink as long as a path may be is followed": {
			files: map[string]string{"b.yaml": "a", "a.yaml": link + strings.Repeat("./", 2000) + "b.yaml"},
		},
		"one byte more is not": {
			files: map[string]string{"a.yaml": "a", "b.yaml": "b", "link": link + strings.Repeat("a", 4097)},
		},
		"thousands of symlinks that share a long target": {files: many(5000, "l%05d", link+strings.Repeat("./", 2000)+"none")},
		"thousands of symlinks that share it in directories each": {
			files: many(5000, "d%05d/l", link+strings.Repeat("./", 2000)+"none"),
			want:  tree.ErrTooLarge,
		},
		"an empty symlink": {files: map[string]string{"a.yaml": "a", "link": link}},
		"a .sourceignore of megabytes": {
			files: map[string]string{"a.yaml": "a", ".sourceignore": strings.Repeat("x\n", 4<<20)},
			want:  source.ErrRules,
		},
		"more patterns than anybody writes": {
			files: map[string]string{"a.yaml": "a", ".sourceignore": strings.Repeat("x\n", 2001)},
			want:  source.ErrRules,
		},
		"as many, spread over the tree": {
			files: many(300, "d%d/.sourceignore", strings.Repeat("x\n", 10)),
			want:  source.ErrRules,
		},
		"a .sourceignore in a thousand places, by symlinks to one file": {files: many(1000, "d%d/.sourceignore", link+"../rules"), want: nil},
		"a long pattern": {
			files: map[string]string{"a.yaml": "a", ".sourceignore": strings.Repeat("*a", 600)},
			want:  source.ErrRules,
		},
		"a spec.ignore as large": {
			files:  map[string]string{"a.yaml": "a"},
			ignore: ptr(strings.Repeat("x\n", 2001)),
			want:   source.ErrRules,
		},
		"rules of a common size": {files: map[string]string{
			"a.yaml":        "a",
			".sourceignore": strings.Repeat("docs/*.md\n", 500),
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			v, err := source.NewView(t.Context(), treeOf(t, tc.files), tc.ignore, nil, nil)
			if !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if err == nil {
				if data, err := v.ReadFile("a.yaml"); string(data) != "a" {
					t.Errorf("a.yaml: %q, %v", data, err)
				}
			}
		})
	}
}

func TestAViewIsMadeForAsLongAsItsCallerWaits(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := source.NewView(ctx, treeOf(t, map[string]string{"a.yaml": "a"}), nil, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAViewTakesOfTheShareOfItsNamespace(t *testing.T) {
	below := strings.Repeat(strings.Repeat("d", 250)+"/", 12)
	for name, tc := range map[string]struct {
		count   int
		path    string
		content func(int) string
		want    error
	}{
		"many files": {5000, "f%d", func(int) string { return "x" }, budget.ErrTooLarge},
		"a few":      {300, "f%d", func(int) string { return "x" }, nil},
		"as many symlinks that lead to something near": {
			300, "f%d", func(i int) string { return link + strings.Repeat("./", i) + "near" }, nil,
		},
		"as many symlinks, of which it is kept where they lead": {
			300, "f%d", func(i int) string { return link + strings.Repeat("./", i) + below + "far" }, budget.ErrTooLarge,
		},
	} {
		t.Run(name, func(t *testing.T) {
			memory, err := budget.New(1<<20).Acquire(t.Context(), "apps", 0)
			if err != nil {
				t.Fatal(err)
			}
			files := map[string]string{"near": "x", below + "far": "x"}
			for i := range tc.count {
				files[fmt.Sprintf(tc.path, i)] = tc.content(i)
			}
			if _, err := source.NewView(t.Context(), treeOf(t, files), nil, nil, memory); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}
