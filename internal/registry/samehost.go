// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"net"
	"net/netip"
	"strings"
)

// TagListPath is how the path of every list of tags ends.
const TagListPath = "/tags/list"

// SameHost reports whether two hosts, with or without a port, are one: in any case,
// with a dot at the end, with the port that is implied anyway, and however an
// address is written. A proxy that ends TLS leaves the implied port of the other
// scheme behind.
func SameHost(a, b string) bool { return plainHost(a) == plainHost(b) }

func plainHost(host string) string {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.Trim(host, "[]"), ""
	}
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if addr, err := netip.ParseAddr(name); err == nil {
		name = addr.Unmap().String()
	}
	if port == "" || port == "80" || port == "443" {
		return name
	}
	return net.JoinHostPort(name, strings.TrimLeft(port, "0"))
}
