// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Addresses are taken from below the range that kernels give to outgoing connections
// (32768 on Linux), or any client on the machine could sit on one by chance between its
// choice and its use, and from below the range of playgrounds.
const lowestPort, highestPort = 12000, 20000

// given are the ports that this process was given.
var given sync.Map

// FreeAddr is a loopback address that nobody listened on a moment ago, and that this
// process was not given before.
func FreeAddr() (string, error) {
	var err error
	for range 200 {
		port := lowestPort + rand.IntN(highestPort-lowestPort)
		if _, again := given.LoadOrStore(port, true); again {
			continue
		}
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		var l net.Listener
		if l, err = net.Listen("tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", fmt.Errorf("no port between %d and %d is free: %w", lowestPort, highestPort, err)
}
