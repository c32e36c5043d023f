// SPDX-License-Identifier: Apache-2.0

package outbound

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode"

	"golang.org/x/net/idna"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/lru"
)

// Whoever dials a name sees where it leads. Behind a proxy the proxy resolves it, and
// would reach its own loopback addresses, or the metadata service of the machine that
// it runs on. So a name is judged twice there: by what it is, and by what it resolves
// to here. The second is no proof, since the proxy may resolve it otherwise, and
// where names of the outside do not resolve in the cluster there is nothing to judge;
// it stops the names of public DNS that anybody may point to 127.0.0.1.

// loopbackNames are the names that systems resolve to loopback addresses, besides
// localhost and all below it (RFC 6761, section 6.3).
var loopbackNames = map[string]bool{
	"localhost.localdomain": true, "localhost4": true, "localhost4.localdomain4": true,
	"localhost6": true, "localhost6.localdomain6": true, "ip6-localhost": true, "ip6-loopback": true,
}

func isLoopbackName(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || loopbackNames[host]
}

// checkLoopback refuses a name for loopback, unless one of the addresses that it may
// stand for is allowed.
func (g *Guard) checkLoopback(host string) error {
	if g.check(host, netip.IPv6Loopback()) == nil {
		return nil
	}
	return g.check(host, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
}

const (
	// lookUpTimeout is how long a request waits for a name that only its proxy has to
	// know, and lookUpTTL for how long the answer counts, which is often that there
	// is none: where names of the outside do not resolve, all take the whole timeout.
	lookUpTimeout = time.Second
	lookUpTTL     = time.Minute
	// maxNames bounds how many answers are kept.
	maxNames = 10_000
)

// names caches the addresses that host names resolved to.
type names struct {
	clock   clock.PassiveClock
	resolve func(ctx context.Context, network, host string) ([]netip.Addr, error)
	known   *lru.Cache[string, resolvedName]
}

type resolvedName struct {
	resolvedAt time.Time
	addresses  []netip.Addr // none if it does not resolve here
}

func newNames() *names {
	return &names{
		clock: clock.RealClock{}, resolve: net.DefaultResolver.LookupNetIP,
		known: lru.NewCounted[string, resolvedName](maxNames),
	}
}

// lookUp is what a name resolves to here, nothing if it does not.
func (n *names) lookUp(ctx context.Context, host string) []netip.Addr {
	now := n.clock.Now()
	if last, ok := n.known.Get(host); ok && now.Sub(last.resolvedAt) < lookUpTTL {
		return last.addresses
	}
	within, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	addresses, err := n.resolve(within, "ip", host)
	if err != nil {
		addresses = nil
	}
	if ctx.Err() == nil { // or nothing was found out
		n.known.Put(host, resolvedName{now, addresses})
	}
	return addresses
}

// CheckProxied is [Guard.CheckURL] for a request that a proxy takes on: it also looks
// up what a name resolves to, and refuses one with a forbidden address.
func (g *Guard) CheckProxied(ctx context.Context, u *url.URL) error {
	if g == nil {
		return nil
	}
	if err := g.CheckURL(u); err != nil {
		return err
	}
	if _, ok := addressOf(canonical(u)); ok {
		return nil
	}
	for _, addr := range g.names.lookUp(ctx, canonical(u)) {
		if err := g.check(u.Hostname(), addr); err != nil {
			return err
		}
	}
	return nil
}

// canonical is the host of a URL as it is compared: as net/http sends it to a proxy, which
// makes ASCII of the letters, digits and dots of other scripts. What has no such form is
// dialed by nobody.
func canonical(u *url.URL) string {
	host := u.Hostname()
	if ascii, err := idna.Lookup.ToASCII(host); err == nil && strings.ContainsFunc(host, isForeign) {
		host = ascii
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

func isForeign(r rune) bool { return r > unicode.MaxASCII }
