// SPDX-License-Identifier: Apache-2.0

package gitserver

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"path/filepath"
	"testing"

	"github.com/sluice-cd/sluice/test/playground/internal/accept"
)

// serveSSH returns the URL of a server with one empty repository, a.git, and
// the command by which git connects to it with a key.
func serveSSH(t *testing.T) (url string, connect func(key string) string) {
	t.Helper()
	dir := t.TempDir()
	host, client, known := filepath.Join(dir, "host"), filepath.Join(dir, "client"), filepath.Join(dir, "known")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := WriteKeys(host, client); err != nil {
		t.Fatal(err)
	}
	if err := WriteKnownHosts(known, host, address); err != nil {
		t.Fatal(err)
	}
	hostKey, err := ReadKey(host)
	if err != nil {
		t.Fatal(err)
	}
	clientKey, err := ReadKey(client)
	if err != nil {
		t.Fatal(err)
	}
	git(t, dir, "init", "--quiet", "--bare", "--initial-branch=main", "root/a.git")
	s := &SSH{Root: filepath.Join(dir, "root"), Host: hostKey, Client: clientKey.PublicKey(), Log: log.New(io.Discard, "", 0)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- accept.Serve(ctx, l, s.Serve) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "ssh://git@" + address + "/a.git", func(key string) string {
		if key == "" {
			key = client
		}
		return fmt.Sprintf("ssh -F none -i %s -o IdentitiesOnly=yes -o BatchMode=yes -o UserKnownHostsFile=%s", key, known)
	}
}

func TestPushAndCloneOverSSH(t *testing.T) {
	remote, connect := serveSSH(t)
	t.Setenv("GIT_SSH_COMMAND", connect(""))
	dir := checkout(t, []byte("one"))
	commit(t, dir, []byte("two"))
	git(t, dir, "push", "--quiet", remote, "main")
	clone := filepath.Join(t.TempDir(), "clone")
	git(t, dir, "clone", "--quiet", "--depth=1", remote, clone)
	if got := git(t, clone, "rev-list", "--count", "HEAD"); got != "1" {
		t.Errorf("a shallow clone has %s commits", got)
	}
}

func TestAnUnknownKeyIsRefused(t *testing.T) {
	remote, connect := serveSSH(t)
	stranger := filepath.Join(t.TempDir(), "stranger")
	if err := WriteKeys(stranger, stranger+"2"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GIT_SSH_COMMAND", connect(stranger))
	if out, err := tryGit(t, t.TempDir(), "ls-remote", remote); err == nil {
		t.Errorf("a stranger reads: %s", out)
	}
}

func TestParseCommand(t *testing.T) {
	for name, tc := range map[string]struct {
		line    string
		want    string // service and folder below /root
		wantErr bool
	}{
		"a fetch":                           {line: "git-upload-pack '/a.git'", want: "upload-pack /root/a.git"},
		"a push":                            {line: "git-receive-pack 'a/b.git'", want: "receive-pack /root/a/b.git"},
		"a quote in the path":               {line: `git-upload-pack '/it'\''s.git'`, want: "upload-pack /root/it's.git"},
		"nobody climbs out of the root":     {line: "git-upload-pack '/../../etc'", want: "upload-pack /root/etc"},
		"another program is refused":        {line: "sh -c 'id'", wantErr: true},
		"a second command is refused":       {line: "git-upload-pack '/a.git'; id", wantErr: true},
		"an open quote is refused":          {line: "git-upload-pack '/a.git", wantErr: true},
		"a backslash at the end is refused": {line: `git-upload-pack '/a.git'\`, wantErr: true},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := parseCommand(tc.line)
			if (err != nil) != tc.wantErr {
				t.Fatalf("error %v, want one: %v", err, tc.wantErr)
			}
			if got := c.service + " " + c.in("/root"); err == nil && got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func FuzzParseCommand(f *testing.F) {
	f.Add("git-upload-pack '/a.git'")
	f.Fuzz(func(t *testing.T, line string) {
		c, err := parseCommand(line)
		if err != nil {
			return
		}
		if below, err := filepath.Rel("/root", c.in("/root")); err != nil || !filepath.IsLocal(below) {
			t.Errorf("%q leads out of the root, to %q", line, c.in("/root"))
		}
	})
}
