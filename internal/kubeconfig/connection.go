// SPDX-License-Identifier: Apache-2.0

package kubeconfig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// Bounds of what another cluster answers.
const (
	discoveryTimeout = 30 * time.Second
	// answerTimeout is how long it may take to begin an answer. Admission webhooks have
	// thirty seconds each.
	answerTimeout = time.Minute
	// MaxAnswer is how many bytes one list or one watch may have; a watch begins anew.
	MaxAnswer = 16 << 20
	// checkTimeout is how long an API server may take to say that it is there.
	checkTimeout = 10 * time.Second
	// fresh is how long after an answer a cluster is taken to be there, and how long after
	// a failed check not to be.
	fresh = 10 * time.Second
)

// Connection is how the API server of another cluster is reached. It shares no connection
// with those of others. Making one does not use it.
type Connection struct {
	// ID, Name and Version are those of the [Config].
	ID, Name, Version string
	// REST makes clients that go through the guard; its answers are bounded.
	REST *rest.Config
	// HTTP is a client that has all that REST says.
	HTTP *http.Client
	// Mapper asks the API server for its kinds when they are needed.
	Mapper apimeta.RESTMapper

	idle  func()
	cloud *token
	clock clock.PassiveClock
	// answered is when the API server answered last, in nanoseconds since 1970.
	answered atomic.Int64

	// checking is one question to the API server for all who want to know.
	checking background.Group[struct{}, struct{}]

	mu sync.Mutex
	// failure is that of the last question, which counts for a moment.
	failure  error
	failedAt time.Time
}

// Connect prepares a connection, without using it.
func (c *Config) Connect(clk clock.PassiveClock) (*Connection, error) {
	transport, err := transportOf(c.rest, c.guard)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, c.Name, err)
	}
	if c.command != nil {
		c.command.present(transport)
	}
	address, _, err := rest.DefaultServerUrlFor(c.rest)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: its server is no URL", ErrInvalid, c.Name)
	}
	made := &Connection{
		ID: c.ID, Name: c.Name, Version: c.Version, idle: transport.CloseIdleConnections, cloud: c.cloud, clock: clk,
		checking: background.Group[struct{}, struct{}]{Timeout: checkTimeout},
	}
	var base http.RoundTripper = answerClock{next: scrubbed{outbound.Bound(transport, answers)}, connection: made}
	switch {
	case c.cloud != nil:
		base = authenticating{next: base, token: c.cloud, to: address}
	case c.command != nil:
		base = executing{next: base, command: c.command, to: address}
	}
	authenticated, err := rest.HTTPWrappersForConfig(c.rest, base)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: its credentials cannot be used", ErrInvalid, c.Name)
	}
	made.REST = &rest.Config{
		Host: address.String(), APIPath: c.rest.APIPath, Transport: authenticated, UserAgent: rest.DefaultKubernetesUserAgent(),
		QPS: -1, // the API server paces its clients
	}
	made.HTTP = outbound.NewClient(authenticated, outbound.Rules{Redirects: outbound.Refuse})
	// The mapper answers one after the other.
	discovery := outbound.NewClient(&failFast{next: authenticated, clock: clk},
		outbound.Rules{Redirects: outbound.Refuse, Timeout: discoveryTimeout})
	made.Mapper, err = apiutil.NewDynamicRESTMapper(made.REST, discovery)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, c.Name, err)
	}
	return made, nil
}

// Close lets go of connections that nobody uses.
func (c *Connection) Close() { c.idle() }

// Moved reports whether the cluster is known to be elsewhere by now, so that its kubeConfig
// should be read again.
func (c *Connection) Moved() bool { return c.cloud != nil && c.cloud.moved.Load() }

// Check returns an error if the API server does not answer. It asks only if nothing was
// heard from it for a while, once for all who want to know; each waits no longer than ctx.
func (c *Connection) Check(ctx context.Context) error {
	if known, err := c.lastAnswer(); known {
		return err
	}
	_, err := c.checking.Do(ctx, struct{}{}, func(ctx context.Context) (struct{}, error) {
		if known, err := c.lastAnswer(); known { // by the question before
			return struct{}{}, err
		}
		err := c.ask(ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.failure, c.failedAt = err, c.clock.Now()
		return struct{}{}, err
	})
	return err
}

// lastAnswer reports whether it is known if the API server answers: it did a moment ago, or failed
// to, which is the error.
func (c *Connection) lastAnswer() (known bool, err error) {
	now := c.clock.Now()
	if now.Sub(time.Unix(0, c.answered.Load())) < fresh {
		return true, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure != nil && now.Sub(c.failedAt) < fresh {
		return true, c.failure
	}
	return false, nil
}

// ask asks the API server for its version.
func (c *Connection) ask(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.REST.Host+"/version", nil)
	if err != nil {
		return err
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return fmt.Errorf("reaching the cluster of kubeConfig %s: %w", c.Name, err)
	}
	_ = resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		return fmt.Errorf("reaching the cluster of kubeConfig %s: the API server does not accept the credentials", c.Name)
	case http.StatusOK, http.StatusForbidden: // whom it lets ask for its version says nothing
		return nil
	}
	return fmt.Errorf("reaching the cluster of kubeConfig %s: the API server answers %s", c.Name, resp.Status)
}

func transportOf(config *rest.Config, guard *outbound.Guard) (*http.Transport, error) {
	tls, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, errors.New("its certificates and keys cannot be read")
	}
	proxy, err := proxyOf(config)
	if err != nil {
		return nil, err
	}
	transport := guard.TransportVia(tls, proxy)
	transport.ResponseHeaderTimeout = answerTimeout
	return utilnet.SetTransportDefaults(transport), nil
}

// answerClock notes when the API server answered.
type answerClock struct {
	next       http.RoundTripper
	connection *Connection
}

// RoundTrip implements http.RoundTripper.
func (o answerClock) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := o.next.RoundTrip(req)
	if err == nil && resp.StatusCode < http.StatusInternalServerError && resp.StatusCode != http.StatusUnauthorized {
		o.connection.answered.Store(o.connection.clock.Now().UnixNano())
	}
	return resp, err
}

// failFast fails at once for a moment after a request has failed: of those who queue for an
// API server that does not answer, the first alone waits.
type failFast struct {
	next  http.RoundTripper
	clock clock.PassiveClock

	mu       sync.Mutex
	failure  error
	failedAt time.Time
}

// RoundTrip implements http.RoundTripper.
func (p *failFast) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := p.failed(); err != nil {
		return nil, err
	}
	resp, err := p.next.RoundTrip(req)
	if err != nil {
		p.record(err)
		return nil, err
	}
	resp.Body = bodyWatch{resp.Body, p}
	return resp, nil
}

func (p *failFast) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failure != nil && p.clock.Now().Sub(p.failedAt) < fresh {
		return errors.New(p.failure.Error()) // the same text, without a cause for which client-go would try again at once
	}
	return nil
}

func (p *failFast) record(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failure, p.failedAt = err, p.clock.Now()
}

// bodyWatch notes that the rest of an answer did not come.
type bodyWatch struct {
	io.ReadCloser
	failFast *failFast
}

func (n bodyWatch) Read(into []byte) (int, error) {
	read, err := n.ReadCloser.Read(into)
	if err != nil && !errors.Is(err, io.EOF) {
		n.failFast.record(err)
	}
	return read, err
}

// answers are the limits of what an API server sends.
var answers = outbound.Limits{Bytes: MaxAnswer, What: "the API server's answer"}

// scrubbed passes on of answers only what API servers say: any server may be where a kubeConfig
// leads, and what it answers would be read in a condition by whoever wrote that. It refuses
// redirects by their status, also for the clients that client-go makes of a [rest.Config].
type scrubbed struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b scrubbed) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Status = strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode)))
	switch code := resp.StatusCode; {
	case code >= http.StatusMultipleChoices && code < http.StatusBadRequest:
		_ = resp.Body.Close()
		return nil, fmt.Errorf("the API server answers %s, and redirects are not followed: name the server itself", resp.Status)
	case code >= http.StatusBadRequest && !fromAPIServer(resp.Header):
		_ = resp.Body.Close()
		resp.Body, resp.ContentLength = http.NoBody, 0
		resp.Header.Set("Content-Type", "application/octet-stream") // of text, client-go makes its error
		resp.Header.Del("Content-Encoding")
	}
	return resp, nil
}

// fromAPIServer reports whether an error has a form in which API servers send theirs.
func fromAPIServer(header http.Header) bool {
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	return err == nil && (kind == "application/json" || strings.HasPrefix(kind, "application/vnd.kubernetes."))
}
