// SPDX-License-Identifier: Apache-2.0

package app

import (
	"net/url"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

func TestLoopbackIsAllowedWhereTheAPIServerIsAtIt(t *testing.T) {
	for name, tc := range map[string]struct {
		server  string
		flag    []string
		address string
		allowed bool
	}{
		"in a cluster":                           {"https://10.96.0.1:443", nil, "http://127.0.0.1:8080", false},
		"a cluster with a name":                  {"https://api.example.com", nil, "http://[::1]:8080", false},
		"a developer's cluster":                  {"https://127.0.0.1:6443", nil, "http://127.0.0.1:8080", true},
		"a developer's cluster by name":          {"https://localhost:6443", nil, "http://[::1]:8080", true},
		"a developer's cluster over IPv6":        {"https://[::1]:6443", nil, "http://127.0.0.1:8080", true},
		"a developer's cluster without a scheme": {"127.0.0.1:8080", nil, "http://127.0.0.1:8080", true},
		"not the metadata service, either":       {"https://127.0.0.1:6443", nil, "http://169.254.169.254", false},
		"a range that the flag names":            {"https://10.96.0.1", []string{"127.0.0.0/8"}, "http://127.0.0.1", true},
		"an address that the flag names":         {"https://10.96.0.1", []string{"169.254.20.10"}, "http://169.254.20.10", true},
		"another address than the one it names":  {"https://10.96.0.1", []string{"169.254.20.10"}, "http://169.254.20.11", false},
	} {
		t.Run(name, func(t *testing.T) {
			f := outboundFlags{addresses: tc.flag}
			guard, err := f.guard(&rest.Config{Host: tc.server})
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(tc.address)
			if err != nil {
				t.Fatal(err)
			}
			if err := guard.CheckURL(u); (err == nil) != tc.allowed {
				t.Errorf("got %v", err)
			}
		})
	}
	f := outboundFlags{addresses: []string{"localhost"}}
	if err := f.validate(); err == nil || !strings.Contains(err.Error(), "--allow-addresses") {
		t.Errorf("a name as a range: got %v", err)
	}
}
