// SPDX-License-Identifier: Apache-2.0

package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"golang.org/x/net/http/httpproxy"
)

// ErrForbiddenAddress means that a connection would have reached an address that
// users' objects may not lead to.
var ErrForbiddenAddress = errors.New("forbidden address")

const (
	dialTimeout = 30 * time.Second
	keepAlive   = 30 * time.Second
	// maxHeader is the most that the header of an answer may hold.
	maxHeader = 256 << 10
)

// metadata are the services of clouds, and of their virtual machines, that know
// secrets and have an address outside of the link-local ranges.
var metadata = []netip.Prefix{
	netip.MustParsePrefix("fd00:ec2::/32"),      // AWS over IPv6: metadata, DNS, time
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba Cloud
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure's wire server
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle Cloud
	netip.MustParsePrefix("fd20:ce::254/128"),   // Google Cloud over IPv6
}

// metadataNames are names that clouds resolve to their metadata services. Whoever dials
// a name knows where it leads; behind a proxy nobody here does.
var metadataNames = map[string]netip.Addr{
	"metadata.google.internal":   linkLocalMetadata,
	"metadata.goog":              linkLocalMetadata,
	"instance-data.ec2.internal": linkLocalMetadata,
	"metadata.tencentyun.com":    linkLocalMetadata,
	"metadata.azure.internal":    linkLocalMetadata,
	"api.metadata.cloud.ibm.com": linkLocalMetadata,
}

// linkLocalMetadata is where most clouds have their metadata service.
var linkLocalMetadata = netip.AddrFrom4([4]byte{169, 254, 169, 254})

// embedded are prefixes that carry an IPv4 address, and at which byte it begins:
// NAT64 (RFC 6052, and RFC 8215 for a local one), 6to4 (RFC 3056), IPv4-translated (RFC
// 2765, 2.1) and the deprecated IPv4-compatible addresses (RFC 4291, 2.5.5.1).
var embedded = map[netip.Prefix]int{
	netip.MustParsePrefix("64:ff9b::/96"):    12,
	netip.MustParsePrefix("64:ff9b:1::/48"):  12,
	netip.MustParsePrefix("::ffff:0:0:0/96"): 12,
	netip.MustParsePrefix("::/96"):           12,
	netip.MustParsePrefix("2002::/16"):       2,
}

// Guard decides where connections may go. A nil Guard forbids nothing: it is for
// what the operator has named.
type Guard struct {
	allowed []netip.Prefix
	// operators are the addresses, host:port, of the proxies in the environment.
	operators map[string]bool
	names     *names
	proxy     func(*url.URL) (*url.URL, error)
}

// Unguarded forbids nothing. It is for addresses that stand in the flags of the operator, or in
// the code.
func Unguarded() *Guard { return nil }

// NewGuard returns a guard that lets connections reach the given ranges, too. The
// proxies of the process's environment may be anywhere.
func NewGuard(allow []netip.Prefix) *Guard {
	env := httpproxy.FromEnvironment()
	g := &Guard{allowed: allow, operators: map[string]bool{}, names: newNames(), proxy: env.ProxyFunc()}
	for _, address := range []string{env.HTTPProxy, env.HTTPSProxy} {
		if host := proxyHost(address); host != "" {
			g.operators[host] = true
		}
	}
	return g
}

// proxyHost is the host:port of a proxy as a transport dials it, or "".
func proxyHost(address string) string {
	if address == "" {
		return ""
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		u, err = url.Parse("http://" + address) // as net/http reads it
		if err != nil {
			return ""
		}
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// DialContext connects like [net.Dialer.DialContext], and returns an error that is
// [ErrForbiddenAddress] if the address, once resolved, is a forbidden one. A name
// with several addresses is tried at those that are allowed.
func (g *Guard) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}
	if g == nil || g.operators[address] {
		return dialer.DialContext(ctx, network, address)
	}
	dialer.ControlContext = func(_ context.Context, network, at string, _ syscall.RawConn) error {
		switch network {
		case "tcp4", "tcp6", "udp4", "udp6":
		default:
			return fmt.Errorf("%w: connecting by %s", ErrForbiddenAddress, network)
		}
		to, err := netip.ParseAddrPort(at)
		if err != nil {
			return fmt.Errorf("%w: %s", ErrForbiddenAddress, at)
		}
		return g.check(hostOf(address), to.Addr())
	}
	return dialer.DialContext(ctx, network, address)
}

// hostOf is the host of host:port, for messages.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}

// ReachProxy connects to a proxy and hangs up. It is for proxies that the libraries of clouds
// dial themselves, past the guard: a name that leads to a forbidden address is found out
// before they do. A nil proxy is none.
func (g *Guard) ReachProxy(ctx context.Context, proxy *url.URL) error {
	if g == nil || proxy == nil {
		return nil
	}
	conn, err := g.DialContext(ctx, "tcp", proxyHost(proxy.String()))
	if err != nil {
		return fmt.Errorf("connecting to the proxy: %w", err)
	}
	return conn.Close()
}

// CheckURL returns an error that is [ErrForbiddenAddress] if the URL names a
// forbidden address by its number, in whichever spelling, a metadata service, or
// localhost. It looks nothing up: what other names resolve to is checked when they are
// dialed, and before a proxy is asked to.
func (g *Guard) CheckURL(u *url.URL) error {
	if g == nil {
		return nil
	}
	host := canonical(u)
	if addr, ok := addressOf(host); ok {
		return g.check(u.Hostname(), addr)
	}
	if addr, ok := metadataNames[host]; ok {
		return g.check(u.Hostname(), addr)
	}
	if isLoopbackName(host) {
		return g.checkLoopback(u.Hostname())
	}
	return nil
}

// check judges one address that host stands for.
func (g *Guard) check(host string, addr netip.Addr) error {
	addr = addr.WithZone("").Unmap()
	for _, prefix := range g.allowed {
		if prefix.Contains(addr) {
			return nil
		}
	}
	what := kind(addr)
	if what == "" {
		return nil
	}
	at := addr.String()
	if host != at {
		at = host + " (" + at + ")"
	}
	return fmt.Errorf("%w: %s is %s, which objects may not point to unless --allow-addresses says so", ErrForbiddenAddress, at, what)
}

// kind says what is forbidden about an address; "" is nothing.
func kind(addr netip.Addr) string {
	for _, prefix := range metadata {
		if prefix.Contains(addr) {
			return "a cloud's metadata service"
		}
	}
	switch {
	case addr == linkLocalMetadata:
		return "a cloud's metadata service"
	case addr.IsLoopback():
		return "a loopback address"
	case addr.IsLinkLocalUnicast(), addr.IsLinkLocalMulticast(), addr.IsInterfaceLocalMulticast():
		return "a link-local address"
	case addr.IsMulticast():
		return "a multicast address"
	case addr.Is4() && (addr.As4()[0] == 0 || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255})), addr.IsUnspecified():
		return "an address without a host"
	}
	if addr.Is6() {
		for prefix, at := range embedded {
			if bytes := addr.As16(); prefix.Contains(addr) {
				return kind(netip.AddrFrom4([4]byte(bytes[at : at+4])))
			}
		}
	}
	return ""
}

// Transport returns a transport of its own whose connections go through the guard.
// It honours the proxies of the environment; behind one, an address in a URL is
// still checked, and a name by what it resolves to here.
func (g *Guard) Transport() *http.Transport { return g.TransportVia(nil, nil) }

// TransportVia is [Guard.Transport] with the certificates of config, and by the proxy of a user,
// which is dialed through the guard as well. Each may be nil: the certificates of the system,
// the proxy of the environment.
func (g *Guard) TransportVia(config *tls.Config, proxy *url.URL) *http.Transport {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = maxHeader
	transport.OnProxyConnectResponse = checkTunnel
	transport.TLSClientConfig = config
	transport.Proxy = g.proxyOr(proxy)
	if g != nil {
		transport.DialContext = g.DialContext
	}
	return transport
}

// checkTunnel says what a proxy answered that opens no way to a server, by its status alone:
// net/http would quote the words that it puts after that.
func checkTunnel(_ context.Context, proxy *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return fmt.Errorf("the proxy %s answers %d %s", proxy.Host, answer.StatusCode, http.StatusText(answer.StatusCode))
}

// proxyOr is what [http.Transport.Proxy] is for requests through proxy, or through
// the environment's if it is nil. URLs with a forbidden address are refused here,
// since behind a proxy nobody dials them.
func (g *Guard) proxyOr(proxy *url.URL) func(*http.Request) (*url.URL, error) {
	return func(req *http.Request) (*url.URL, error) {
		if err := g.CheckURL(req.URL); err != nil {
			return nil, err
		}
		via := proxy
		switch {
		case g == nil && proxy == nil:
			return http.ProxyFromEnvironment(req)
		case proxy == nil:
			var err error
			if via, err = g.proxy(req.URL); via == nil || err != nil {
				return nil, err
			}
		}
		return via, g.CheckProxied(req.Context(), req.URL)
	}
}
