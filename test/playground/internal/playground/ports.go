// SPDX-License-Identifier: Apache-2.0

package playground

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"

	"github.com/sluice-cd/sluice/test/playground/internal/cluster"
)

// Ports are taken from below the range that kernels give to outgoing
// connections (32768 on Linux, 49152 elsewhere), or any client on the machine
// could sit on one by chance between its choice and its use.
const (
	lowestPort  = 20000
	highestPort = 32000
)

// choosePorts gives every name a free port, unless it has one.
func choosePorts(ports map[string]int, names ...string) error {
	taken := map[int]bool{}
	for _, port := range ports {
		taken[port] = true
	}
	for _, name := range names {
		if ports[name] != 0 {
			continue
		}
		port, err := freePort(taken)
		if err != nil {
			return fmt.Errorf("choosing a port for %s: %w", name, err)
		}
		ports[name], taken[port] = port, true
	}
	return nil
}

func freePort(taken map[int]bool) (int, error) {
	var err error
	for range 200 {
		port := lowestPort + rand.IntN(highestPort-lowestPort)
		if taken[port] {
			continue
		}
		if err = portFree(port); err == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("none between %d and %d is free: %w", lowestPort, highestPort, err)
}

// portFree says why a port cannot be listened on.
func portFree(port int) error {
	l, err := net.Listen("tcp", address(port))
	if err != nil {
		return err
	}
	return l.Close()
}

func address(port int) string { return net.JoinHostPort(cluster.Host, strconv.Itoa(port)) }
