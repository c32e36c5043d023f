// SPDX-License-Identifier: Apache-2.0

package gitserver

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// SSH is a real SSH server that runs git for the owner of one key.
type SSH struct {
	// URL is the base address, with the user git and without a trailing slash.
	URL string
	// Address is host and port.
	Address string
	// Root is the directory that holds the repositories.
	Root string
	// Identity is the private key that is let in, in the format of OpenSSH.
	Identity []byte
	// HostKey is what the server shows, and KnownHosts the line that says so.
	HostKey    ssh.Signer
	KnownHosts []byte

	tb          testing.TB
	config      *ssh.ServerConfig
	connections atomic.Int64
	frozen      atomic.Bool
	budget      atomic.Int64 // bytes that may be sent before the server freezes
	done        chan struct{}

	mu   sync.Mutex // guards config and open
	open []net.Conn
}

// NewSSH starts a server that stops when the test ends. With a certificate
// authority the host key comes with a certificate, and KnownHosts trusts the
// authority.
func NewSSH(tb testing.TB, authority ...ssh.Signer) *SSH {
	tb.Helper()
	s := &SSH{Root: tb.TempDir(), tb: tb, done: make(chan struct{})}
	s.Thaw()
	var client ssh.Signer
	client, s.Identity = NewKey(tb)
	s.HostKey, _ = NewKey(tb)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s.Address = listener.Addr().String()
	s.URL = "ssh://git@" + s.Address
	s.KnownHosts = []byte(knownhosts.Line([]string{s.Address}, s.HostKey.PublicKey()) + "\n")
	shown := s.HostKey
	for _, ca := range authority {
		shown = certified(tb, s.HostKey, ca)
		s.KnownHosts = []byte("@cert-authority " + knownhosts.Line([]string{s.Address}, ca.PublicKey()) + "\n")
	}
	s.config = &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if !bytes.Equal(key.Marshal(), client.PublicKey().Marshal()) {
			return nil, errors.New("unknown key")
		}
		return nil, nil
	}}
	s.config.AddHostKey(shown)
	var served sync.WaitGroup
	served.Go(func() { s.accept(listener, &served) })
	tb.Cleanup(func() {
		close(s.done)
		_ = listener.Close()
		s.HangUp()
		served.Wait()
	})
	return s
}

// KeyExchanges makes the server offer only these algorithms. Call it before the
// first client comes.
func (s *SSH) KeyExchanges(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config.KeyExchanges = names
}

// ShowAlso gives the server one more host key, of another algorithm. Call it
// before the first client comes.
func (s *SSH) ShowAlso(key ssh.Signer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config.AddHostKey(key)
}

// NewKey makes a key, and its private half as a file of OpenSSH.
func NewKey(tb testing.TB) (signer ssh.Signer, file []byte) {
	tb.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	signer, err = ssh.NewSignerFromKey(private)
	if err != nil {
		tb.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "test")
	if err != nil {
		tb.Fatal(err)
	}
	return signer, pem.EncodeToMemory(block)
}

// certified is a host key with a certificate for this machine.
func certified(tb testing.TB, key, authority ssh.Signer) ssh.Signer {
	tb.Helper()
	certificate := &ssh.Certificate{
		Key: key.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{"127.0.0.1"}, ValidBefore: ssh.CertTimeInfinity,
	}
	if err := certificate.SignCert(rand.Reader, authority); err != nil {
		tb.Fatal(err)
	}
	signer, err := ssh.NewCertSigner(certificate, key)
	if err != nil {
		tb.Fatal(err)
	}
	return signer
}

// Repo returns the repository of the given name, made bare and empty if it is
// not there.
func (s *SSH) Repo(name string) *Repo {
	s.tb.Helper()
	r := &Repo{URL: s.URL + "/" + name + ".git", Dir: filepath.Join(s.Root, name+".git"), tb: s.tb}
	if err := create(r.Dir); err != nil {
		s.tb.Fatal(err)
	}
	return r
}

// Connections counts the connections so far.
func (s *SSH) Connections() int { return int(s.connections.Load()) }

// Freeze makes the server fall silent after n more bytes, with all connections
// left open, until it is thawed.
func (s *SSH) Freeze(n int) { s.budget.Store(int64(n)); s.frozen.Store(true) }

// Thaw takes Freeze back for new connections, and closes those that are frozen.
func (s *SSH) Thaw() {
	s.frozen.Store(false)
	s.HangUp()
}

// HangUp closes all connections.
func (s *SSH) HangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.open {
		_ = conn.Close()
	}
	s.open = nil
}

func (s *SSH) accept(listener net.Listener, served *sync.WaitGroup) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		s.connections.Add(1)
		freezing := &freezer{Conn: conn, server: s, closed: make(chan struct{})}
		s.mu.Lock()
		s.open = append(s.open, freezing)
		s.mu.Unlock()
		served.Go(func() { s.serve(freezing) })
	}
}

// freezer is a connection that can fall silent.
type freezer struct {
	net.Conn
	server *SSH
	once   sync.Once
	closed chan struct{}
}

// Write implements net.Conn.
func (f *freezer) Write(p []byte) (int, error) {
	if f.server.frozen.Load() && f.server.budget.Add(-int64(len(p))) < 0 {
		<-f.closed
		return 0, net.ErrClosed
	}
	return f.Conn.Write(p)
}

// Close implements net.Conn.
func (f *freezer) Close() error {
	f.once.Do(func() { close(f.closed) })
	return f.Conn.Close()
}

// serve runs the sessions of one client.
func (s *SSH) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	s.mu.Lock()
	config := *s.config
	s.mu.Unlock()
	_, channels, requests, err := ssh.NewServerConn(conn, &config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for channel := range channels {
		session, requests, err := channel.Accept()
		if err != nil {
			return
		}
		sessions.Go(func() { s.session(session, requests) })
	}
}

// session runs the one command that a session is for.
func (s *SSH) session(session ssh.Channel, requests <-chan *ssh.Request) {
	defer func() { _ = session.Close() }()
	for request := range requests {
		var asked struct{ Line string }
		ok := request.Type == "exec" && ssh.Unmarshal(request.Payload, &asked) == nil
		_ = request.Reply(ok, nil)
		if !ok {
			continue
		}
		go ssh.DiscardRequests(requests)
		status := struct{ Code uint32 }{s.run(session, asked.Line)}
		_, _ = session.SendRequest("exit-status", false, ssh.Marshal(status))
		return
	}
}

// run runs git for the client and returns its exit status.
func (s *SSH) run(session ssh.Channel, line string) uint32 {
	service, path, _ := strings.Cut(line, " ")
	path = strings.ReplaceAll(strings.Trim(path, "'"), `'\''`, "'")
	sub, known := strings.CutPrefix(service, "git-")
	if !known || (sub != "upload-pack" && sub != "receive-pack") || strings.Contains(path, "..") {
		_, _ = fmt.Fprintln(session.Stderr(), "no such command")
		return 128
	}
	cmd := command("-c", "receive.advertisePushOptions=true", sub, filepath.Join(s.Root, path))
	cmd.Stdout, cmd.Stderr = session, session.Stderr()
	stdin, err := cmd.StdinPipe() // with Stdin, Wait would wait for the client to hang up
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return 128
	}
	go func() {
		_, _ = io.Copy(stdin, session)
		_ = stdin.Close()
	}()
	if err := cmd.Wait(); err != nil {
		return 128
	}
	return 0
}
