// SPDX-License-Identifier: Apache-2.0

package gitserver_test

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

func TestCloneAndPushWithTheRealGit(t *testing.T) {
	for name, opts := range map[string][]gitserver.Option{"by itself": nil, "by http-backend": {gitserver.WithBackend()}} {
		t.Run(name, func(t *testing.T) {
			cloneAndPush(t, gitserver.New(t, append(opts, gitserver.WithBasicAuth("user", "secret"))...).Repo("acme/app"))
		})
	}
}

func cloneAndPush(t *testing.T, repo *gitserver.Repo) {
	t.Helper()
	repo.Commit("main", gitserver.Files{"a.txt": "one\n", "100755 run.sh": "#!/bin/sh\n"})
	work := filepath.Join(t.TempDir(), "work")
	url := strings.TrimSuffix(strings.Replace(repo.URL, "http://", "http://user:secret@", 1), ".git") // as git has it
	for _, args := range [][]string{
		{"clone", "-q", url, work},
		{"-C", work, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "--allow-empty", "-m", "pushed"},
		{"-C", work, "push", "-q", "origin", "main"},
	} {
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	if got := repo.Git("log", "-1", "--format=%s", "main"); got != "pushed" {
		t.Errorf("subject of main is %q, want pushed", got)
	}
	if got := repo.File("main", "a.txt"); got != "one\n" {
		t.Errorf("a.txt is %q", got)
	}
}

func TestAuthAndFaults(t *testing.T) {
	server := gitserver.New(t, gitserver.WithBasicAuth("user", "secret"))
	url := server.Repo("app").URL + "/info/refs?service=git-upload-pack"
	get := func(user, password string) int {
		req, _ := http.NewRequest(http.MethodGet, url, nil)
		if user != "" {
			req.SetBasicAuth(user, password)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	if got := get("", ""); got != http.StatusUnauthorized {
		t.Errorf("without credentials: %d", got)
	}
	if got := get("user", "wrong"); got != http.StatusUnauthorized {
		t.Errorf("with a wrong password: %d", got)
	}
	if got := get("user", "secret"); got != http.StatusOK {
		t.Errorf("with credentials: %d", got)
	}
	undo := server.Intercept(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	})
	if got := get("user", "secret"); got != http.StatusBadGateway {
		t.Errorf("with a fault: %d", got)
	}
	undo()
	if got := get("user", "secret"); got != http.StatusOK {
		t.Errorf("after the fault: %d", got)
	}
}
