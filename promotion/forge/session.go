// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/bounded"
	"github.com/sluice-cd/sluice/internal/lru"
	"github.com/sluice-cd/sluice/internal/mask"
	"github.com/sluice-cd/sluice/internal/outbound"
)

const (
	// maxAnswer bounds an answer; a page of 50 pull requests of GitHub is about 1 MiB.
	maxAnswer = 8 << 20
	// maxRefusal bounds an answer that is none, of which a part becomes a message.
	maxRefusal = 64 << 10
	// maxKept bounds an answer that is kept for its ETag, and keptAnswers all of them.
	maxKept, keptAnswers = 1 << 20, 32 << 20
	// requestTimeout is for a request with its answer.
	requestTimeout = 30 * time.Second
)

// errTooMuch means that an answer is larger than that of any forge that works.
var errTooMuch = errors.New("answers with more than 8 MiB")

// session is what all requests of a repository's driver go through, also those of the
// client libraries, which see it as a transport. An answer that is no success is an
// error already here, so that each library's own way to read errors is of no matter
// and what a forge says is masked and shortened in one place.
type session struct {
	provider   string
	table      provider
	repository repository
	who        identity

	base    http.RoundTripper
	limit   *limit
	answers *lru.Cache[answerKey, keptAnswer]
	metrics metrics
	clock   clock.PassiveClock
}

// answerKey is a resource as an identity sees it.
type answerKey struct{ identity, accept, url string }

// keptAnswer is an answer and the ETag by which the forge says whether it still holds.
type keptAnswer struct {
	etag   string
	header http.Header
	body   []byte
}

func weighAnswer(key answerKey, a keptAnswer) int64 { return int64(len(key.url) + len(a.body) + 4096) }

// client is an HTTP client over the session. It follows a repository to its new name.
func (s *session) client() *http.Client {
	return outbound.NewClient(s, outbound.Rules{Redirects: outbound.SameServer, Timeout: requestTimeout})
}

// readKey marks the context of a request that only reads although its method is POST,
// as those of GraphQL are.
type readKey struct{}

func reading(ctx context.Context) context.Context { return context.WithValue(ctx, readKey{}, true) }

// RoundTrip implements http.RoundTripper. Its errors are those of errors.go.
func (s *session) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != s.repository.api.Host || req.URL.Scheme != s.repository.api.Scheme {
		return nil, fmt.Errorf("the API leads to another server, %s, which gets no credential", req.URL.Host)
	}
	now := s.clock.Now()
	if until, ok := s.allow(req, now); !ok {
		return nil, &RateLimited{Host: req.URL.Host, Until: until}
	}
	header, secrets, err := s.who.header(req.Context())
	if err != nil {
		return nil, err
	}
	hidden := mask.New(secrets...)
	sent := req.Clone(req.Context())
	for _, name := range []string{"Authorization", "Private-Token"} {
		sent.Header.Del(name)
	}
	if header != "" {
		sent.Header.Set("Authorization", header)
	}
	sent.Header.Set("User-Agent", "sluice")
	key := answerKey{s.who.id, req.Header.Get("Accept"), req.URL.String()}
	kept, ok := s.answers.Get(key)
	if ok && req.Method == http.MethodGet {
		sent.Header.Set("If-None-Match", kept.etag)
	}
	resp, body, err := s.exchange(sent, now)
	if err != nil {
		return nil, hidden.Error(err)
	}
	return s.interpret(resp, body, key, hidden)
}

// statusKey marks the context of requests that set the status of a commit.
type statusKey struct{}

func settingStatus(ctx context.Context) context.Context {
	return context.WithValue(ctx, statusKey{}, true)
}

// allow counts a request by what it writes, and returns when it may be made, if not now.
func (s *session) allow(req *http.Request, now time.Time) (time.Time, bool) {
	switch ctx := req.Context(); {
	case req.Method == http.MethodGet, req.Method == http.MethodHead, ctx.Value(readKey{}) != nil:
		return s.limit.allowRead(now)
	case ctx.Value(statusKey{}) != nil:
		return s.limit.allowStatus(now, s.table.statuses)
	default:
		return s.limit.allowContent(now)
	}
}

// exchange sends one request and reads its answer, within bounds.
func (s *session) exchange(req *http.Request, now time.Time) (*http.Response, []byte, error) {
	resp, err := s.base.RoundTrip(req)
	if err != nil {
		s.metrics.observe(s.provider, req.Method, 0, s.clock.Since(now))
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := readAnswer(resp)
	s.metrics.observe(s.provider, req.Method, resp.StatusCode, s.clock.Since(now))
	switch {
	case errors.Is(err, errTooMuch):
		return nil, nil, fmt.Errorf("%s %w", req.URL.Host, err)
	case err != nil:
		return nil, nil, fmt.Errorf("reading the answer of %s: %w", req.URL.Host, err)
	}
	return resp, body, nil
}

// readAnswer reads the body of an answer. Of a refusal, which is only quoted, the beginning is enough.
func readAnswer(resp *http.Response) ([]byte, error) {
	if resp.StatusCode >= http.StatusBadRequest {
		return io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	}
	return bounded.ReadAll(resp.Body, maxAnswer, errTooMuch)
}

// interpret turns responses that are no success into errors, and a 304 into the cached
// response.
func (s *session) interpret(resp *http.Response, body []byte, key answerKey, hidden *mask.Mask) (*http.Response, error) {
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	message := ""
	if resp.StatusCode >= http.StatusBadRequest {
		message = hidden.Text(messageOf(body))
	}
	host := resp.Request.URL.Host
	until, limited := s.limit.update(s.clock.Now(), resp, message)
	// The library of GitLab would sleep by it, with a limiter of its own for each client.
	resp.Header.Del("RateLimit-Limit")
	switch {
	case limited:
		return nil, &RateLimited{Host: host, Until: until}
	case resp.StatusCode == http.StatusNotModified:
		kept, ok := s.answers.Get(key)
		if !ok {
			return nil, fmt.Errorf("%s says that nothing changed since an answer that was dropped", host)
		}
		resp.StatusCode, resp.Status, resp.Header = http.StatusOK, "200 OK", kept.header.Clone()
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(kept.body)), int64(len(kept.body))
	case resp.StatusCode == http.StatusUnauthorized && s.who.lasting:
		return nil, s.unauthorized(message)
	case rewrites(resp):
		to, err := resp.Location()
		if err != nil {
			return nil, fmt.Errorf("%s redirects to nowhere", host)
		}
		return nil, fmt.Errorf("the API redirects %s to %s: correct the URL of the repository",
			resp.Request.URL.Redacted(), hidden.Text(to.Redacted()))
	case resp.StatusCode >= http.StatusBadRequest:
		return nil, &statusError{host: host, code: resp.StatusCode, message: message}
	case bytes.Equal(bytes.TrimSpace(body), []byte("null")): // client libraries return nil without an error
		return nil, fmt.Errorf("%s answered null", host)
	case resp.StatusCode == http.StatusOK && resp.Request.Method == http.MethodGet:
		if etag := resp.Header.Get("ETag"); etag != "" && len(body) <= maxKept {
			s.answers.Put(key, keptAnswer{etag: etag, header: resp.Header.Clone(), body: body})
		}
	}
	return resp, nil
}

// rewrites reports whether an answer would make a request that writes into one that reads, as
// a redirect from HTTP to HTTPS does: it would seem to succeed.
func rewrites(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther:
		return resp.Request.Method != http.MethodGet && resp.Request.Method != http.MethodHead
	}
	return false
}

// unauthorized is the error of a credential that is refused, for a reason in the words of
// the forge.
func (s *session) unauthorized(reason string) *Unauthorized {
	return &Unauthorized{Host: s.repository.api.Host, Keys: s.who.keys, Needs: s.table.needs, Reason: reason}
}

func (s *session) unsupported(what string) *Unsupported {
	return &Unsupported{Provider: s.provider, What: what}
}

// url is an address below the API: elements are escaped one by one.
func (s *session) url(elements ...string) *url.URL {
	escaped := make([]string, len(elements))
	for i, element := range elements {
		escaped[i] = url.PathEscape(element)
	}
	u := *s.repository.api
	u.RawPath = strings.TrimSuffix(u.EscapedPath(), "/") + "/" + strings.Join(escaped, "/")
	u.Path = strings.TrimSuffix(u.Path, "/") + "/" + strings.Join(elements, "/")
	return &u
}

// masked hides the credential in what a forge says in an answer that succeeds.
func (s *session) masked(ctx context.Context, text string) string {
	_, secrets, err := s.who.header(ctx)
	if err != nil {
		return ""
	}
	return mask.New(secrets...).Text(text)
}
