// SPDX-License-Identifier: Apache-2.0

package git_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

func TestWhatFailedAtARemoteIsNamedOnce(t *testing.T) {
	guarded, overHTTP, down := gitserver.New(t, gitserver.WithBasicAuth("user", "secret")), gitserver.New(t), gitserver.New(t)
	ssh := gitserver.NewSSH(t)
	auth := git.Auth{Identity: ssh.Identity, KnownHosts: ssh.KnownHosts}
	_, other := gitserver.NewKey(t)
	full := overHTTP.Repo("full")
	full.Commit("main", gitserver.Files{"f": "1\n"})
	down.Intercept(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	})
	missing := strings.Repeat("ab", 20)
	tests := map[string]struct {
		remote git.Remote
		commit string // "" asks for refs
		says   string
	}{
		"a wrong password": {
			remote: git.Remote{URL: guarded.Repo("app").URL, Auth: git.Auth{Username: "user", Password: "hunter2"}},
			says:   "refuses the credentials",
		},
		"no password":        {remote: git.Remote{URL: guarded.Repo("app").URL}, says: "refuses the credentials"},
		"no such repository": {remote: git.Remote{URL: overHTTP.URL + "/none.git"}, says: "repository not found: status 404"},
		"no such repository over SSH": {
			remote: git.Remote{URL: "ssh://git@" + ssh.Address + "/none.git", Auth: auth}, says: "repository not found",
		},
		"a key that the server refuses": {
			remote: git.Remote{URL: ssh.Repo("app").URL, Auth: git.Auth{Identity: other, KnownHosts: ssh.KnownHosts}},
			says:   "refuses the credentials",
		},
		"a server that hangs up":     {remote: git.Remote{URL: down.Repo("app").URL}, says: "cannot be reached"},
		"a commit that is not there": {remote: git.Remote{URL: full.URL}, commit: missing, says: "ref not found"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := git.NewMirrors(t.TempDir(), clock.RealClock{}).Get(t.Context(), tc.remote)
			if err != nil {
				t.Fatal(err)
			}
			if tc.commit == "" {
				_, err = m.Select(t.Context(), git.Reference{Branch: "main"})
			} else {
				err = m.Fetch(t.Context(), tc.commit, plumbing.NewHash(tc.commit))
			}
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("got %v, want %q", err, tc.says)
			}
			for _, subject := range []string{tc.remote.String(), tc.says, tc.commit} {
				if n := strings.Count(err.Error(), subject); subject != "" && n != 1 {
					t.Errorf("%q names %q %d times", err, subject, n)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("the password is told")
			}
		})
	}
}
