// SPDX-License-Identifier: Apache-2.0

package git_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

// Type names keep the tests short.
type files = gitserver.Files

var when = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func info(message string) git.CommitInfo {
	who := git.Signature{Name: "Bot", Email: "bot@example.com", When: when}
	return git.CommitInfo{Author: who, Committer: who, Message: message}
}

func open(t testing.TB, dir string, remote git.Remote) *git.Mirror {
	t.Helper()
	m, err := git.NewMirrors(dir, clock.RealClock{}).Get(t.Context(), remote)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// pull resolves and fetches a ref, and returns its tree.
func pull(t testing.TB, m *git.Mirror, ref string) *git.CommitTree {
	t.Helper()
	head, err := m.Resolve(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Fetch(t.Context(), ref, head); err != nil {
		t.Fatal(err)
	}
	got, err := m.Tree(head)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// contents reads a whole tree.
func contents(t testing.TB, from tree.Tree) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := tree.Walk(from, "", func(path string, e tree.Entry) error {
		data, err := from.ReadFile(path)
		all[fmt.Sprintf("%o %s", e.Mode, path)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestFetchesOnlyWhatChangedAndReadsAllOfIt(t *testing.T) {
	server := gitserver.New(t, gitserver.WithBackend())
	repo := server.Repo("app")
	repo.Commit("main", files{"a.yaml": "a: 1\n", "100755 bin/run": "#!/bin/sh\n", "120000 link": "a.yaml", "deep/er/b.yaml": "b: 1\n"})
	dir := t.TempDir()
	m := open(t, dir, git.Remote{URL: repo.URL})
	want := map[string]string{
		"100644 a.yaml":         "a: 1\n",
		"100755 bin/run":        "#!/bin/sh\n",
		"120000 link":           "a.yaml",
		"100644 deep/er/b.yaml": "b: 1\n",
	}
	if diff := cmp.Diff(want, contents(t, pull(t, m, "main"))); diff != "" {
		t.Error(diff)
	}
	steps := []struct {
		name   string
		commit files
		want   map[string]string
	}{
		{"a change", files{"deep/er/b.yaml": "b: 2\n"}, map[string]string{"100644 deep/er/b.yaml": "b: 2\n"}},
		{
			"a revert to a blob of before the mirror's first fetch of it",
			files{"deep/er/b.yaml": "b: 1\n"},
			map[string]string{"100644 deep/er/b.yaml": "b: 1\n"},
		},
		{"a new directory", files{"new/c.yaml": "c: 1\n"}, map[string]string{"100644 new/c.yaml": "c: 1\n"}},
		{"a mode", files{"100755 a.yaml": "a: 1\n"}, map[string]string{"100755 a.yaml": "a: 1\n", "100644 a.yaml": ""}},
	}
	for _, step := range steps {
		repo.Commit("main", step.commit)
		for path, data := range step.want {
			want[path] = data
			if data == "" {
				delete(want, path)
			}
		}
		if diff := cmp.Diff(want, contents(t, pull(t, m, "main"))); diff != "" {
			t.Errorf("after %s: %s", step.name, diff)
		}
	}
	t.Run("another process takes the mirror up without a fetch", func(t *testing.T) {
		m := open(t, dir, git.Remote{URL: repo.URL})
		if !m.Has(plumbing.NewHash(repo.Head("main"))) {
			t.Error("the mirror has lost its head")
		}
		if diff := cmp.Diff(want, contents(t, pull(t, m, "main"))); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("git finds the mirror sound", func(t *testing.T) {
		generations, _ := filepath.Glob(filepath.Join(dir, "*", "0*"))
		for _, generation := range generations {
			if out, err := exec.Command("git", "-C", generation, "fsck", "--connectivity-only").CombinedOutput(); err != nil {
				t.Errorf("git fsck: %v: %s", err, out)
			}
		}
	})
}

// A blob that the server believes to be here, since it is in the history of what
// is here, must still be sent: the history is not.
func TestRevertToABlobThatTheMirrorNeverHad(t *testing.T) {
	server := gitserver.New(t)
	repo := server.Repo("app")
	repo.Commit("main", files{"f": "old\n", "other": "x\n"})
	repo.Commit("main", files{"f": "new\n"})
	m := open(t, t.TempDir(), git.Remote{URL: repo.URL})
	pull(t, m, "main")
	repo.Commit("main", files{"f": "old\n"})
	want := map[string]string{"100644 f": "old\n", "100644 other": "x\n"}
	if diff := cmp.Diff(want, contents(t, pull(t, m, "main"))); diff != "" {
		t.Error(diff)
	}
}

func TestForcePushedRemote(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	repo.Commit("main", files{"f": "one\n", "kept": "x\n"})
	m := open(t, t.TempDir(), git.Remote{URL: repo.URL})
	before := pull(t, m, "main")
	repo.Replace("main", files{"g": "two\n", "kept": "x\n"})
	want := map[string]string{"100644 g": "two\n", "100644 kept": "x\n"}
	if diff := cmp.Diff(want, contents(t, pull(t, m, "main"))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"100644 f": "one\n", "100644 kept": "x\n"}, contents(t, before)); diff != "" {
		t.Errorf("the tree that was held changed: %s", diff)
	}
}

func TestResolve(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	first := repo.Commit("main", files{"f": "1\n"})
	repo.Git("tag", "light", first)
	repo.Git("-c", "user.name=t", "-c", "user.email=t@example.com", "tag", "-a", "-m", "x", "v1", first)
	second := repo.Commit("main", files{"f": "2\n"})
	repo.Git("update-ref", "refs/pull/1/head", first)
	m := open(t, t.TempDir(), git.Remote{URL: repo.URL})
	tests := map[string]string{
		"main": second, "HEAD": second, "refs/heads/main": second, "light": first, "v1": first,
		"refs/tags/v1": first, "refs/pull/1/head": first, first: first, "none": "", "refs/heads/none": "",
	}
	for ref, want := range tests {
		got, err := m.Resolve(t.Context(), ref)
		if want == "" {
			if !errors.Is(err, git.ErrRefNotFound) {
				t.Errorf("%s: error %v, want ErrRefNotFound", ref, err)
			}
		} else if err != nil || got.String() != want {
			t.Errorf("%s: %s, %v, want %s", ref, got, err, want)
		}
	}
	if err := m.Fetch(t.Context(), "main", plumbing.NewHash(strings.Repeat("a", 40))); !errors.Is(err, git.ErrRefNotFound) {
		t.Errorf("fetching a commit that is nowhere: %v, want ErrRefNotFound", err)
	}
	if err := m.Fetch(t.Context(), first, plumbing.NewHash(first)); err != nil {
		t.Errorf("fetching a commit that is no head: %v", err)
	}
}

func TestEmptyRepository(t *testing.T) {
	m := open(t, t.TempDir(), git.Remote{URL: gitserver.New(t).Repo("app").URL})
	if _, err := m.Resolve(t.Context(), "main"); !errors.Is(err, git.ErrRefNotFound) {
		t.Errorf("got %v, want ErrRefNotFound", err)
	}
}

func TestCredentials(t *testing.T) {
	const secret = "s3cr3t/+&="
	basic := gitserver.New(t, gitserver.WithBasicAuth("user", secret), gitserver.WithTLS(), gitserver.WithBackend())
	bearer := gitserver.New(t, gitserver.WithBearerToken(secret))
	echo := gitserver.New(t)
	echo.Intercept(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, r.Header.Get("Authorization")+secret, http.StatusForbidden)
		})
	})
	down := gitserver.New(t)
	down.Intercept(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	})
	tests := map[string]struct {
		server *gitserver.Server
		auth   git.Auth
		user   string // in the URL
		want   error
	}{
		"basic auth and a CA":            {basic, git.Auth{Username: "user", Password: secret, CA: basic.CA}, "", nil},
		"credentials in the URL":         {basic, git.Auth{CA: basic.CA}, "user:s3cr3t%2F+&=", nil},
		"a CA that nobody vouches for":   {basic, git.Auth{Username: "user", Password: secret}, "", git.ErrUnreachable},
		"no credentials":                 {basic, git.Auth{CA: basic.CA}, "", git.ErrUnauthorized},
		"a wrong password":               {basic, git.Auth{Username: "user", Password: secret + "x", CA: basic.CA}, "", git.ErrUnauthorized},
		"a bearer token":                 {bearer, git.Auth{BearerToken: secret}, "", nil},
		"a server that repeats a secret": {echo, git.Auth{Username: "user", Password: secret}, "", git.ErrUnauthorized},
		"a server that is broken":        {down, git.Auth{Username: "user", Password: secret}, "", git.ErrUnreachable},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			repo := tc.server.Repo("app")
			if !repo.Has("main") {
				repo.Commit("main", files{"f": "1\n"})
			}
			url := repo.URL
			if tc.user != "" {
				url = strings.Replace(url, "://", "://"+tc.user+"@", 1)
			}
			m := open(t, t.TempDir(), git.Remote{URL: url, Auth: tc.auth})
			head, err := m.Resolve(t.Context(), "main")
			if !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if err != nil {
				if text := err.Error(); strings.Contains(text, "s3cr3t") || strings.Contains(text, "dXNlcjp") {
					t.Errorf("the error tells a secret: %s", text)
				}
				return
			}
			if err := m.Fetch(t.Context(), "main", head); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestUnknownRepositoryAndURLs(t *testing.T) {
	server := gitserver.New(t)
	m := open(t, t.TempDir(), git.Remote{URL: server.URL + "/none.git"})
	if _, err := m.Resolve(t.Context(), "main"); !errors.Is(err, git.ErrRepositoryNotFound) {
		t.Errorf("got %v, want ErrRepositoryNotFound", err)
	}
	for _, url := range []string{"ftp://example.com/x", "/srv/git", "http://", "://", "file:///srv/git"} {
		_, err := git.NewMirrors(t.TempDir(), clock.RealClock{}).Get(t.Context(), git.Remote{URL: url})
		if !errors.Is(err, git.ErrUnsupportedURL) {
			t.Errorf("%s: got %v, want ErrUnsupportedURL", url, err)
		}
	}
}

func TestEndOfContext(t *testing.T) {
	server := gitserver.New(t)
	repo := server.Repo("app")
	repo.Commit("main", files{"f": "1\n"})
	m := open(t, t.TempDir(), git.Remote{URL: repo.URL})
	server.Intercept(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	})
	timed, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := m.Resolve(timed, "main"); !errors.Is(err, git.ErrUnreachable) {
		t.Errorf("after a timeout: %v, want ErrUnreachable", err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Resolve(canceled, "main"); !errors.Is(err, context.Canceled) {
		t.Errorf("when canceled: %v, want context.Canceled", err)
	}
}

func TestDamagedMirrorIsFetchedAgain(t *testing.T) {
	damage := map[string]func(t *testing.T, dir string){
		"a pack cut short": func(t *testing.T, dir string) {
			for _, path := range packs(t, dir, "pack") {
				stat, _ := os.Stat(path)
				_ = os.Truncate(path, stat.Size()/2)
			}
		},
		"an empty index": func(t *testing.T, dir string) {
			for _, path := range packs(t, dir, "idx") {
				_ = os.Truncate(path, 0)
			}
		},
		"a pack that is gone": func(t *testing.T, dir string) {
			for _, path := range packs(t, dir, "pack") {
				_ = os.Remove(path)
			}
		},
		"bits that flipped": func(t *testing.T, dir string) {
			for _, path := range packs(t, dir, "pack") {
				data, _ := os.ReadFile(path)
				for i := 12; i < len(data)-20; i++ {
					data[i] ^= 0x55
				}
				_ = os.WriteFile(path, data, 0o600)
			}
		},
		"a fetch that was killed": func(t *testing.T, dir string) {
			generation := filepath.Dir(filepath.Dir(filepath.Dir(packs(t, dir, "pack")[0])))
			_ = os.Remove(filepath.Join(generation, "shallow"))
			_ = os.WriteFile(filepath.Join(generation, "objects", "pack", "tmp_pack_1"), []byte("PACK"), 0o600)
		},
	}
	for name, harm := range damage {
		t.Run(name, func(t *testing.T) {
			repo := gitserver.New(t).Repo("app")
			repo.Commit("main", files{"f": "1\n", "d/g": "2\n"})
			dir := t.TempDir()
			pull(t, open(t, dir, git.Remote{URL: repo.URL}), "main")
			harm(t, dir)
			m := open(t, dir, git.Remote{URL: repo.URL})
			head := plumbing.NewHash(repo.Head("main"))
			if m.Has(head) { // damage that only reading finds
				if _, err := m.Tree(head); err == nil {
					t.Fatal("read a damaged mirror")
				}
			}
			want := map[string]string{"100644 f": "1\n", "100644 d/g": "2\n"}
			if diff := cmp.Diff(want, contents(t, pull(t, m, "main"))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// packs are the files of a kind in the mirrors' folders of packs.
func packs(t *testing.T, dir, kind string) []string {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(dir, "*", "*", "objects", "pack", "*."+kind))
	if len(found) == 0 {
		t.Fatal("no files of packs")
	}
	return found
}

func TestAPackWhoseIndexWasNeverWrittenIsRemoved(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	repo.Commit("main", files{"f": "1\n"})
	dir := t.TempDir()
	pull(t, open(t, dir, git.Remote{URL: repo.URL}), "main")
	before := packs(t, dir, "pack")
	stray := filepath.Join(filepath.Dir(before[0]), "pack-0123456789012345678901234567890123456789.pack")
	if err := os.WriteFile(stray, []byte("PACK"), 0o600); err != nil {
		t.Fatal(err)
	}
	pull(t, open(t, dir, git.Remote{URL: repo.URL}), "main")
	if diff := cmp.Diff(before, packs(t, dir, "pack")); diff != "" {
		t.Error(diff)
	}
}

func TestManyFetchesStartANewGenerationUnderReaders(t *testing.T) {
	repo := gitserver.New(t).Repo("app")
	repo.Commit("main", files{"f": "first\n"})
	dir := t.TempDir()
	m := open(t, dir, git.Remote{URL: repo.URL})
	held := pull(t, m, "main")
	var readers sync.WaitGroup
	for i := range 110 {
		repo.Commit("main", files{"f": fmt.Sprintf("%d\n", i)})
		now := pull(t, m, "main")
		readers.Go(func() {
			if data, err := now.ReadFile("f"); err != nil || string(data) != fmt.Sprintf("%d\n", i) {
				t.Errorf("reading commit %d: %q, %v", i, data, err)
			}
		})
	}
	readers.Wait()
	if data, err := held.ReadFile("f"); err != nil || string(data) != "first\n" {
		t.Errorf("a tree held since the first generation reads %q, %v", data, err)
	}
	generations, _ := filepath.Glob(filepath.Join(dir, "*", "0*"))
	if len(generations) != 2 {
		t.Errorf("%d generations on disk, want 2: %v", len(generations), generations)
	}
}
