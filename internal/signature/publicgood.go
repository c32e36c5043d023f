// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/theupdateframework/go-tuf/v2/metadata/fetcher"
	"k8s.io/utils/clock"

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
	// rootRequest bounds each of the about six requests of a fetch.
	rootRequest = 15 * time.Second
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
	fetchLock chan struct{} // held while reading or fetching, given up by ctx

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
		fetchLock: make(chan struct{}, 1),
	}
}

// Root returns the root, fetched if it is older than a day. While it cannot be
// fetched the last one serves for a week.
func (p *PublicGood) Root(ctx context.Context) (root.TrustedMaterial, error) {
	select {
	case p.fetchLock <- struct{}{}:
		defer func() { <-p.fetchLock }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the public Sigstore root: %w", ctx.Err())
	}
	now := p.clock.Now()
	fresh := p.trusted != nil && now.Sub(p.fetched) < rootLifetime
	resting := p.err != nil && now.Sub(p.failed) < rootRetry
	if !fresh && !resting {
		p.fetch(ctx, now)
	}
	if p.trusted != nil && now.Sub(p.fetched) < rootGrace {
		return p.trusted, nil
	}
	return nil, fmt.Errorf("fetching the public Sigstore root: %w", p.err)
}

func (p *PublicGood) fetch(ctx context.Context, now time.Time) {
	options := p.options
	by := fetcher.NewDefaultFetcher() // tries once; the zero value tries for a quarter of an hour
	by.SetHTTPClient(outbound.NewClient(bound{ctx, p.transport}, outbound.Rules{Redirects: outbound.AnyServer, Timeout: rootRequest}))
	options.Fetcher = by
	trusted, err := root.FetchTrustedRootWithOptions(&options)
	if err != nil {
		p.err, p.failed = err, now
		return
	}
	p.trusted, p.fetched, p.err = trusted, now, nil
}

// bound ends requests with a context: TUF's client has no place for one.
type bound struct {
	ctx  context.Context
	next http.RoundTripper
}

func (b bound) RoundTrip(req *http.Request) (*http.Response, error) {
	return b.next.RoundTrip(req.WithContext(b.ctx))
}
