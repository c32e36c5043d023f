// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/fluxcd/pkg/cache"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/git/credential"
	"github.com/sluice-cd/sluice/internal/lru"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// Clients makes forges, which share connections, limits and answers. It is a
// prometheus.Collector.
//
// In memory, and lost by a restart: what each account may still ask (bounded by the
// accounts that asked within two hours), answers with an ETag (32 MiB), connections.
type Clients struct {
	guard      *outbound.Guard
	clock      clock.PassiveClock
	tokens     *cache.TokenCache
	transports *outbound.Transports
	limits     limits
	answers    *lru.Cache[answerKey, keptAnswer]
	metrics    metrics
}

// Options are what Clients need.
type Options struct {
	// Guard is what connections go through; nil forbids nothing.
	Guard *outbound.Guard
	// Clock is the machine's if nil.
	Clock clock.PassiveClock
	// Tokens keeps tokens of GitHub Apps for most of their life; nil keeps none.
	Tokens *cache.TokenCache
}

// NewClients returns clients without connections.
func NewClients(opts Options) *Clients {
	if opts.Clock == nil {
		opts.Clock = clock.RealClock{}
	}
	return &Clients{
		guard: opts.Guard, clock: opts.Clock, tokens: opts.Tokens, transports: outbound.NewTransports(opts.Guard),
		answers: lru.New(keptAnswers, weighAnswer), metrics: newMetrics(),
	}
}

// Remote is a repository at a forge, and how to reach it.
type Remote struct {
	// URL is the URL of the Git repository, by HTTPS or SSH. Credentials in it are not used.
	URL string
	// API is where the API is, by [ParseAPI]; nil is its usual place on the host of URL. The
	// credential is sent there.
	API *url.URL
	// Provider is a name of the table; "" is found out by the host of the URL.
	Provider string
	// Secret holds the credential; nil is none, which can read what is public.
	Secret *corev1.Secret
	// Proxy is the URL of a proxy, with its credentials; nil is that of the environment.
	Proxy *url.URL
	// Kind and Name are of the object in the Secret's namespace that asks.
	Kind, Name string
}

// For returns the forge of a remote. It asks nobody, so that it can be called in each
// reconcile; an error is that of the object or of its Secret, and [Terminal].
func (c *Clients) For(remote Remote) (Forge, error) {
	name := remote.Provider
	if name == "" {
		var err error
		if name, err = Detect(remote.URL); err != nil {
			return nil, err
		}
	}
	table, ok := providers[name]
	if !ok {
		return nil, unknownProvider(name)
	}
	s := &session{provider: name, table: table, answers: c.answers, metrics: c.metrics, clock: c.clock}
	u, err := parse(remote.URL)
	if err != nil {
		return nil, err
	}
	if s.repository, err = table.locate(u); err != nil {
		return nil, err
	}
	if remote.API != nil {
		s.repository.api = remote.API
	}
	if err := c.authorize(s, remote); err != nil {
		return nil, err
	}
	connected, err := table.connect(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return &checkedForge{driver: connected, session: s}, nil
}

// authorize gives the session its identity, connections and limit.
func (c *Clients) authorize(s *session, remote Remote) error {
	settings := settingsOf(remote.Secret)
	if remote.Proxy != nil {
		settings.Proxy = remote.Proxy.String()
	}
	transport, err := c.transports.ForOwner(remote.owner(), settings)
	if err != nil {
		return fmt.Errorf("%w: secret: %w", ErrInvalid, err)
	}
	s.base = transport
	s.who, err = s.table.identityOf(remote.Secret, credential.AppOptions{
		Guard: c.guard, Clock: c.clock, Proxy: remote.Proxy, Tokens: c.tokens, Kind: remote.Kind, Name: remote.Name,
	})
	if err != nil {
		return err
	}
	s.limit = c.limits.get(account{s.repository.api.Host, s.who.id}, c.clock.Now())
	return nil
}

// owner owns the connections of a remote: those of its Secret to its host, by its proxy, so
// that none with the certificates of before outlive a rotation.
func (r Remote) owner() string {
	owner := []string{git.HostOf(r.URL)}
	if r.Secret != nil {
		owner = append(owner, r.Secret.Namespace, r.Secret.Name)
	}
	if r.Proxy != nil {
		owner = append(owner, r.Proxy.Host)
	}
	return strings.Join(owner, " ")
}

// parse reads the URL of a Git repository, without credentials in it.
func parse(gitURL string) (*url.URL, error) {
	clean := git.Remote{URL: gitURL}.String()
	u, err := url.Parse(clean)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%w must begin with https://, http:// or ssh://", errURL)
	}
	u.Host = strings.ToLower(u.Host)
	return u, nil
}
