// SPDX-License-Identifier: Apache-2.0

package tree_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/internal/tree"
)

// treeWith has files and, where the content begins with "-> ", symbolic links.
func treeWith(t testing.TB, files map[string]string) *tree.Memory {
	t.Helper()
	contents := map[string]tree.Content{}
	for name, data := range files {
		if target, ok := strings.CutPrefix(data, "-> "); ok {
			contents[name] = tree.Content{Mode: tree.Symlink, Data: []byte(target)}
			continue
		}
		contents[name] = tree.Content{Mode: tree.File, Data: []byte(data)}
	}
	made, err := tree.New(contents)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func chain(links int) map[string]string {
	files := map[string]string{"l0": "file"}
	for i := range links {
		files[fmt.Sprint("l", i+1)] = fmt.Sprint("-> l", i)
	}
	return files
}

func TestWhereLinksLead(t *testing.T) {
	files := map[string]string{
		"file": "x", "dir/file": "y", "dir/sub/deep": "z",
		"to-file": "-> file", "to-dir": "-> dir", "to-sub": "-> dir/sub/", "dir/up": "-> ../file", "dir/root": "-> ..",
		"by-link": "-> to-sub/../file", "slow": "-> ./dir//./sub/../file", "through-file": "-> file/..", "as-dir": "-> file/",
		"out": "-> ../file", "far-out": "-> dir/root/../x", "absolute": "-> /file", "gone": "-> none", "self": "-> self",
		"a": "-> b", "b": "-> a", "below-self": "-> below-self/x", "long": "-> " + strings.Repeat("./", 2048) + "file",
		"fits": "-> " + strings.Repeat("./", 2046) + "file",
	}
	tests := map[string]struct {
		ask, at string
		err     error
	}{
		"what is no link is where it is":                       {ask: "dir/file", at: "dir/file"},
		"the root":                                             {ask: "/", at: "."},
		"a link to a file":                                     {ask: "to-file", at: "file"},
		"a link to a directory":                                {ask: "to-dir", at: "dir"},
		"a link on the way":                                    {ask: "to-dir/file", at: "dir/file"},
		"a link on the way to another":                         {ask: "to-dir/up", at: "file"},
		"a link to the root":                                   {ask: "dir/root", at: "."},
		"two dots go up from where the link leads":             {ask: "by-link", at: "dir/file"},
		"two dots of the path itself are taken off first":      {ask: "to-sub/../file", at: "file"},
		"dots and slashes":                                     {ask: "slow", at: "dir/file"},
		"two dots after a file":                                {ask: "through-file", err: tree.ErrNotDir},
		"a slash after a file":                                 {ask: "as-dir", err: tree.ErrNotDir},
		"a file on the way behind a link":                      {ask: "to-file/x", err: tree.ErrNotDir},
		"a link out of the tree":                               {ask: "out", err: tree.ErrLeaves},
		"a link out of the tree by way of another":             {ask: "far-out", err: tree.ErrLeaves},
		"an absolute link":                                     {ask: "absolute", err: tree.ErrLeaves},
		"a path out of the tree":                               {ask: "../file", err: fs.ErrInvalid},
		"a link to nothing":                                    {ask: "gone", err: fs.ErrNotExist},
		"nothing":                                              {ask: "none", err: fs.ErrNotExist},
		"nothing below nothing":                                {ask: "none/at/all", err: fs.ErrNotExist},
		"a link to itself":                                     {ask: "self", err: tree.ErrLoop},
		"two links to one another":                             {ask: "a", err: tree.ErrLoop},
		"a link to what is below it":                           {ask: "below-self", err: tree.ErrLoop},
		"a target that is longer than an operating system has": {ask: "long", err: fs.ErrNotExist},
		"the longest target":                                   {ask: "fits", at: "file"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			links := tree.Links{In: treeWith(t, files), Names: 100_000}
			got, err := links.Follow(tc.ask)
			if !errors.Is(err, tc.err) || got.Path != tc.at || err != nil && !tree.LeadsNowhere(err) {
				t.Errorf("got %q and %v, want %q and %v", got.Path, err, tc.at, tc.err)
			}
			if err == nil && got.Mode != tree.Dir && got.Mode != tree.File {
				t.Errorf("the mode is %o", got.Mode)
			}
		})
	}
}

func TestAPathLeadsThroughAsManyLinksAsAnOperatingSystemFollows(t *testing.T) {
	for hops, want := range map[int]error{40: nil, 41: tree.ErrLoop} {
		links := tree.Links{In: treeWith(t, chain(hops)), Names: 1000}
		if _, err := links.Follow(fmt.Sprint("l", hops)); !errors.Is(err, want) {
			t.Errorf("%d links: %v, want %v", hops, err, want)
		}
	}
}

// sized is a tree that knows how long content is.
type sized struct {
	*tree.Memory
	size  int64
	reads int
}

func (s *sized) BlobSize(string) (int64, error) { return s.size, nil }
func (s *sized) ReadFile(name string) ([]byte, error) {
	s.reads++
	return s.Memory.ReadFile(name)
}

// failing is a tree in which a name cannot be read.
type failing struct{ *tree.Memory }

var errBroken = errors.New("broken")

func (f failing) Stat(name string) (tree.Entry, error) {
	if name == "broken" {
		return tree.Entry{}, errBroken
	}
	return f.Memory.Stat(name)
}

func TestWhatFollowingLinksTakesIsBounded(t *testing.T) {
	many := treeWith(t, map[string]string{"d/x": "", "l": "-> " + strings.Repeat("d/../", 100) + "d"})
	links := tree.Links{In: many, Names: 500}
	for i, want := range []error{nil, nil, tree.ErrTooManyNames, tree.ErrTooManyNames} {
		if _, err := links.Follow("l"); !errors.Is(err, want) || tree.LeadsNowhere(err) {
			t.Errorf("call %d: %v, want %v", i, err, want)
		}
	}
	stopped := tree.Links{In: many, Names: 500, Stopped: func() error { return errBroken }}
	if _, err := stopped.Follow("l"); !errors.Is(err, errBroken) {
		t.Errorf("when nobody waits: %v", err)
	}
	large := &sized{Memory: many, size: 1 << 30}
	links = tree.Links{In: large, Names: 500}
	if _, err := links.Follow("l"); !errors.Is(err, fs.ErrNotExist) || large.reads > 0 {
		t.Errorf("a link of a gigabyte: %v, and it was read %d times", err, large.reads)
	}
}

func TestATreeThatCannotBeReadIsNotTakenForALinkToNothing(t *testing.T) {
	links := tree.Links{In: failing{treeWith(t, map[string]string{"link": "-> broken", "dir": "-> broken/below"})}, Names: 100}
	for _, name := range []string{"link", "dir", "broken", "broken/below"} {
		if _, err := links.Follow(name); !errors.Is(err, errBroken) || tree.LeadsNowhere(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLinksLeadWhereTheOperatingSystemSays compares random trees with the same on a disk.
func TestLinksLeadWhereTheOperatingSystemSays(t *testing.T) {
	inside, outside, nowhere := 0, 0, 0
	for seed := range uint64(80) {
		random := rand.New(rand.NewPCG(seed, 1)) // the same every time
		files := randomTree(random)
		root := filepath.Join(t.TempDir(), "p", "q", "r", "root")
		writeTree(t, root, files)
		links := tree.Links{In: treeWith(t, files), Names: 1_000_000}
		for range 100 {
			name := strings.Join(randomNames(random, "a", "b", "c", "d"), "/")
			got, err := links.Follow(name)
			real, realErr := filepath.EvalSymlinks(filepath.Join(root, name))
			if _, statErr := os.Stat(filepath.Join(root, name)); statErr != nil {
				realErr = statErr // EvalSymlinks follows more links
			}
			at, relErr := filepath.Rel(root, real)
			left := relErr == nil && (at == ".." || strings.HasPrefix(at, "../"))
			switch {
			case realErr != nil:
				nowhere++
				if err == nil || !tree.LeadsNowhere(err) {
					t.Errorf("seed %d, %s: got %q and %v, want nothing: %v", seed, name, got.Path, err, realErr)
				}
			case left:
				outside++
				if !errors.Is(err, tree.ErrLeaves) {
					t.Errorf("seed %d, %s: got %q and %v, though it leads to %s", seed, name, got.Path, err, at)
				}
			default:
				inside++
				if err != nil || got.Path != at {
					t.Errorf("seed %d, %s: got %q and %v, want %q", seed, name, got.Path, err, at)
				}
			}
		}
	}
	if inside < 500 || outside < 25 || nowhere < 500 {
		t.Errorf("%d led inside, %d outside and %d nowhere: too few to tell anything", inside, outside, nowhere)
	}
}

func randomNames(random *rand.Rand, of ...string) []string {
	names := make([]string, 1+random.IntN(4))
	for i := range names {
		names[i] = of[random.IntN(len(of))]
	}
	return names
}

// randomTree has files and links at names of few letters, none below a file.
func randomTree(random *rand.Rand) map[string]string {
	files := map[string]string{}
	for range 14 {
		name := strings.Join(randomNames(random, "a", "b", "c", "d"), "/")
		taken := false
		for other := range files {
			taken = taken || other == name || strings.HasPrefix(other, name+"/") || strings.HasPrefix(name, other+"/")
		}
		switch target := strings.Join(randomNames(random, "a", "b", "c", "d", "..", "..", ".", ""), "/"); {
		case taken:
		case random.IntN(5) < 2:
			files[name] = name
		case target != "" && !strings.HasPrefix(target, "/"):
			files[name] = "-> " + target
		}
	}
	return files
}

func writeTree(t *testing.T, root string, files map[string]string) {
	t.Helper()
	if err := os.MkdirAll(root, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		at := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(at), 0o700)
		if target, ok := strings.CutPrefix(data, "-> "); ok {
			err = errors.Join(err, os.Symlink(target, at))
		} else {
			err = errors.Join(err, os.WriteFile(at, []byte(data), 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
