// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/mask"
	"github.com/sluice-cd/sluice/internal/outbound"
)

const (
	// maxAnswer is how many bytes of an answer are read.
	maxAnswer = 64 << 10
	// maxQuote is how many bytes of an answer an error repeats: events end after
	// 1,024 bytes.
	maxQuote = 512
)

// Client posts messages. It is safe for concurrent use.
type Client struct {
	clock      clock.Clock
	guard      *outbound.Guard
	transports *outbound.Transports
}

// NewClient returns a client that waits between two attempts by the clock, and connects
// only where the guard allows it. A nil guard allows every address; it is for URLs from
// the flags of the operator.
func NewClient(c clock.Clock, guard *outbound.Guard) *Client {
	return &Client{clock: c, guard: guard, transports: outbound.NewTransports(guard)}
}

// Message is what to send, where to, and what of the answer may be told.
type Message struct {
	URL string
	// Method is POST if it is empty.
	Method string
	// Body is JSON, unless Header has another Content-Type.
	Body []byte
	// Header is added to the request.
	Header map[string]string
	// Transport makes the connection; nil is that of the client, by Proxy and DisableTLS.
	Transport http.RoundTripper
	// Secrets are values that must not be told, beside those of the other fields.
	Secrets []string
	// Token is sent as a bearer token; empty is none.
	Token string
	// Proxy is the URL of a proxy; empty is that of the environment.
	Proxy string
	// DisableTLS accepts any certificate.
	DisableTLS bool
	// Timeout of one attempt.
	Timeout time.Duration
	// Retries after the first attempt.
	Retries int
	// MaxSuccess is the highest HTTP status that is a success.
	MaxSuccess int
	// SecretPath means that the path of the URL is a secret, too.
	SecretPath bool
	// QuoteAnswer lets errors repeat the body of an answer. Without it they have its
	// status only: the controller may reach servers that the author of the URL may not
	// reach, and must not read them out.
	QuoteAnswer bool
}

// RefusedError is an answer that is no success.
type RefusedError struct {
	Status int
	// Body is the beginning of the answer, with secrets masked. It is empty without
	// [Message.QuoteAnswer].
	Body string
}

// Error is the body alone, as in Flagger, or the status if there is no body.
func (e *RefusedError) Error() string {
	switch {
	case e.Body != "":
		return e.Body
	case e.Status >= 300 && e.Status < 400:
		return fmt.Sprintf("answered %d %s: the message would not arrive where that leads; use the address there",
			e.Status, http.StatusText(e.Status))
	}
	return fmt.Sprintf("answered %d %s", e.Status, http.StatusText(e.Status))
}

// Post sends the message, up to [Message.Retries] times more after temporary errors, and
// returns the beginning of the answer.
func (c *Client) Post(ctx context.Context, m Message) ([]byte, error) {
	target, err := ParseURL(m.URL)
	if err != nil {
		return nil, err
	}
	client, err := c.client(m)
	if err != nil {
		return nil, err
	}
	var answer []byte
	err = c.retry(ctx, m.Retries, func() error {
		answer, err = c.postOnce(ctx, client, target, m)
		return err
	})
	return answer, err
}

// ParseURL reads the URL of a webhook. The error does not repeat it.
func ParseURL(address string) (*url.URL, error) {
	target, err := url.Parse(address)
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return nil, errors.New("it is no URL such as https://host/path")
	}
	return target, nil
}

// client returns the HTTP client for a message. Redirects that would lose the message, such as
// those to a log-in form, whose 200 would open a gate, are refusals.
func (c *Client) client(m Message) (*http.Client, error) {
	transport := m.Transport
	if transport == nil {
		var err error
		if transport, err = c.transport(m); err != nil {
			return nil, err
		}
	}
	return outbound.NewClient(transport, outbound.Rules{Redirects: outbound.SameServer, Timeout: m.Timeout}), nil
}

func (c *Client) transport(m Message) (*http.Transport, error) {
	settings := outbound.Settings{Proxy: m.Proxy}
	switch {
	case m.Proxy != "":
		proxy, err := outbound.ParseProxy(m.Proxy)
		if err == nil {
			err = c.guard.CheckURL(proxy)
		}
		if err != nil {
			return nil, fmt.Errorf("proxy: %w", err)
		}
	case m.DisableTLS:
		// Flagger uses no proxy either when verification is turned off: such a server is
		// inside of the cluster.
		settings.Insecure, settings.Direct = true, true
	}
	return c.transports.For(settings)
}

// postOnce makes one attempt.
func (c *Client) postOnce(ctx context.Context, client *http.Client, target *url.URL, m Message) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, cmp.Or(m.Method, http.MethodPost), target.String(), bytes.NewReader(m.Body))
	if err != nil {
		return nil, errors.New("making a request: it is no URL such as https://host/path")
	}
	req.Header.Set("Content-Type", "application/json")
	for key, value := range m.Header {
		req.Header.Set(key, value)
	}
	if m.Token != "" {
		req.Header.Set("Authorization", "Bearer "+m.Token)
	}
	if err := checkHeader(req.Header); err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, connectionError(ctx, target, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode <= m.MaxSuccess {
		return body, nil
	}
	if err != nil || !m.QuoteAnswer {
		body = nil // of a body that was cut off, nothing is quoted
	}
	refused := &RefusedError{Status: resp.StatusCode, Body: quote(m, target, body)}
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500 && resp.StatusCode != http.StatusNotImplemented {
		after, _ := outbound.RetryAfter(resp.Header, c.clock.Now(), maxBackoff)
		return nil, &TemporaryError{Err: refused, After: after}
	}
	return nil, refused
}

// checkHeader refuses what HTTP cannot send, such as a token that holds a line break. To net/http that is one more failure to
// connect, which would be tried again. A value is not repeated: it is a secret.
func checkHeader(header http.Header) error {
	for _, key := range slices.Sorted(maps.Keys(header)) {
		if !httpguts.ValidHeaderFieldName(key) {
			return fmt.Errorf("header %.100q: its name cannot be that of a header", key)
		}
		for _, value := range header[key] {
			if !httpguts.ValidHeaderFieldValue(value) {
				return fmt.Errorf("header %s: its value has a line break or another control character, which no header can have", key)
			}
		}
	}
	return nil
}

// connectionError is why there was no answer, without the URL, which the error of
// net/http holds: only the cause of that is kept.
func connectionError(ctx context.Context, target *url.URL, err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	timeout := wrapped != nil && wrapped.Timeout() && ctx.Err() == nil
	if timeout {
		err = errors.New("no answer in time")
	}
	reason := fmt.Errorf("posting to %s: %w", target.Host, err)
	var certificate *tls.CertificateVerificationError
	refused := errors.Is(err, outbound.ErrRedirect) || errors.Is(err, outbound.ErrForbiddenAddress)
	if refused || errors.As(err, &certificate) || ctx.Err() != nil {
		return reason
	}
	return &TemporaryError{Err: reason}
}

// quote is the beginning of an answer, with the secrets of the message masked.
func quote(m Message, target *url.URL, body []byte) string {
	text := mask.New(m.secrets(target)...).Text(strings.TrimSpace(strings.ToValidUTF8(string(body), "")))
	if len(text) > maxQuote {
		text = strings.ToValidUTF8(text[:maxQuote], "") + "..."
	}
	return text
}

// minSecret is the shortest part of a URL that is masked: masking every `a` of an answer
// would give away that the part is `a`.
const minSecret = 4

// secrets are the parts of the message that must not be repeated from an answer.
func (m Message) secrets(target *url.URL) []string {
	candidates := append([]string{m.URL, m.Token}, m.Secrets...)
	if password, ok := target.User.Password(); ok {
		candidates = append(candidates, password)
	}
	for _, values := range target.Query() {
		candidates = append(candidates, values...)
	}
	if m.SecretPath {
		candidates = append(candidates, target.Path, target.EscapedPath())
		candidates = append(candidates, strings.Split(target.Path, "/")...)
	}
	return slices.DeleteFunc(candidates, func(text string) bool { return len(text) < minSecret })
}
