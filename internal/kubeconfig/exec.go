// SPDX-License-Identifier: Apache-2.0

package kubeconfig

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/connrotation"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/background"
)

// Commands runs those of kubeconfigs: what stands as `exec` of their users, and prints credentials. They
// run as the controller does, so they are for those who may have all that it has.
type Commands struct {
	// slots are how many run at once, those of a namespace among them.
	slots *background.Slots[string]
}

// Bounds of commands: how many run at once, of all namespaces and of one, and how long one may take.
const (
	maxCommands             = 10
	maxCommandsPerNamespace = 2
	commandTimeout          = 30 * time.Second
)

// NewCommands returns a runner of commands, for all who connect.
func NewCommands() *Commands {
	return &Commands{slots: background.NewSlots[string](maxCommands, maxCommandsPerNamespace)}
}

// errNoCommands says that commands are not run.
var errNoCommands = errors.New("has `exec`, and commands are run only by a controller with --insecure-kubeconfig-exec: " +
	"use a token, a certificate, or kubeConfig.configMapRef")

// credentials are what a command printed.
type credentials struct {
	token   string
	cert    *tls.Certificate
	expires time.Time // zero is never
}

// command is that of one kubeconfig, which is run when credentials are needed.
type command struct {
	run   func(context.Context) (*credentials, error)
	clock clock.PassiveClock

	// running is one run for all who need the credentials.
	running background.Group[struct{}, *credentials]

	mu sync.Mutex
	// last are the credentials that are used, and obtained when.
	last     *credentials
	obtained time.Time
	// failure is that of the last run, which counts for a moment.
	failure  error
	failedAt time.Time
	// replaced is called when another certificate takes the place of one; nil is nobody.
	replaced func()
}

// command returns that of a kubeconfig, and nil if it has a token or a certificate as well: these count, as
// for all clients.
func (c *Commands) command(namespace string, config *rest.Config, clk clock.PassiveClock) (*command, error) {
	with := config.ExecProvider
	if with == nil {
		return nil, nil
	}
	config.ExecProvider = nil // what client-go makes of it has no bounds
	if config.BearerToken != "" || config.Username != "" || len(config.CertData) > 0 {
		return nil, nil
	}
	if with.InteractiveMode == clientcmdapi.AlwaysExecInteractiveMode {
		return nil, errors.New("its `exec` asks somebody at a terminal (interactiveMode: Always), where nobody is")
	}
	info, err := execInfo(with, config)
	if err != nil {
		return nil, err
	}
	run := func(ctx context.Context) (*credentials, error) {
		if err := c.slots.Acquire(ctx, namespace); err != nil {
			return nil, err
		}
		defer c.slots.Release(namespace)
		printed, err := runCommand(ctx, with, info)
		if err != nil {
			return nil, err
		}
		return parseCredentials(printed, with.APIVersion)
	}
	return &command{run: run, clock: clk, running: background.Group[struct{}, *credentials]{Timeout: commandTimeout}}, nil
}

// get returns credentials, new ones if need be. It waits for no longer than ctx.
func (c *command) get(ctx context.Context) (*credentials, error) {
	if known, err := c.known(); known != nil || err != nil {
		return known, err
	}
	return c.running.Do(ctx, struct{}{}, func(ctx context.Context) (*credentials, error) {
		if known, err := c.known(); known != nil || err != nil { // of the run before
			return known, err
		}
		var made *credentials
		err := background.Try(ctx, func() (err error) { // a panic is remembered, too
			made, err = c.run(ctx)
			return err
		})
		return c.store(made, err)
	})
}

// known are the credentials that are still good, or why there were none a moment ago.
func (c *command) known() (*credentials, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	if c.last != nil && (c.last.expires.IsZero() || now.Before(c.last.expires)) {
		return c.last, nil
	}
	if c.failure != nil && now.Sub(c.failedAt) < fresh {
		return nil, c.failure
	}
	return nil, nil
}

// store remembers what came of a run.
func (c *command) store(made *credentials, err error) (*credentials, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	if c.failure, c.failedAt = err, now; err != nil {
		return nil, err
	}
	if !made.expires.IsZero() && !now.Before(made.expires) {
		c.failure = errors.New("the command of its `exec` printed credentials that have expired")
		return nil, c.failure
	}
	before := c.last
	c.last, c.obtained = made, now
	if before != nil && before.cert != nil && !sameCertificate(before.cert, made.cert) && c.replaced != nil {
		c.replaced()
	}
	return made, nil
}

func sameCertificate(a, b *tls.Certificate) bool {
	return b != nil && slices.EqualFunc(a.Certificate, b.Certificate, slices.Equal[[]byte])
}

// rejected notes that the server does not accept credentials any more. Those that are new are not
// replaced at once: the next ones would be no better.
func (c *command) rejected(with *credentials) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == with && c.clock.Now().Sub(c.obtained) >= fresh {
		c.last.expires = c.obtained
	}
}

// present has a transport present the certificate of the command. When that is replaced, the connections end
// that were opened with the one before.
func (c *command) present(transport *http.Transport) {
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	transport.TLSClientConfig.GetClientCertificate = c.certificate
	dial := transport.DialContext
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	opened := connrotation.NewConnectionTracker()
	transport.DialContext = connrotation.NewDialerWithTracker(dial, opened).DialContext
	c.mu.Lock()
	defer c.mu.Unlock()
	c.replaced = opened.CloseAll
}

// certificate is what [tls.Config.GetClientCertificate] asks for.
func (c *command) certificate(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	made, err := c.get(info.Context())
	switch {
	case err != nil:
		return nil, err
	case made.cert == nil:
		return &tls.Certificate{}, nil // none
	}
	return made.cert, nil
}

// executing adds what the command printed to each request to the one server that it is for.
type executing struct {
	next    http.RoundTripper
	command *command
	to      *url.URL
}

// RoundTrip implements http.RoundTripper.
func (e executing) RoundTrip(req *http.Request) (*http.Response, error) {
	with, err := e.credentialsFor(req)
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	if with.token != "" {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", "Bearer "+with.token)
	}
	resp, err := e.next.RoundTrip(req)
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		e.command.rejected(with)
	}
	return resp, err
}

func (e executing) credentialsFor(req *http.Request) (*credentials, error) {
	if req.URL.Scheme != e.to.Scheme || req.URL.Host != e.to.Host {
		return nil, fmt.Errorf("the credentials are for %s only, and not for %s", e.to.Host, req.URL.Host)
	}
	with, err := e.command.get(req.Context())
	if err != nil {
		return nil, fmt.Errorf("getting credentials: %w", err)
	}
	return with, nil
}
