// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/git/protocol"
)

// The services of a Git server.
const (
	uploadPack  = "git-upload-pack"  // to read from
	receivePack = "git-receive-pack" // to write to
)

// server opens conversations with the services of one.
type server interface {
	open(service string, token Token) session
}

// session is one conversation.
type session interface {
	// handshake begins the conversation, and returns the refs and capabilities that the
	// server advertises.
	handshake(ctx context.Context) (*bufio.Reader, error)
	// ask sends a request, which begins where the caller has read to, and returns the
	// answer.
	ask(ctx context.Context, request *bytes.Buffer) (*bufio.Reader, error)
	// keepsCapabilities reports whether the next conversation may do without a handshake.
	keepsCapabilities() bool
	// needsHandshake reports whether this conversation must begin with one, whatever is known.
	needsHandshake() bool
	// failed finds out why an answer could not be read.
	failed(ctx context.Context, err error) error
	io.Closer
}

// connection speaks Git's protocol (version 0) with one remote. What a server can do
// is learned from its first answer and remembered, so that a fetch or a push costs
// one request each.
type connection struct {
	server  server
	auth    Auth
	fetched *atomic.Int64 // counts the bytes of packs

	mu        sync.Mutex
	token     Token // the last that was used
	fetchCaps protocol.Capabilities
	pushCaps  protocol.Capabilities
}

// memoryShare is the share of a namespace that is taken for what a remote sends.
type memoryShare struct {
	memory    *budget.Budget
	namespace string
	// within is the grant of who may not wait, since others wait for them; nil waits.
	within *budget.Grant
}

// acquire returns a grant to be emptied.
func (s memoryShare) acquire(ctx context.Context, bytes int64) (*budget.Grant, error) {
	if s.within != nil {
		return s.within, s.within.Grow(bytes)
	}
	return s.memory.Acquire(ctx, s.namespace, bytes)
}

// dial prepares a connection; nothing is sent yet.
func (m *Mirrors) dial(remote Remote) (*connection, error) {
	u, err := parseURL(remote.URL)
	if err != nil {
		return nil, err
	}
	if err := m.Guard.CheckURL(u); err != nil {
		return nil, unsupported("%w", err)
	}
	server, auth, err := schemes[u.Scheme](m, remote.Auth, u)
	switch {
	case errors.Is(err, ErrUnsupportedURL):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	return &connection{server: server, auth: auth, fetched: &m.fetched}, nil
}

// hidden lists what must never be shown.
func (c *connection) hidden() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var hidden []string
	for _, secret := range append(c.token.secrets(), c.auth.secrets()...) {
		if secret != "" {
			hidden = append(hidden, secret)
		}
	}
	return hidden
}

// open begins a conversation.
func (c *connection) open(ctx context.Context, service string) (session, error) {
	token, err := c.auth.current(ctx)
	if err != nil {
		return nil, &remoteError{kind: ErrUnauthorized, text: c.redact(err.Error())}
	}
	c.mu.Lock()
	c.token = token
	c.mu.Unlock()
	return c.server.open(service, token), nil
}

// advertisedMemory is what the refs of a common repository take.
const advertisedMemory = 256 << 10

// handshake reads what the server advertises, and caches its capabilities. The memory is
// taken of the share of the reader of the refs, until one is chosen.
func (c *connection) handshake(
	ctx context.Context, s session, slot *protocol.Capabilities, share memoryShare,
) (*protocol.Advertisement, error) {
	from, err := s.handshake(ctx)
	if err != nil {
		return nil, c.explain(err)
	}
	memory, err := share.acquire(ctx, advertisedMemory)
	if err != nil {
		return nil, err
	}
	defer memory.Empty()
	advertised, err := protocol.ReadAdvertisement(from, maxRefs, memory.Grow)
	if err != nil {
		return nil, c.explain(s.failed(ctx, err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if *slot = nil; s.keepsCapabilities() {
		*slot = advertised.Capabilities
	}
	return advertised, nil
}

// refs lists the remote's refs.
func (c *connection) refs(ctx context.Context, share memoryShare) (*protocol.Advertisement, error) {
	s, err := c.open(ctx, uploadPack)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }()
	return c.handshake(ctx, s, &c.fetchCaps, share)
}

// knownTo are the capabilities that a conversation may go by.
func (c *connection) knownTo(s session, slot *protocol.Capabilities) protocol.Capabilities {
	if s.needsHandshake() {
		return nil
	}
	return c.known(slot)
}

func (c *connection) known(slot *protocol.Capabilities) protocol.Capabilities {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *slot
}

// forget makes the next conversation begin with a greeting.
func (c *connection) forget(slot *protocol.Capabilities) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*slot = nil
}

// errMoved means that a request went to where the repository was before.
var errMoved = errors.New("the server leads elsewhere")

// fetch asks for one commit without its history, given the commits that are here, and
// returns the pack.
func (c *connection) fetch(ctx context.Context, share memoryShare, want plumbing.Hash, tips []plumbing.Hash) (io.ReadCloser, error) {
	stream, err := c.fetchOnce(ctx, share, want, tips)
	if err != nil {
		known := c.known(&c.fetchCaps) != nil
		c.forget(&c.fetchCaps)
		if known && errors.Is(err, errMoved) {
			return c.fetchOnce(ctx, share, want, tips)
		}
	}
	return stream, err
}

func (c *connection) fetchOnce(
	ctx context.Context, share memoryShare, want plumbing.Hash, tips []plumbing.Hash,
) (_ io.ReadCloser, err error) {
	s, err := c.open(ctx, uploadPack)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	caps := c.knownTo(s, &c.fetchCaps)
	if caps == nil {
		advertised, err := c.handshake(ctx, s, &c.fetchCaps, share)
		if err != nil {
			return nil, err
		}
		if len(advertised.Refs) == 0 {
			return nil, ErrRefNotFound
		}
		caps = advertised.Capabilities
	}
	var request bytes.Buffer
	if err := (protocol.Fetch{Offered: caps, Want: want, Tips: tips}).Encode(&request); err != nil {
		return nil, err
	}
	answer, err := s.ask(ctx, &request)
	if err != nil {
		return nil, c.explain(err)
	}
	content, err := protocol.ReadPack(answer)
	if err != nil {
		return nil, c.explain(s.failed(ctx, err))
	}
	why := func(err error) error { return c.explain(s.failed(ctx, err)) }
	return &packStream{fetched: c.fetched, content: content, answer: answer, session: s, why: why}, nil
}

// packStream is a pack as it comes from the remote.
type packStream struct {
	fetched *atomic.Int64
	content io.Reader
	answer  io.Reader
	session session
	why     func(error) error // explains why it cannot be read
}

func (s *packStream) Read(p []byte) (int, error) {
	n, err := s.content.Read(p)
	s.fetched.Add(int64(n))
	if err != nil && !errors.Is(err, io.EOF) {
		err = s.why(err)
	}
	return n, err
}

// Close reads what little is left of the answer, so that its connection can be
// used again.
func (s *packStream) Close() error {
	_, _ = io.CopyN(io.Discard, s.answer, 4<<10)
	return s.session.Close()
}
