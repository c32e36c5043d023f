// SPDX-License-Identifier: Apache-2.0

package gitserver

import (
	"crypto/rand"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// serve returns the URL of a server with one empty repository, a.git.
func serve(t *testing.T) (anonymous, authorized string) {
	t.Helper()
	s, err := New(Server{
		Root: filepath.Join(t.TempDir(), "git"), Username: "user", Password: "secret",
		Log: log.New(io.Discard, "", 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	git(t, s.Root, "init", "--quiet", "--bare", "--initial-branch=main", "a.git")
	u, err := url.Parse(server.URL + "/a.git")
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("user", "secret")
	return server.URL + "/a.git", u.String()
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := tryGit(t, dir, args...)
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return out
}

func tryGit(t *testing.T, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// checkout makes a work tree with one commit of one file.
func checkout(t *testing.T, content []byte) string {
	t.Helper()
	dir := t.TempDir()
	git(t, dir, "init", "--quiet", "--initial-branch=main")
	commit(t, dir, content)
	return dir
}

func commit(t *testing.T, dir string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "file"), content, 0o644); err != nil {
		t.Fatal(err)
	}
	git(t, dir, "add", "file")
	git(t, dir, "commit", "--quiet", "--message=change")
}

func TestNobodyGetsInWithoutThePassword(t *testing.T) {
	anonymous, _ := serve(t)
	for name, credentials := range map[string]*url.Userinfo{
		"nobody":         nil,
		"wrong password": url.UserPassword("user", "guess"),
		"wrong user":     url.UserPassword("root", "secret"),
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, anonymous+"/info/refs?service=git-upload-pack", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.URL.User = credentials
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("got %s, want 401", resp.Status)
			}
		})
	}
}

func TestALargePushArrives(t *testing.T) {
	_, remote := serve(t)
	content := make([]byte, 3<<20) // beyond http.postBuffer: git sends chunks
	_, _ = rand.Read(content)      // never fails
	dir := checkout(t, content)
	git(t, dir, "push", "--quiet", remote, "main")
	if got, want := git(t, dir, "ls-remote", remote, "refs/heads/main"), git(t, dir, "rev-parse", "main"); !strings.HasPrefix(got, want) {
		t.Errorf("the server has %q, want %q", got, want)
	}
}

func TestShallowAndPartialFetches(t *testing.T) {
	_, remote := serve(t)
	dir := checkout(t, []byte("one"))
	first := git(t, dir, "rev-parse", "HEAD")
	commit(t, dir, []byte("two"))
	git(t, dir, "push", "--quiet", remote, "main")

	clone := filepath.Join(t.TempDir(), "clone")
	git(t, dir, "clone", "--quiet", "--depth=1", "--filter=blob:none", "--no-checkout", remote, clone)
	if got := git(t, clone, "rev-list", "--count", "HEAD"); got != "1" {
		t.Errorf("a shallow clone has %s commits", got)
	}
	git(t, clone, "fetch", "--quiet", "--depth=1", "origin", first) // any commit by its hash
}

func TestOfTwoRacingPushesOneWins(t *testing.T) {
	_, remote := serve(t)
	git(t, checkout(t, []byte("base")), "push", "--quiet", remote, "main")
	var dirs []string
	for _, content := range []string{"left", "right"} {
		dir := filepath.Join(t.TempDir(), "clone")
		git(t, t.TempDir(), "clone", "--quiet", remote, dir)
		commit(t, dir, []byte(content))
		dirs = append(dirs, dir)
	}
	errs := make([]error, len(dirs))
	var wait sync.WaitGroup
	for i, dir := range dirs {
		wait.Go(func() { _, errs[i] = tryGit(t, dir, "push", "--quiet", "origin", "main") })
	}
	wait.Wait()
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Errorf("want exactly one winner, got %v", errs)
	}
}
