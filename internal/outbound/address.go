// SPDX-License-Identifier: Apache-2.0

package outbound

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
)

// addressOf reads a host that is an address, also in the spellings of inet_aton(3):
// 127.1, 0x7f000001, 2130706433 and 0177.0.0.1 are all 127.0.0.1 to most proxies and
// resolvers, which Go's own parser takes for names.
func addressOf(host string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr, true
	}
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var address uint64
	for i, part := range parts {
		last := i == len(parts)-1
		bits := 8
		if last {
			bits = 8 * (4 - i) // the last number stands for all that is left
		}
		n, err := strconv.ParseUint(part, 0, bits)
		if err != nil || strings.ContainsAny(part, "_bo") {
			return netip.Addr{}, false
		}
		address = address<<bits | n
	}
	var bytes [4]byte
	binary.BigEndian.PutUint32(bytes[:], uint32(address)) // 32 bits were read
	return netip.AddrFrom4(bytes), true
}
