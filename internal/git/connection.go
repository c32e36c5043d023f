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

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// connection speaks Git's protocol (version 0) with one remote. What a server
// can do and where it redirects to are learned from its first answer and
// remembered, so that a fetch or a push costs one request each.
type connection struct {
	transport transport.Transport
	auth      transport.AuthMethod
	secrets   []string // never to be shown

	mu        sync.Mutex
	endpoint  transport.Endpoint
	fetchCaps *capability.List
	pushCaps  *capability.List
}

// dial prepares a connection; nothing is sent yet.
func (m *Mirrors) dial(remote Remote) (*connection, error) {
	u, err := url.Parse(remote.URL)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%w: it has no host", ErrUnsupportedURL)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w: scheme %q is none of http, https", ErrUnsupportedURL, u.Scheme)
	}
	auth := remote.Auth.orFrom(u.User)
	u.User = nil
	endpoint, err := transport.NewEndpoint(u.String())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupportedURL, err)
	}
	// The library puts the path into requests as it is.
	endpoint.Path = strings.TrimSuffix(u.EscapedPath(), "/")
	client, err := m.httpClient(auth.CA)
	if err != nil {
		return nil, err
	}
	return &connection{
		transport: githttp.NewClient(client), auth: auth.method(), secrets: auth.secrets(), endpoint: *endpoint,
	}, nil
}

// orFrom takes the credentials of a URL when there are no others.
func (a Auth) orFrom(user *url.Userinfo) Auth {
	if user != nil && a.Username == "" && a.Password == "" && a.BearerToken == "" {
		a.Username = user.Username()
		a.Password, _ = user.Password()
	}
	return a
}

func (a Auth) method() transport.AuthMethod {
	switch {
	case a.BearerToken != "":
		return &githttp.TokenAuth{Token: a.BearerToken}
	case a.Username != "" || a.Password != "":
		return &githttp.BasicAuth{Username: a.Username, Password: a.Password}
	}
	return nil
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
	session, err := c.transport.NewUploadPackSession(endpoint, c.auth)
	if err != nil {
		return nil, c.explain(err)
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
	c.endpoint, *slot = *endpoint, caps
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
	session, err := c.transport.NewUploadPackSession(c.at(), c.auth)
	if err != nil {
		return nil, c.explain(err)
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
