// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/git/protocol"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// httpServer is a repository at a Git server over HTTP ("smart", gitprotocol-http(5)).
// A conversation is two requests that know nothing of each other: one that is
// answered with the greeting, and may be redirected, and one that asks.
type httpServer struct {
	client *http.Client
	clock  clock.PassiveClock
	base   *url.URL // as configured

	mu sync.Mutex
	// moved is where the server has sent the repository for good, nil for nowhere, and
	// movedAt when it said so.
	moved   *url.URL
	movedAt time.Time
	// speaks is set once the server has spoken Git. Before, it may be any server that
	// the URL happens to reach, and its answers are not repeated.
	speaks bool
}

// movedLife is for how long a permanent redirect counts. Then the server is asked again
// where it was configured: what it said by mistake, or when it was not itself, must not
// decide for ever what is fetched.
const movedLife = time.Hour

func (s *httpServer) open(service string, token Token) session {
	s.mu.Lock()
	defer s.mu.Unlock()
	session := &httpSession{server: s, service: service, token: token, url: s.base, permanent: true}
	switch {
	case s.moved == nil:
	case s.clock.Since(s.movedAt) < movedLife:
		session.url = s.moved
	default:
		s.moved, session.lost = nil, true
	}
	return session
}

// httpSession is one conversation.
type httpSession struct {
	server    *httpServer
	service   string
	token     Token
	url       *url.URL // where the repository is, for this conversation
	permanent bool
	lost      bool // a redirect counts no more that the conversations before went by
	bodies    []io.Closer
}

// handshake implements session. A repository that is not where the server has sent it is
// looked for where it is configured.
func (s *httpSession) handshake(ctx context.Context) (*bufio.Reader, error) {
	from, err := s.handshakeThere(ctx)
	if err != nil && s.url != s.server.base && s.server.forgetRedirect() {
		s.url = s.server.base
		return s.handshakeThere(ctx)
	}
	return from, err
}

// forgetRedirect forgets where the server has sent the repository, and reports whether it has.
func (s *httpServer) forgetRedirect() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	moved := s.moved != nil
	s.moved = nil
	return moved
}

func (s *httpSession) handshakeThere(ctx context.Context) (*bufio.Reader, error) {
	resp, err := s.do(ctx, http.MethodGet, infoRefs+"?service="+s.service, nil) //nolint:bodyclose // with the session
	if err != nil {
		return nil, err
	}
	if err := s.expect(resp, "application/x-"+s.service+"-advertisement"); err != nil {
		return nil, err
	}
	if err := s.follow(resp); err != nil {
		return nil, err
	}
	return bufio.NewReader(resp.Body), nil
}

// ask implements session.
func (s *httpSession) ask(ctx context.Context, request *bytes.Buffer) (*bufio.Reader, error) {
	resp, err := s.do(ctx, http.MethodPost, "/"+s.service, request) //nolint:bodyclose // with the session
	if err != nil {
		return nil, err
	}
	if err := s.expect(resp, "application/x-"+s.service+"-result"); err != nil {
		return nil, err
	}
	return bufio.NewReader(resp.Body), nil
}

// infoRefs is where a repository greets.
const infoRefs = "/info/refs"

// do sends one request, with credentials if it goes to the server that they are for.
func (s *httpSession) do(ctx context.Context, method, path string, body *bytes.Buffer) (*http.Response, error) {
	var content io.Reader // not a nil *bytes.Buffer
	if body != nil {
		content = body
	}
	req, err := http.NewRequestWithContext(ctx, method, s.url.String()+path, content)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", protocol.Agent)
	if body != nil {
		req.Header.Set("Content-Type", "application/x-"+s.service+"-request")
		req.Header.Set("Accept", "application/x-"+s.service+"-result")
	}
	if outbound.SameOrigin(s.server.base, s.url) {
		s.token.authenticate(req)
	}
	resp, err := s.server.client.Do(req)
	if err != nil {
		return nil, err
	}
	s.bodies = append(s.bodies, resp.Body)
	return resp, nil
}

// authenticate adds the credential to a request.
func (t Token) authenticate(req *http.Request) {
	switch {
	case t.Bearer != "":
		req.Header.Set("Authorization", "Bearer "+t.Bearer)
	case t.Username != "" || t.Password != "":
		req.SetBasicAuth(t.Username, t.Password)
	}
}

// statusError is an answer that is none.
type statusError struct {
	code int
	text string // what the server says, if it is known to be a Git server
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("status %d %s", e.code, http.StatusText(e.code))
	if e.text != "" {
		text += ": " + e.text
	}
	return strings.TrimSpace(text)
}

// expect is an error unless the answer is one of Git's.
func (s *httpSession) expect(resp *http.Response, kind string) error {
	if resp.StatusCode != http.StatusOK {
		failure := &statusError{code: resp.StatusCode, text: s.words(resp)}
		if resp.StatusCode >= http.StatusMultipleChoices && resp.StatusCode < http.StatusBadRequest {
			return errors.Join(errMoved, failure)
		}
		return failure
	}
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return fmt.Errorf("%w: its answer is compressed, which it was not asked for", protocol.ErrProtocol)
	}
	if got, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); got != kind {
		return fmt.Errorf("%w: its answer is no %s", protocol.ErrProtocol, kind)
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.speaks = true
	return nil
}

// words is the reason that a Git server gives for a refusal: plain text, where it is
// for people.
func (s *httpSession) words(resp *http.Response) string {
	s.server.mu.Lock()
	speaks := s.server.speaks
	s.server.mu.Unlock()
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if !speaks || !outbound.SameOrigin(s.server.base, resp.Request.URL) || kind != "text/plain" && kind != "" ||
		resp.Header.Get("Content-Encoding") != "" {
		return ""
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxSaid))
	return string(text)
}

// follow takes the conversation to where the greeting came from. The next one goes
// there as well only if the same server said that it is for good: otherwise a single redirect, by
// anybody between us and the server, would decide for ever from where is fetched.
func (s *httpSession) follow(resp *http.Response) error {
	to := resp.Request.URL
	if to.String() == s.url.String()+infoRefs+"?service="+s.service {
		return nil
	}
	path, ok := strings.CutSuffix(to.EscapedPath(), infoRefs)
	if !ok {
		return fmt.Errorf("%w: it leads to something that is no repository", protocol.ErrProtocol)
	}
	at, err := url.Parse(to.Scheme + "://" + to.Host + path)
	if err != nil {
		return fmt.Errorf("%w: it leads to something that is no repository", protocol.ErrProtocol)
	}
	s.permanent = forGood(resp) && outbound.SameOrigin(s.server.base, at)
	s.url = at
	if s.permanent {
		s.server.mu.Lock()
		defer s.server.mu.Unlock()
		s.server.moved, s.server.movedAt = at, s.server.clock.Now()
	}
	return nil
}

// forGood reports whether all redirects that led to an answer were permanent ones of
// one server.
func forGood(resp *http.Response) bool {
	for req := resp.Request; req.Response != nil; req = req.Response.Request {
		permanent := req.Response.StatusCode == http.StatusMovedPermanently || req.Response.StatusCode == http.StatusPermanentRedirect
		if !permanent || !outbound.SameOrigin(req.Response.Request.URL, req.URL) {
			return false
		}
	}
	return true
}

// keepsCapabilities implements session.
func (s *httpSession) keepsCapabilities() bool { return s.permanent }

// needsHandshake implements session.
func (s *httpSession) needsHandshake() bool { return s.lost }

// failed implements session.
func (s *httpSession) failed(_ context.Context, err error) error { return err }

// Close implements io.Closer.
func (s *httpSession) Close() error {
	var errs []error
	for _, body := range s.bodies {
		errs = append(errs, body.Close())
	}
	return errors.Join(errs...)
}
