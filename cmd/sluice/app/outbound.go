// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"

	"github.com/sluice-cd/sluice/internal/outbound"
)

// loopback is where everything is on the machine of a developer.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// outboundFlags say where the URLs in objects may lead.
type outboundFlags struct {
	addresses []string
}

func (f *outboundFlags) register(set *pflag.FlagSet) {
	set.StringSliceVar(&f.addresses, "allow-addresses", nil,
		"ranges, such as 169.254.20.10/32, that URLs in objects may lead to although they are loopback, "+
			"link-local or a cloud's metadata service; loopback is allowed where the API server is at a loopback address")
}

// prefixes are the ranges that the flag names.
func (f *outboundFlags) prefixes() ([]netip.Prefix, error) {
	var found []netip.Prefix
	for _, text := range f.addresses {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("--allow-addresses: %q is neither an address nor a range such as 127.0.0.0/8", text)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		found = append(found, prefix.Masked())
	}
	return found, nil
}

func (f *outboundFlags) validate() error {
	_, err := f.prefixes()
	return err
}

// guard makes the guard for a controller of the given cluster. One whose API server
// is at a loopback address is on the developer's own machine, with its registry and
// its Git server.
func (f *outboundFlags) guard(config *rest.Config) (*outbound.Guard, error) {
	allowed, err := f.prefixes()
	if err != nil {
		return nil, err
	}
	if isLoopback(config.Host) {
		allowed = append(allowed, loopback...)
	}
	return outbound.NewGuard(allowed), nil
}

// isLoopback reports whether the address of an API server, a URL or a host, is one
// of the machine itself.
func isLoopback(address string) bool {
	host := address
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		host = u.Hostname()
	} else if name, _, err := net.SplitHostPort(address); err == nil {
		host = name
	}
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
