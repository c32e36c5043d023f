// SPDX-License-Identifier: Apache-2.0

package registry

import "testing"

func TestSpellingsOfOneHost(t *testing.T) {
	tests := map[string]struct {
		a, b string
		want bool
	}{
		"a port of its own":             {"registry:5000", "REGISTRY:5000", true},
		"a port with zeros before it":   {"registry:5000", "registry:05000", true},
		"an address in full":            {"[::1]:5000", "[0:0:0:0:0:0:0:1]:5000", true},
		"an address without brackets":   {"[::1]", "::1", true},
		"an address mapped into IPv6":   {"127.0.0.1:5000", "[::ffff:127.0.0.1]:5000", true},
		"another port":                  {"registry:5000", "registry:5001", false},
		"no port where there was one":   {"registry:5000", "registry", false},
		"a name that ends like another": {"registry.example.com", "evilregistry.example.com", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := SameHost(tc.a, tc.b); got != tc.want {
				t.Errorf("got %t", got)
			}
		})
	}
}
