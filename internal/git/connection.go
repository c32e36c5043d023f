package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// connection speaks Git's protocol (version 0) with one remote. What a server
// can do and where it redirects to are learned from its first answer and
// remembered, so that a fetch or a push costs one request each.
type connection struct {
	transport transport.Transport
	auth      Auth
	fetched   *atomic.Int64 // counts the bytes of packs

	mu        sync.Mutex
	endpoint  transport.Endpoint
	token     Token // the last that was used
	moved     bool  // to another origin, which credentials do not follow
	fetchCaps *capability.List
	pushCaps  *capability.List
}

// dial prepares a connection; nothing is sent yet.
func (m *Mirrors) dial(remote Remote) (*connection, error) {
	u, err := url.Parse(remote.URL)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%w: it has no host", ErrUnsupportedURL)
	}
	dial, ok := schemes[u.Scheme]
	if !ok {
		return nil, fmt.Errorf("%w: scheme %q is none of http, https, ssh", ErrUnsupportedURL, u.Scheme)
	}
	conn, err := dial(m, remote.Auth, u)
	if err != nil {
		return nil, err
	}
	conn.fetched = &m.fetched
	return conn, nil
}

// schemes are the transports by the scheme of the URL.
var schemes = map[string]func(*Mirrors, Auth, *url.URL) (*connection, error){
	"http": (*Mirrors).dialHTTP, "https": (*Mirrors).dialHTTP, "ssh": (*Mirrors).dialSSH,
}

// method is how HTTP requests prove themselves now. SSH does so by itself.
func (c *connection) method(ctx context.Context) (transport.AuthMethod, error) {
	token, err := c.auth.current(ctx)
	if err != nil {
		return nil, &remoteError{kind: ErrUnauthorized, text: c.redact(err.Error())}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token = token
	if c.moved {
		return nil, nil
	}
	return token.method(), nil
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

// upload opens a session to read from the remote.
func (c *connection) upload(ctx context.Context, at *transport.Endpoint) (transport.UploadPackSession, error) {
	method, err := c.method(ctx)
	if err != nil {
		return nil, err
	}
	session, err := c.transport.NewUploadPackSession(at, method)
	if err != nil {
		return nil, c.explain(err)
	}
	return session, nil
}

// receive opens a session to write to the remote.
func (c *connection) receive(ctx context.Context, at *transport.Endpoint) (transport.ReceivePackSession, error) {
	method, err := c.method(ctx)
	if err != nil {
		return nil, err
	}
	session, err := c.transport.NewReceivePackSession(at, method)
	if err != nil {
		return nil, c.explain(err)
	}
	return session, nil
}

// at is where the server was last seen, for a session to use as its own.
func (c *connection) at() *transport.Endpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	endpoint := c.endpoint
	return &endpoint
}

// refs lists the remote's refs, tags peeled.
func (c *connection) refs(ctx context.Context) (map[string]plumbing.Hash, error) {
	endpoint := c.at()
	session, err := c.upload(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	defer func() { _ = session.Close() }()
	advertised, err := session.AdvertisedReferencesContext(ctx)
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return map[string]plumbing.Hash{}, nil
	}
	if err != nil {
		return nil, c.explain(err)
	}
	c.learn(endpoint, &c.fetchCaps, advertised.Capabilities)
	refs := advertised.References
	for name, commit := range advertised.Peeled {
		refs[name] = commit
	}
	if advertised.Head != nil {
		refs["HEAD"] = *advertised.Head
	}
	return refs, nil
}

// learn remembers what a server's first answer told.
func (c *connection) learn(endpoint *transport.Endpoint, slot **capability.List, caps *capability.List) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moved = c.moved || !sameOrigin(c.endpoint, *endpoint)
	c.endpoint, *slot = *endpoint, caps
}

// sameOrigin reports whether a redirect stayed with the server that is trusted
// with the credentials. A plain one may become encrypted.
func sameOrigin(before, after transport.Endpoint) bool {
	from, to := portOf(before), portOf(after)
	upgraded := before.Protocol == "http" && after.Protocol == "https" && from == httpPort && to == httpsPort
	return strings.EqualFold(before.Host, after.Host) && (upgraded || before.Protocol == after.Protocol && from == to)
}

const (
	httpPort  = 80
	httpsPort = 443
)

// portOf is the port of an HTTP endpoint, which need not say it.
func portOf(e transport.Endpoint) int {
	switch {
	case e.Port != 0:
		return e.Port
	case e.Protocol == "https":
		return httpsPort
	}
	return httpPort
}

func (c *connection) known(slot **capability.List) *capability.List {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *slot
}

// fetch asks for one commit without its history, given the commits that are
// here, and returns the pack.
func (c *connection) fetch(ctx context.Context, want plumbing.Hash, tips []plumbing.Hash) (io.ReadCloser, error) {
	if c.known(&c.fetchCaps) == nil {
		if _, err := c.refs(ctx); err != nil {
			return nil, err
		}
	}
	caps := c.known(&c.fetchCaps)
	if caps == nil {
		return nil, ErrRefNotFound // an empty repository
	}
	request := fetchRequest(caps, want, tips)
	session, err := c.upload(ctx, c.at())
	if err != nil {
		return nil, err
	}
	response, err := session.UploadPack(ctx, request)
	if err != nil {
		return nil, errors.Join(c.explain(err), session.Close())
	}
	content := demultiplex(request.Capabilities, response, nil)
	return &packStream{conn: c, content: content, response: response, session: session}, nil
}

func fetchRequest(caps *capability.List, want plumbing.Hash, tips []plumbing.Hash) *packp.UploadPackRequest {
	request := packp.NewUploadPackRequestFromCapabilities(caps)
	for _, c := range []capability.Capability{capability.Shallow, capability.NoProgress} {
		if caps.Supports(c) {
			_ = request.Capabilities.Set(c)
		}
	}
	if len(tips) > 0 {
		// The library hides that the server offers this; all do. Without it the
		// answer is the whole tree, however much of it is here.
		_ = request.Capabilities.Set(capability.ThinPack)
	}
	if caps.Supports(capability.Shallow) {
		request.Depth = packp.DepthCommits(1)
		request.Shallows = tips
	}
	request.Wants = []plumbing.Hash{want}
	request.Haves = tips
	return request
}

// packStream is a pack as it comes from the remote.
type packStream struct {
	conn     *connection
	content  io.Reader
	response io.ReadCloser
	session  io.Closer
}

func (s *packStream) Read(p []byte) (int, error) {
	n, err := s.content.Read(p)
	s.conn.fetched.Add(int64(n))
	if err != nil && !errors.Is(err, io.EOF) {
		err = s.conn.explain(err)
	}
	return n, err
}

// Close reads what little is left of the answer, so that its connection can be
// used again.
func (s *packStream) Close() error {
	_, _ = io.CopyN(io.Discard, s.response, 4<<10)
	return errors.Join(s.response.Close(), s.session.Close())
}

// demultiplex strips the framing that was agreed on; what the server says
// besides goes to progress.
func demultiplex(caps *capability.List, r io.Reader, progress *bytes.Buffer) io.Reader {
	kind := sideband.Sideband
	switch {
	case caps.Supports(capability.Sideband64k):
		kind = sideband.Sideband64k
	case !caps.Supports(capability.Sideband):
		return r
	}
	d := sideband.NewDemuxer(kind, r)
	if progress != nil {
		d.Progress = progress
	}
	return d
}
