// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/theupdateframework/go-tuf/v2/metadata/fetcher"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/outbound"
)

const (
	// rootLifetime is after how long the root is fetched again. Its keys change
	// once in a year or so, announced long before.
	rootLifetime = 24 * time.Hour
	// rootGrace is for how long a root is used that cannot be fetched again.
	// TUF's own timestamps expire after a week.
	rootGrace = 7 * 24 * time.Hour
	// rootRetry is the pause after a failure, which all verifiers share.
	rootRetry = time.Minute
	// rootRequest bounds each of the about six requests of a fetch, and rootFetch all of them.
	rootRequest = 15 * time.Second
	rootFetch   = 6 * rootRequest
)

// PublicGood is the root of the public Sigstore, https://sigstore.dev: what to
// trust for keyless signatures unless one has a root of one's own. It is fetched
// by TUF from https://tuf-repo-cdn.sigstore.dev when first asked for, starting
// from a root that is compiled in, and kept in a directory, so that a restart
// does not fetch it again. Share one among all verifiers of a process.
type PublicGood struct {
	options   tuf.Options
	clock     clock.PassiveClock
	transport http.RoundTripper
	// fetching is one fetch for all who need the root.
	fetching background.Group[struct{}, root.TrustedMaterial]

	mu      sync.Mutex
	trusted *root.TrustedRoot
	fetched time.Time
	err     error
	failed  time.Time
}

// NewPublicGood keeps the root under dir, which is made if need be.
func NewPublicGood(dir string, clk clock.PassiveClock) *PublicGood {
	return &PublicGood{
		options: tuf.Options{
			CachePath:         dir,
			CacheValidity:     int(rootLifetime / (24 * time.Hour)),
			Root:              tuf.DefaultRoot(),
			RepositoryBaseURL: tuf.DefaultMirror,
		},
		clock:     clk,
		transport: outbound.Unguarded().Transport(), // where it is fetched from stands in the code
		fetching:  background.Group[struct{}, root.TrustedMaterial]{Timeout: rootFetch},
	}
}

// Root returns the root, fetched if it is older than a day. While it cannot be
// fetched the last one serves for a week. It waits no longer than ctx, while the fetch goes on for others.
func (p *PublicGood) Root(ctx context.Context) (root.TrustedMaterial, error) {
	if known, err := p.known(); known != nil || err != nil {
		return known, err
	}
	found, err := p.fetching.Do(ctx, struct{}{}, func(ctx context.Context) (root.TrustedMaterial, error) {
		if known, err := p.known(); known != nil || err != nil { // from the fetch before
			return known, err
		}
		return p.fetch(ctx)
	})
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("waiting for the public Sigstore root: %w", ctx.Err())
	}
	return found, err
}

// known is the root if it need not be fetched at the moment, or why there is none. Both are
// nil if it has to be fetched.
func (p *PublicGood) known() (root.TrustedMaterial, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	fresh := p.trusted != nil && now.Sub(p.fetched) < rootLifetime
	resting := p.err != nil && now.Sub(p.failed) < rootRetry
	if !fresh && !resting {
		return nil, nil
	}
	return p.last(now)
}

// last is the root that was fetched last, if it may serve still. The lock is held.
func (p *PublicGood) last(now time.Time) (root.TrustedMaterial, error) {
	if p.trusted != nil && now.Sub(p.fetched) < rootGrace {
		return p.trusted, nil
	}
	return nil, fmt.Errorf("fetching the public Sigstore root: %w", p.err)
}

func (p *PublicGood) fetch(ctx context.Context) (root.TrustedMaterial, error) {
	now := p.clock.Now()
	options := p.options
	by := fetcher.NewDefaultFetcher() // tries once; the zero value tries for a quarter of an hour
	transport := contextTransport{ctx, p.transport}
	by.SetHTTPClient(outbound.NewClient(transport, outbound.Rules{Redirects: outbound.AnyServer, Timeout: rootRequest}))
	options.Fetcher = by
	trusted, err := root.FetchTrustedRootWithOptions(&options)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.err, p.failed = err, now
	} else {
		p.trusted, p.fetched, p.err = trusted, now, nil
	}
	return p.last(now)
}

// contextTransport ends requests with a context: TUF's client has no place for one.
type contextTransport struct {
	ctx  context.Context
	next http.RoundTripper
}

func (b contextTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	return b.next.RoundTrip(req.WithContext(b.ctx))
}
