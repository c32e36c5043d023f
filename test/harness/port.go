// SPDX-License-Identifier: Apache-2.0

package harness

import "net"

// FreeAddr is a loopback address that nobody listened on a moment ago.
func FreeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
