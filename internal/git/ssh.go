// SPDX-License-Identifier: Apache-2.0

package git

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"

	"github.com/sluice-cd/sluice/internal/keysize"
)

const (
	sshPort = "22"
	sshUser = "git"
	// sshIdle is how long an unused connection is kept. Resolve, fetch and push
	// follow one another within that time, and each would else shake hands anew.
	sshIdle = 30 * time.Second
)

// dialSSH prepares conversations over SSH.
func (m *Mirrors) dialSSH(auth Auth, u *url.URL) (server, Auth, error) {
	config, address, err := m.sshConfig(auth, u)
	if err != nil {
		return nil, auth, err
	}
	path, err := url.PathUnescape(u.EscapedPath())
	if err != nil {
		return nil, auth, unsupported("its path is not percent-encoded as it should be")
	}
	return &sshServer{config: config, address: address, path: path, dial: dialer(auth, m.Guard)}, auth, nil
}

// sshConfig is who we are, and which host keys are accepted: those that
// known_hosts names and no others.
func (m *Mirrors) sshConfig(auth Auth, u *url.URL) (*ssh.ClientConfig, string, error) {
	if len(auth.Identity) == 0 || len(auth.KnownHosts) == 0 {
		return nil, "", errors.New("an ssh:// URL needs a Secret with the keys 'identity' and 'known_hosts'")
	}
	key, err := parseIdentity(auth.Identity, auth.Passphrase)
	if err != nil {
		return nil, "", err
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), sshPort)
	}
	known, err := readKnownHosts(auth.KnownHosts)
	if err != nil {
		return nil, "", err
	}
	config := &ssh.ClientConfig{
		User: sshUser, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyCallback: verifyHost(known), HostKeyAlgorithms: known.HostKeyAlgorithms(address),
	}
	if user := u.User.Username(); user != "" {
		config.User = user
	}
	if len(m.SSHHostKeys) > 0 {
		config.HostKeyAlgorithms = m.SSHHostKeys
	}
	config.KeyExchanges = m.SSHKeyExchanges
	return config, address, nil
}

// parseIdentity reads a private key, encrypted or not.
func parseIdentity(identity, passphrase []byte) (ssh.Signer, error) {
	if err := keysize.CheckPEM(identity); err != nil {
		return nil, fmt.Errorf("reading the SSH key: %w", err)
	}
	key, err := ssh.ParsePrivateKey(identity)
	var encrypted *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &encrypted) && len(passphrase) == 0:
		return nil, errors.New("the SSH key needs a password")
	case errors.As(err, &encrypted):
		if err := cheapToOpen(identity); err != nil {
			return nil, err
		}
		if key, err = ssh.ParsePrivateKeyWithPassphrase(identity, passphrase); err != nil {
			return nil, errors.New("the password does not fit the SSH key")
		}
	case err != nil:
		return nil, fmt.Errorf("reading the SSH key: %w", err)
	}
	return key, nil
}

// readKnownHosts parses known_hosts. The library reads files only.
func readKnownHosts(data []byte) (*knownhosts.HostKeyDB, error) {
	file, err := os.CreateTemp("", "known_hosts-")
	if err != nil {
		return nil, fmt.Errorf("reading known_hosts: %w", err)
	}
	defer os.Remove(file.Name())
	_, err = file.Write(data)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("reading known_hosts: %w", err)
	}
	known, err := knownhosts.NewDB(file.Name())
	if err != nil { // it would name the temporary file
		return nil, errors.New("reading known_hosts: a line is not 'host type key'")
	}
	return known, nil
}

// verifyHost words a refusal so that a person knows what to do.
func verifyHost(known *knownhosts.HostKeyDB) ssh.HostKeyCallback {
	check := known.HostKeyCallback()
	return func(host string, remote net.Addr, key ssh.PublicKey) error {
		err := check(host, remote, key)
		shows := fmt.Sprintf("it shows %s %s", key.Type(), ssh.FingerprintSHA256(key))
		switch {
		case err == nil:
			return nil
		case knownhosts.IsHostKeyChanged(err):
			return &remoteError{kind: ErrHostKey, text: fmt.Sprintf("%s; known_hosts has another key for %s", shows, host)}
		case knownhosts.IsHostUnknown(err):
			return &remoteError{kind: ErrHostKey, text: fmt.Sprintf("%s; known_hosts has no key for %s: add it if it is right", shows, host)}
		}
		return &remoteError{kind: ErrHostKey, text: shows}
	}
}

// sshServer is a repository at an SSH server. A connection serves one session
// at a time: when a server falls silent, its connection is all there is to close,
// and nobody else may be on it. One connection is kept for the next session.
type sshServer struct {
	config  *ssh.ClientConfig
	address string
	path    string
	dial    func(ctx context.Context, address string) (net.Conn, error)

	mu     sync.Mutex
	kept   *ssh.Client
	expiry *time.Timer
}

func (t *sshServer) open(service string, _ Token) session {
	return &sshSession{server: t, service: service, path: t.path}
}

// start begins a session, on the connection that was kept or on a new one. The
// caller gives the connection back, or closes it.
func (t *sshServer) start(ctx context.Context) (*ssh.Client, *ssh.Session, error) {
	if client := t.acquireClient(); client != nil {
		session, err := newSession(ctx, client)
		if err == nil || ctx.Err() != nil {
			return client, session, err
		}
		// the server has closed it meanwhile
	}
	client, err := t.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	session, err := newSession(ctx, client)
	return client, session, err
}

// newSession waits for the server no longer than the context, and closes the
// connection if it does not give a session.
func newSession(ctx context.Context, client *ssh.Client) (*ssh.Session, error) {
	stop := context.AfterFunc(ctx, func() { _ = client.Close() })
	session, err := client.NewSession()
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		_ = client.Close()
		return nil, err
	}
	return session, nil
}

// acquireClient is the connection that was kept, or nil.
func (t *sshServer) acquireClient() *ssh.Client {
	t.mu.Lock()
	defer t.mu.Unlock()
	client := t.kept
	t.kept = nil
	if t.expiry != nil {
		t.expiry.Stop()
	}
	return client
}

// releaseClient is for a connection whose session has ended well.
func (t *sshServer) releaseClient(client *ssh.Client) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept != nil {
		_ = client.Close()
		return
	}
	t.kept = client
	t.expiry = time.AfterFunc(sshIdle, func() {
		if client := t.acquireClient(); client != nil {
			_ = client.Close()
		}
	})
}

// connect shakes hands, for as long as the context allows: a server that takes
// the connection and says nothing must not hold its caller.
func (t *sshServer) connect(ctx context.Context) (*ssh.Client, error) {
	conn, err := t.dial(ctx, t.address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	client, channels, requests, err := ssh.NewClientConn(conn, t.address, t.config)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, handshakeError(ctx, err)
	}
	return ssh.NewClient(client, channels, requests), nil
}

// handshakeError tells a refusal from an outage. The library has no error types
// for either.
func handshakeError(ctx context.Context, err error) error {
	var refused *remoteError
	var network net.Error
	switch {
	case errors.As(err, &refused):
		return refused
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &network):
		return err
	}
	return &remoteError{kind: ErrUnauthorized, text: err.Error()}
}
