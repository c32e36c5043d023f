// SPDX-License-Identifier: Apache-2.0

package git_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
)

func overSSH(server *gitserver.SSH, repo *gitserver.Repo) git.Remote {
	return git.Remote{URL: repo.URL, Auth: git.Auth{Identity: server.Identity, KnownHosts: server.KnownHosts}}
}

func TestFetchWriteAndPushOverSSH(t *testing.T) {
	server := gitserver.NewSSH(t)
	repo := server.Repo("team/it's an app")
	m := open(t, t.TempDir(), overSSH(server, repo))
	if refs, err := m.Refs(t.Context()); err != nil || len(refs) != 0 {
		t.Fatalf("an empty repository has %v, %v", refs, err)
	}
	noise := strings.Builder{}
	for i := range 3000 {
		fmt.Fprintf(&noise, "%d %x\n", i, i*i*104729)
	}
	repo.Commit("main", files{"a.yaml": "1\n", "big": noise.String()})
	pull(t, m, "main")
	repo.Commit("main", files{"a.yaml": "2\n"})
	base := pull(t, m, "main")
	if diff := cmp.Diff("2\n", contents(t, base)["100644 a.yaml"]); diff != "" {
		t.Error(diff)
	}
	made, err := m.Write(t.Context(), base.Commit(), map[string][]byte{"a.yaml": []byte("3\n")}, info("over SSH"))
	if err != nil {
		t.Fatal(err)
	}
	err = m.Push(t.Context(), map[string]string{"ci.skip": "true"},
		git.RefUpdate{Ref: "main", Old: base.Commit(), New: made}, git.RefUpdate{Ref: "refs/heads/copy", New: made})
	if err != nil {
		t.Fatal(err)
	}
	if repo.File("main", "a.yaml") != "3\n" || repo.Head("copy") != made.String() {
		t.Errorf("main has %q", repo.File("main", "a.yaml"))
	}
	err = m.Push(t.Context(), nil, git.RefUpdate{Ref: "main", Old: base.Commit(), New: made})
	if err != nil {
		t.Errorf("pushing what is there: %v", err)
	}
	repo.Commit("main", files{"a.yaml": "4\n"})
	next, err := m.Write(t.Context(), made, map[string][]byte{"a.yaml": []byte("5\n")}, info("too late"))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Push(t.Context(), nil, git.RefUpdate{Ref: "main", Old: made, New: next}); !errors.Is(err, git.ErrNonFastForward) {
		t.Errorf("pushing onto a ref that moved: %v, want ErrNonFastForward", err)
	}
	if n := server.Connections(); n != 1 {
		t.Errorf("%d connections, want one for all", n)
	}
}

func TestASecondFetchOverSSHBringsOnlyTheChange(t *testing.T) {
	server := gitserver.NewSSH(t)
	repo := server.Repo("app")
	m := open(t, t.TempDir(), overSSH(server, repo))
	random := make([]byte, 2<<20)
	_, _ = rand.Read(random)
	repo.Commit("main", files{"random": string(random), "f": "1\n"})
	pull(t, m, "main")
	repo.Commit("main", files{"f": "2\n"})
	server.Freeze(64 << 10) // enough for the change
	if files := contents(t, pull(t, m, "main")); files["100644 f"] != "2\n" {
		t.Errorf("f is %q", files["100644 f"])
	}
	server.Thaw()
}

func TestSSHRejectionIsWordedByTheServer(t *testing.T) {
	server := gitserver.NewSSH(t)
	repo := server.Repo("app")
	repo.Commit("main", files{"f": "1\n"})
	m := open(t, t.TempDir(), overSSH(server, repo))
	base := pull(t, m, "main").Commit()
	hook := filepath.Join(repo.Dir, "hooks", "pre-receive")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho no changes on Fridays >&2; exit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	made, err := m.Write(t.Context(), base, map[string][]byte{"f": []byte("2\n")}, info("x"))
	if err != nil {
		t.Fatal(err)
	}
	err = m.Push(t.Context(), nil, git.RefUpdate{Ref: "main", Old: base, New: made})
	if !errors.Is(err, git.ErrRejected) || !strings.Contains(err.Error(), "no changes on Fridays") {
		t.Errorf("got %v, want ErrRejected with the words of the hook", err)
	}
}

func TestSSHHostKeys(t *testing.T) {
	authority, _ := gitserver.NewKey(t)
	other, _ := gitserver.NewKey(t)
	tests := map[string]struct {
		server func(t *testing.T) *gitserver.SSH
		known  func(s *gitserver.SSH) []byte
		want   error
		says   string
	}{
		"the known key": {known: func(s *gitserver.SSH) []byte { return s.KnownHosts }},
		"a hashed name": {known: func(s *gitserver.SSH) []byte {
			return []byte(knownhosts.HashHostname(knownhosts.Normalize(s.Address)) + " " + string(ssh.MarshalAuthorizedKey(s.HostKey.PublicKey())))
		}},
		"a certificate of a known authority": {
			server: func(t *testing.T) *gitserver.SSH { return gitserver.NewSSH(t, authority) },
			known:  func(s *gitserver.SSH) []byte { return s.KnownHosts },
		},
		"a certificate of an unknown authority": {
			server: func(t *testing.T) *gitserver.SSH { return gitserver.NewSSH(t, authority) },
			known: func(s *gitserver.SSH) []byte {
				return []byte("@cert-authority " + knownhosts.Line([]string{s.Address}, other.PublicKey()) + "\n")
			},
			want: git.ErrHostKey,
		},
		"another key for the host": {
			known: func(s *gitserver.SSH) []byte {
				return []byte(knownhosts.Line([]string{s.Address}, other.PublicKey()) + "\n")
			},
			want: git.ErrHostKey, says: "known_hosts has another key for 127.0.0.1",
		},
		"no key for the host": {
			known: func(s *gitserver.SSH) []byte {
				return []byte(knownhosts.Line([]string{"git.example.com"}, s.HostKey.PublicKey()) + "\n")
			},
			want: git.ErrHostKey, says: "known_hosts has no key for 127.0.0.1",
		},
		"a revoked key": {
			known: func(s *gitserver.SSH) []byte {
				return append([]byte("@revoked * "+string(ssh.MarshalAuthorizedKey(s.HostKey.PublicKey()))), s.KnownHosts...)
			},
			want: git.ErrHostKey,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.server == nil {
				tc.server = func(t *testing.T) *gitserver.SSH { return gitserver.NewSSH(t) }
			}
			server := tc.server(t)
			repo := server.Repo("app")
			head := repo.Commit("main", files{"f": "1\n"})
			remote := overSSH(server, repo)
			remote.Auth.KnownHosts = tc.known(server)
			got, err := open(t, t.TempDir(), remote).Resolve(t.Context(), "main")
			if tc.want == nil {
				if err != nil || got.String() != head {
					t.Fatalf("got %s, %v", got, err)
				}
				return
			}
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %v that says %q", err, tc.want, tc.says)
			}
		})
	}
}

func TestSSHKeysOfClients(t *testing.T) {
	server := gitserver.NewSSH(t)
	repo := server.Repo("app")
	repo.Commit("main", files{"f": "1\n"})
	_, other := gitserver.NewKey(t)
	encrypted := encrypt(t, server.Identity, "hunter2")
	tests := map[string]struct {
		identity   []byte
		passphrase string
		want       error
		says       string
	}{
		"a plain key":                      {identity: server.Identity},
		"an encrypted key":                 {identity: encrypted, passphrase: "hunter2"},
		"an encrypted key, no password":    {identity: encrypted, says: "needs a password"},
		"an encrypted key, wrong password": {identity: encrypted, passphrase: "hunter3", says: "does not fit"},
		"a key that the server refuses":    {identity: other, want: git.ErrUnauthorized},
		"no key":                           {says: "'identity' and 'known_hosts'"},
		"something else":                   {identity: []byte("hunter2"), says: "SSH key"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			remote := overSSH(server, repo)
			remote.Auth.Identity, remote.Auth.Passphrase = tc.identity, []byte(tc.passphrase)
			m, err := git.NewMirrors(t.TempDir(), clock.RealClock{}).Get(t.Context(), remote)
			if err == nil {
				_, err = m.Resolve(t.Context(), "main")
			}
			if (err == nil) != (tc.want == nil && tc.says == "") || tc.want != nil && !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if err != nil && (!strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("error %v, want one that says %q", err, tc.says)
			}
		})
	}
}

func TestSSHServersThatMisbehave(t *testing.T) {
	server := gitserver.NewSSH(t)
	repo := server.Repo("app")
	noise := make([]byte, 1<<20)
	_, _ = rand.Read(noise)
	head := plumbing.NewHash(repo.Commit("main", files{"f": string(noise)}))

	t.Run("no such repository", func(t *testing.T) {
		remote := overSSH(server, repo)
		remote.URL = server.URL + "/none.git"
		if _, err := open(t, t.TempDir(), remote).Resolve(t.Context(), "main"); !errors.Is(err, git.ErrRepositoryNotFound) {
			t.Errorf("got %v, want ErrRepositoryNotFound", err)
		}
	})
	for name, bytes := range map[string]int{
		"it takes the connection and says nothing": 0, "it falls silent after its refs": 6 << 10,
		"it falls silent in the middle of a pack": 300 << 10,
	} {
		t.Run(name, func(t *testing.T) {
			m := open(t, t.TempDir(), overSSH(server, repo))
			server.Freeze(bytes)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := m.Fetch(ctx, "main", head); !errors.Is(err, git.ErrUnreachable) {
				t.Errorf("got %v, want ErrUnreachable", err)
			}
			// Frozen connections stay open: what follows must not go over them.
			server.Freeze(1 << 40)
			if err := m.Fetch(t.Context(), "main", head); err != nil {
				t.Errorf("after it came to its senses: %v", err)
			}
			server.Thaw()
		})
	}
	t.Run("it hung up since the last time", func(t *testing.T) {
		m := open(t, t.TempDir(), overSSH(server, repo))
		pull(t, m, "main")
		server.HangUp()
		if _, err := m.Resolve(t.Context(), "main"); err != nil {
			t.Error(err)
		}
	})
}

func TestSSHThroughAProxy(t *testing.T) {
	server := gitserver.NewSSH(t)
	repo := server.Repo("app")
	repo.Commit("main", files{"f": "1\n"})
	proxy := gitserver.NewProxy(t, "user", "s3cr3t")
	address, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	remote := overSSH(server, repo)
	remote.Auth.Proxy = address.String()
	if _, err := open(t, t.TempDir(), remote).Resolve(t.Context(), "main"); err == nil {
		t.Error("the proxy let in who has no password")
	}
	address.User = url.UserPassword("user", "s3cr3t")
	remote.Auth.Proxy = address.String()
	pull(t, open(t, t.TempDir(), remote), "main")
	if proxy.Requests() != 1 {
		t.Errorf("%d connections through the proxy, want 1", proxy.Requests())
	}
	address.User = url.UserPassword("user", "s3cr3t-wrong")
	remote.Auth.Proxy = address.String()
	_, err = open(t, t.TempDir(), remote).Resolve(t.Context(), "main")
	if err == nil || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("got %v, want an error that tells no secret", err)
	}
}

func TestHTTPSWithClientCertificates(t *testing.T) {
	server := gitserver.New(t, gitserver.WithClientCertificates())
	repo := server.Repo("app")
	repo.Commit("main", files{"f": "1\n"})
	pull(t, open(t, t.TempDir(), git.Remote{URL: repo.URL, Auth: git.Auth{CA: server.CA, Cert: server.Cert, Key: server.Key}}), "main")
	_, err := open(t, t.TempDir(), git.Remote{URL: repo.URL, Auth: git.Auth{CA: server.CA}}).Resolve(t.Context(), "main")
	if err == nil {
		t.Error("got in without a certificate")
	}
	_, err = git.NewMirrors(t.TempDir(), clock.RealClock{}).Get(t.Context(),
		git.Remote{URL: repo.URL, Auth: git.Auth{CA: server.CA, Cert: server.Cert, Key: bytes.ToUpper(server.Key)}})
	if err == nil || strings.Contains(err.Error(), "PRIVATE") {
		t.Errorf("a key that is none: %v", err)
	}
}

func TestHTTPThroughAProxy(t *testing.T) {
	proxy := gitserver.NewProxy(t, "user", "s3cr3t")
	through := strings.Replace(proxy.URL, "http://", "http://user:s3cr3t@", 1)
	for name, opts := range map[string][]gitserver.Option{"http": nil, "https": {gitserver.WithTLS()}} {
		t.Run(name, func(t *testing.T) {
			before := proxy.Requests()
			server := gitserver.New(t, opts...)
			repo := server.Repo("app")
			repo.Commit("main", files{"f": "1\n"})
			pull(t, open(t, t.TempDir(), git.Remote{URL: repo.URL, Auth: git.Auth{CA: server.CA, Proxy: through}}), "main")
			if proxy.Requests() == before {
				t.Error("it did not go through the proxy")
			}
		})
	}
}

// ecdsaKey is a host key of another algorithm than those of [gitserver.NewKey].
func ecdsaKey(t *testing.T) ssh.Signer {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func TestSSHAlgorithms(t *testing.T) {
	const old = ssh.InsecureKeyExchangeDH1SHA1
	tests := map[string]struct {
		offered             []string // by the server; none means all that are safe
		exchanges, hostKeys []string
		known               []string // algorithms that known_hosts has keys of; none means both
		refused             string
	}{
		"nothing is said, and both sides choose":        {},
		"a server that offers only what is unsafe":      {offered: []string{old}, refused: "key exchange"},
		"what is unsafe is offered on demand":           {offered: []string{old}, exchanges: []string{old}},
		"only what the server does not have is offered": {exchanges: []string{old}, refused: "key exchange"},
		"the exchange that is named is used": {
			offered:   []string{ssh.KeyExchangeECDHP384},
			exchanges: []string{ssh.KeyExchangeECDHP384},
		},
		"the host key that is named is shown":      {hostKeys: []string{ssh.KeyAlgoECDSA256}, known: []string{ssh.KeyAlgoECDSA256}},
		"the host key of known_hosts is asked for": {known: []string{ssh.KeyAlgoECDSA256}},
		"a host key that is named and not known": {
			hostKeys: []string{ssh.KeyAlgoED25519},
			known:    []string{ssh.KeyAlgoECDSA256},
			refused:  "known_hosts has another key",
		},
		"a host key that is named and the server has not": {hostKeys: []string{ssh.KeyAlgoRSASHA512}, refused: "host key"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server, second := gitserver.NewSSH(t), ecdsaKey(t)
			server.ShowAlso(second)
			if len(tc.offered) > 0 {
				server.KeyExchanges(tc.offered...)
			}
			repo := server.Repo("app")
			head := repo.Commit("main", files{"f": "1\n"})
			remote := overSSH(server, repo)
			remote.Auth.KnownHosts = nil
			for _, key := range []ssh.PublicKey{server.HostKey.PublicKey(), second.PublicKey()} {
				if len(tc.known) == 0 || slices.Contains(tc.known, key.Type()) {
					remote.Auth.KnownHosts = append(remote.Auth.KnownHosts, knownhosts.Line([]string{server.Address}, key)+"\n"...)
				}
			}
			mirrors := git.NewMirrors(t.TempDir(), clock.RealClock{})
			mirrors.SSHKeyExchanges, mirrors.SSHHostKeys = tc.exchanges, tc.hostKeys
			m, err := mirrors.Get(t.Context(), remote)
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.Resolve(t.Context(), "main")
			if tc.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tc.refused) {
					t.Errorf("got %v, want an error about %q", err, tc.refused)
				}
				return
			}
			if err != nil || got.String() != head {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
}
