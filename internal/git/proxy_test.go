// SPDX-License-Identifier: Apache-2.0

package git_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

// TestEveryProxyForEveryProtocol fetches and pushes through a proxy that asks for
// a password.
func TestEveryProxyForEveryProtocol(t *testing.T) {
	proxies := map[string]func(testing.TB, string, string) *gitserver.Proxy{
		"http": gitserver.NewProxy, "https": gitserver.NewTLSProxy, "socks5": gitserver.NewSOCKS,
	}
	repositories := map[string]func(t *testing.T) (*gitserver.Repo, git.Auth){
		"http": func(t *testing.T) (*gitserver.Repo, git.Auth) {
			return gitserver.New(t).Repo("app"), git.Auth{}
		},
		"https": func(t *testing.T) (*gitserver.Repo, git.Auth) {
			server := gitserver.New(t, gitserver.WithTLS())
			return server.Repo("app"), git.Auth{CA: server.CA}
		},
		"ssh": func(t *testing.T) (*gitserver.Repo, git.Auth) {
			server := gitserver.NewSSH(t)
			return server.Repo("app"), git.Auth{Identity: server.Identity, KnownHosts: server.KnownHosts}
		},
	}
	for kind, start := range proxies {
		for protocol, serve := range repositories {
			t.Run(protocol+" through "+kind, func(t *testing.T) {
				proxy := start(t, "user", "s3cr3t")
				repo, auth := serve(t)
				repo.Commit("main", files{"f": "1\n"})
				auth.CA = slices.Concat(auth.CA, proxy.CA)
				auth.Proxy = withPassword(t, proxy.URL, "s3cr3t")
				m := open(t, t.TempDir(), git.Remote{URL: repo.URL, Auth: auth})
				base := pull(t, m, "main").Commit()
				if proxy.Requests() == 0 {
					t.Error("it did not go through the proxy")
				}
				made, err := m.Write(t.Context(), base, map[string][]byte{"f": []byte("2\n")}, info("through a proxy"))
				if err != nil {
					t.Fatal(err)
				}
				if err := m.Push(t.Context(), nil, git.RefUpdate{Ref: "main", Old: base, New: made}); err != nil {
					t.Fatal(err)
				}
				if repo.Head("main") != made.String() {
					t.Error("the push did not arrive")
				}
				auth.Proxy = withPassword(t, proxy.URL, "s3cr3t-wrong")
				_, err = open(t, t.TempDir(), git.Remote{URL: repo.URL, Auth: auth}).Resolve(t.Context(), "main")
				if err == nil || strings.Contains(err.Error(), "s3cr3t") {
					t.Errorf("got %v, want an error that tells no secret", err)
				}
			})
		}
	}
}

func withPassword(t *testing.T, address, password string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("user", password)
	return u.String()
}

func TestAProxyWhoseCertificateIsNotTrustedIsNotUsed(t *testing.T) {
	server := gitserver.NewSSH(t)
	repo := server.Repo("app")
	repo.Commit("main", files{"f": "1\n"})
	proxy := gitserver.NewTLSProxy(t, "", "")
	remote := overSSH(server, repo)
	remote.Auth.Proxy = proxy.URL
	if _, err := open(t, t.TempDir(), remote).Resolve(t.Context(), "main"); err == nil || proxy.Requests() > 0 {
		t.Errorf("got %v after %d connections", err, proxy.Requests())
	}
}
