// SPDX-License-Identifier: Apache-2.0

package git_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

// write makes a commit on what ref is now and returns both.
func write(t testing.TB, m *git.Mirror, ref string, changes map[string][]byte, message string) (base, made plumbing.Hash) {
	t.Helper()
	base = pull(t, m, ref).Commit()
	made, err := m.Write(t.Context(), base, changes, info(message))
	if err != nil {
		t.Fatal(err)
	}
	return base, made
}

func TestWriteAndPush(t *testing.T) {
	server := gitserver.New(t)
	repo := server.Repo("app")
	repo.Commit("main", files{
		"a/b/c.yaml": "c: 1\n", "a/b/d.yaml": "d: 1\n", "a/e.yaml": "e: 1\n", "100755 run.sh": "#!/bin/sh\n",
		"120000 link": "a/e.yaml", "a.txt": "sorts before a/\n", "gone/only.yaml": "x\n",
	})
	m := open(t, t.TempDir(), git.Remote{URL: repo.URL})
	base, made := write(t, m, "main", map[string][]byte{
		"a/b/c.yaml": []byte("c: 2\n"), "run.sh": []byte("#!/bin/bash\n"),
		"new/dir/f": []byte("f\n"), "new/same": []byte("f\n"), "gone/only.yaml": nil,
	}, "a change\n")
	want := map[string]string{
		"100644 a/b/c.yaml": "c: 2\n", "100644 a/b/d.yaml": "d: 1\n", "100644 a/e.yaml": "e: 1\n",
		"100755 run.sh": "#!/bin/bash\n", "120000 link": "a/e.yaml",
		"100644 a.txt": "sorts before a/\n", "100644 new/dir/f": "f\n", "100644 new/same": "f\n",
	}
	local, err := m.Tree(made)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, contents(t, local)); diff != "" {
		t.Errorf("before the push: %s", diff)
	}
	if err := m.Push(t.Context(), nil, git.RefUpdate{Ref: "main", Old: base, New: made}); err != nil {
		t.Fatal(err)
	}
	if got := repo.Head("main"); got != made.String() {
		t.Errorf("main is %s, want %s", got, made)
	}
	repo.Git("fsck", "--strict")
	got := repo.Git("log", "-1", "--format=%an <%ae> %at %s|%P", "main")
	if got != fmt.Sprintf("Bot <bot@example.com> %d a change|%s", when.Unix(), base) {
		t.Errorf("the commit says %q", got)
	}
	fresh := open(t, t.TempDir(), git.Remote{URL: repo.URL})
	if diff := cmp.Diff(want, contents(t, pull(t, fresh, "main"))); diff != "" {
		t.Errorf("at the remote: %s", diff)
	}
	before := server.Requests()
	pull(t, m, "main")
	if cost := server.Requests() - before; cost != 1 {
		t.Errorf("taking up the own push cost %d requests, want only the look at the refs", cost)
	}
}

func TestTheFirstCommitOfABranchOfItsOwn(t *testing.T) {
	server := gitserver.New(t)
	repo := server.Repo("app")
	repo.Commit("main", files{"a.yaml": "a: 1\n"})
	m := open(t, t.TempDir(), git.Remote{URL: repo.URL})
	pull(t, m, "main")
	first, err := m.WriteFirst(t.Context(), map[string][]byte{"state.yaml": []byte("version: 1\n")}, info("the first\n"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := m.Write(t.Context(), first, map[string][]byte{"state.yaml": []byte("version: 2\n")}, info("the second\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Push(t.Context(), nil, git.RefUpdate{Ref: "state", New: second}); err != nil {
		t.Fatal(err)
	}
	repo.Git("fsck", "--strict")
	if got := repo.Git("log", "--format=%s|%P", "state"); got != fmt.Sprintf("the second|%s\nthe first|", first) {
		t.Errorf("the branch is %q", got)
	}
	if got := repo.Git("ls-tree", "--name-only", "state"); got != "state.yaml" {
		t.Errorf("it has %q", got)
	}
	if err := m.Push(t.Context(), nil, git.RefUpdate{Ref: "state", New: first}); !errors.Is(err, git.ErrNonFastForward) {
		t.Errorf("made again: %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	repo.Commit("main", files{"f": "1\n", "d/g": "2\n", "120000 link": "f"})
	m := open(t, t.TempDir(), git.Remote{URL: repo.URL})
	head := pull(t, m, "main").Commit()
	for name, path := range map[string]string{
		"a directory": "d", "a path through a file": "f/x", "a symlink": "link", "a path out of the tree": "../x",
		"the root": ".", "Git's own directory": "d/.GIT/config", "a name with a NUL": "a\x00b",
	} {
		if made, err := m.Write(t.Context(), head, map[string][]byte{path: []byte("x")}, info("x")); err == nil {
			t.Errorf("%s: wrote %s", name, made)
		}
	}
	if _, err := m.Write(t.Context(), plumbing.NewHash(strings.Repeat("1", 40)), nil, info("x")); !errors.Is(err, git.ErrMissing) {
		t.Errorf("on an unknown base: %v, want ErrMissing", err)
	}
	if made, err := m.Write(t.Context(), head, map[string][]byte{"f": []byte("1\n")}, info("x")); err != nil || made != head {
		t.Errorf("without a difference: %s, %v, want the base", made, err)
	}
	made, err := m.Write(t.Context(), head, map[string][]byte{"f": nil, "d/g": nil}, info("x"))
	if err != nil {
		t.Fatal(err)
	}
	made, err = m.Write(t.Context(), made, map[string][]byte{"f": []byte("back\n")}, info("y"))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Push(t.Context(), nil, git.RefUpdate{Ref: "main", Old: head, New: made}); err != nil {
		t.Fatalf("pushing a chain of two: %v", err)
	}
	repo.Git("fsck", "--strict")
	if got := repo.File("main", "f"); got != "back\n" {
		t.Errorf("f is %q", got)
	}
}

func TestPushesThatDoNotFit(t *testing.T) {
	server := gitserver.New(t)
	repo := server.Repo("app")
	repo.Commit("main", files{"f": "1\n"})
	m := open(t, t.TempDir(), git.Remote{URL: repo.URL})
	base, made := write(t, m, "main", map[string][]byte{"f": []byte("ours\n")}, "ours")

	t.Run("a new branch", func(t *testing.T) {
		if err := m.Push(t.Context(), nil, git.RefUpdate{Ref: "topic/x", Old: plumbing.ZeroHash, New: made}); err != nil {
			t.Fatal(err)
		}
		if got := repo.Head("topic/x"); got != made.String() {
			t.Errorf("topic/x is %s, want %s", got, made)
		}
		if err := m.Push(t.Context(), nil, git.RefUpdate{Ref: "copy", Old: plumbing.ZeroHash, New: base}); err != nil {
			t.Errorf("a branch at a commit that the remote has: %v", err)
		}
		_, other := write(t, m, "main", map[string][]byte{"f": []byte("other\n")}, "other")
		if err := m.Push(t.Context(), nil, git.RefUpdate{Ref: "topic/x", New: other}); !errors.Is(err, git.ErrNonFastForward) {
			t.Errorf("over a branch that is there: %v, want ErrNonFastForward", err)
		}
	})
	t.Run("the same push again", func(t *testing.T) {
		if err := m.Push(t.Context(), nil, git.RefUpdate{Ref: "topic/x", Old: plumbing.ZeroHash, New: made}); err != nil {
			t.Error(err)
		}
	})
	t.Run("the ref has moved", func(t *testing.T) {
		theirs := repo.Commit("main", files{"g": "theirs\n"})
		if err := m.Push(t.Context(), nil, git.RefUpdate{Ref: "main", Old: base, New: made}); !errors.Is(err, git.ErrNonFastForward) {
			t.Errorf("got %v, want ErrNonFastForward", err)
		}
		if got := repo.Head("main"); got != theirs {
			t.Errorf("main is %s, want theirs", got)
		}
	})
	t.Run("a hook says no", func(t *testing.T) {
		hook := "#!/bin/sh\necho 'only on weekdays' >&2\nexit 1\n"
		path := filepath.Join(repo.Dir, "hooks", "pre-receive")
		if err := os.WriteFile(path, []byte(hook), 0o700); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.Remove(path) }()
		head, made := write(t, m, "main", map[string][]byte{"f": []byte("no\n")}, "no")
		err := m.Push(t.Context(), nil, git.RefUpdate{Ref: "main", Old: head, New: made})
		if !errors.Is(err, git.ErrRejected) || !strings.Contains(err.Error(), "only on weekdays") {
			t.Errorf("got %v, want ErrRejected and what the hook said", err)
		}
	})
	t.Run("the answer gets lost", func(t *testing.T) {
		undo := server.Intercept(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "git-receive-pack") {
					next.ServeHTTP(discard{header: http.Header{}}, r)
					w.WriteHeader(http.StatusGatewayTimeout)
					return
				}
				next.ServeHTTP(w, r)
			})
		})
		defer undo()
		head, made := write(t, m, "main", map[string][]byte{"f": []byte("late\n")}, "late")
		if err := m.Push(t.Context(), nil, git.RefUpdate{Ref: "main", Old: head, New: made}); err != nil {
			t.Errorf("a push that arrived: %v", err)
		}
	})
	t.Run("a commit that another process wrote", func(t *testing.T) {
		err := m.Push(t.Context(), nil, git.RefUpdate{Ref: "main", Old: base, New: plumbing.NewHash(strings.Repeat("2", 40))})
		if !errors.Is(err, git.ErrMissing) {
			t.Errorf("got %v, want ErrMissing", err)
		}
	})
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

// Writers that lose the race make their change again on the new head, and none
// is lost or made twice.
func TestConcurrentWriters(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	repo.Commit("main", files{"count": "0\n"})
	const writers, each = 5, 4
	shared := open(t, t.TempDir(), git.Remote{URL: repo.URL})
	var all sync.WaitGroup
	var lost atomic.Int64
	for w := range writers {
		m := shared
		if w%2 == 1 {
			m = open(t, t.TempDir(), git.Remote{URL: repo.URL})
		}
		all.Go(func() {
			for i := range each {
				for {
					base, made := write(t, m, "main", map[string][]byte{fmt.Sprintf("w%d/%d", w, i): []byte("x\n")}, "x")
					err := m.Push(t.Context(), nil, git.RefUpdate{Ref: "main", Old: base, New: made})
					if err == nil {
						break
					}
					if !errors.Is(err, git.ErrNonFastForward) {
						t.Errorf("writer %d: %v", w, err)
						return
					}
					lost.Add(1)
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d races were lost", lost.Load())
	repo.Git("fsck", "--strict")
	if got, want := repo.Git("rev-list", "--count", "main"), fmt.Sprint(1+writers*each); got != want {
		t.Errorf("%s commits, want %s", got, want)
	}
	var found int
	err := tree.Walk(pull(t, shared, "main"), "", func(path string, _ tree.Entry) error {
		if strings.HasPrefix(path, "w") {
			found++
		}
		return nil
	})
	if err != nil || found != writers*each {
		t.Errorf("%d files, %v, want %d", found, err, writers*each)
	}
}

// A process killed after it wrote a commit and before it pushed leaves a mirror
// that serves what the remote has, and no trace of the commit.
func TestKilledBeforeThePush(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	repo.Commit("main", files{"f": "1\n"})
	dir := t.TempDir()
	base, made := write(t, open(t, dir, git.Remote{URL: repo.URL}), "main", map[string][]byte{"f": []byte("2\n")}, "x")

	m := open(t, dir, git.Remote{URL: repo.URL}) // the next process
	if m.Has(made) || !m.Has(base) {
		t.Errorf("has the commit: %v, has base: %v", m.Has(made), m.Has(base))
	}
	if err := m.Push(t.Context(), nil, git.RefUpdate{Ref: "main", Old: base, New: made}); !errors.Is(err, git.ErrMissing) {
		t.Errorf("pushing the forgotten commit: %v, want ErrMissing", err)
	}
	again, err := m.Write(t.Context(), base, map[string][]byte{"f": []byte("2\n")}, info("x"))
	if err != nil || again != made {
		t.Fatalf("writing it again: %s, %v, want %s", again, err, made)
	}
	if err := m.Push(t.Context(), nil, git.RefUpdate{Ref: "main", Old: base, New: again}); err != nil {
		t.Fatal(err)
	}
	if got := repo.File("main", "f"); got != "2\n" {
		t.Errorf("f is %q", got)
	}
}
