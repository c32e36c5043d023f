// SPDX-License-Identifier: Apache-2.0

package git_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/git/pack"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

// hostile makes objects in a repository that Git itself would refuse to make.
type hostile struct {
	*testing.T
	repo *gitserver.Repo
}

func (h hostile) object(kind string, content []byte) string {
	h.Helper()
	cmd := exec.Command("git", "-C", h.repo.Dir, "hash-object", "-t", kind, "-w", "--literally", "--stdin")
	cmd.Stdin = strings.NewReader(string(content))
	out, err := cmd.Output()
	if err != nil {
		h.Fatalf("making a %s: %v", kind, err)
	}
	return strings.TrimSpace(string(out))
}

func (h hostile) blob(content string) string { return h.object("blob", []byte(content)) }

// dir makes a directory of entries "mode name" and object ids, as they are.
func (h hostile) dir(entries ...[2]string) string {
	var data []byte
	for _, e := range entries {
		id, err := hex.DecodeString(e[1])
		if err != nil {
			h.Fatal(err)
		}
		data = append(append(append(data, e[0]...), 0), id...)
	}
	return h.object("tree", data)
}

// commit makes a branch main with the given root directory.
func (h hostile) commit(root string) plumbing.Hash {
	who := "T <t@example.com> 1700000000 +0000"
	id := h.object("commit", fmt.Appendf(nil, "tree %s\nauthor %s\ncommitter %s\n\nx\n", root, who, who))
	h.repo.Git("update-ref", "refs/heads/main", id)
	return plumbing.NewHash(id)
}

func TestTreesOfAMaliciousRepository(t *testing.T) {
	file := func(name string) func(h hostile) string {
		return func(h hostile) string { return h.dir([2]string{"100644 " + name, h.blob("x")}) }
	}
	tests := map[string]struct {
		root func(h hostile) string
		says string // "" when the files can be had
	}{
		"a file named .git":              {root: file(".git"), says: `".git" cannot be the name`},
		"a .git directory of a Mac":      {root: file(".g\u200cit"), says: "cannot be the name"},
		"a .git directory of Windows":    {root: file("GIT~1"), says: `"GIT~1" cannot be the name`},
		"a .git stream of Windows":       {root: file(".git::$INDEX_ALLOCATION"), says: "cannot be the name"},
		"a way up":                       {root: file(".."), says: `".." cannot be the name`},
		"a slash in a name":              {root: file("../../etc/passwd"), says: `"../../etc/passwd" cannot be the name`},
		"a name longer than Linux takes": {root: file(strings.Repeat("n", 256)), says: "a name of 256 bytes, of which 255 are allowed"},
		"a name of a mebibyte":           {root: file(strings.Repeat("n", 1<<20)), says: "a name of 1048576 bytes"},
		"the longest name":               {root: file(strings.Repeat("n", 255))},
		"a backslash, which is no slash": {root: file(`..\..\x`)},
		"a name that only begins so":     {root: file(".gitignore")},
		"the same name twice": {
			root: func(h hostile) string {
				return h.dir([2]string{"100644 f", h.blob("1")}, [2]string{"100644 f", h.blob("2")})
			},
			says: `"f" is there twice`,
		},
		"a file and a directory of one name": {
			root: func(h hostile) string {
				return h.dir([2]string{"100644 f", h.blob("1")}, [2]string{"40000 f", h.dir()})
			},
			says: `"f" is there twice`,
		},
		"symlinks in a loop": {
			root: func(h hostile) string {
				return h.dir([2]string{"120000 a", h.blob("b")}, [2]string{"120000 b", h.blob("a")})
			},
		},
		"ten thousand million paths in ten directories": {
			root: func(h hostile) string {
				dir := h.dir([2]string{"100644 f", h.blob("x")})
				for range 10 {
					var entries [][2]string
					for i := range 10 {
						entries = append(entries, [2]string{fmt.Sprintf("40000 %d", i), dir})
					}
					dir = h.dir(entries...)
				}
				return dir
			},
			says: "more than 1048576 paths",
		},
		"directories so deep that no path is short enough": {
			root: func(h hostile) string {
				dir := h.dir([2]string{"100644 f", h.blob("x")})
				var chain []string
				for range 300 { // names are what counts, and git makes objects slowly
					dir = h.dir([2]string{"40000 deep-and-deeper", dir})
					chain = append(chain, dir)
				}
				return chain[len(chain)-1]
			},
			says: "a path of",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			repo := gitserver.New(t).Repo("app")
			h := hostile{t, repo}
			head := h.commit(tc.root(h))
			m := open(t, t.TempDir(), git.Remote{URL: repo.URL})
			if err := m.Fetch(t.Context(), "main", head); err != nil {
				t.Fatal(err)
			}
			files, err := m.Tree(head)
			switch {
			case tc.says != "":
				if !errors.Is(err, git.ErrTree) || !strings.Contains(err.Error(), tc.says) || len(err.Error()) > 400 {
					t.Errorf("error %v, want ErrTree that says %q", err, tc.says)
				}
			case err != nil:
				t.Error(err)
			default:
				if err := tree.Walk(files, "", func(string, tree.Entry) error { return nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestACommitThatIsTooLongIsNotRead(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	h := hostile{t, repo}
	root := h.dir([2]string{"100644 f", h.blob("x")})
	for name, tc := range map[string]struct {
		message int
		refused bool
	}{
		"a message of half a mebibyte": {message: 512 << 10},
		"a message of two mebibytes":   {message: 2 << 20, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			who := "T <t@example.com> 1700000000 +0000"
			head := plumbing.NewHash(h.object("commit",
				fmt.Appendf(nil, "tree %s\nauthor %s\ncommitter %s\n\n%s\n", root, who, who, strings.Repeat("x", tc.message))))
			repo.Git("update-ref", "refs/heads/main", head.String())
			m := open(t, t.TempDir(), git.Remote{URL: repo.URL})
			err := m.Fetch(t.Context(), "main", head)
			if err == nil {
				_, err = m.Tree(head)
			}
			if tc.refused && (!errors.Is(err, pack.ErrTooLarge) || !strings.Contains(err.Error(), "of which 1048576 are allowed")) ||
				!tc.refused && err != nil {
				t.Errorf("error %v", err)
			}
		})
	}
}
