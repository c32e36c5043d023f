// SPDX-License-Identifier: Apache-2.0

package object

import "testing"

func TestWhichHostsAreThoseOfAService(t *testing.T) {
	for name, tc := range map[string]struct {
		host, namespace string
		want            bool
	}{
		"a name in a namespace":                   {"app.staging", "staging", true},
		"the whole name":                          {"app.staging.svc.cluster.local", "staging", true},
		"with a dot at its end":                   {"app.staging.svc.cluster.local.", "staging", true},
		"all of the namespace":                    {"*.staging.svc.cluster.local", "staging", true},
		"another namespace":                       {"app.prod", "staging", false},
		"a namespace that begins like it":         {"app.staging-2", "staging", false},
		"a name without a namespace":              {"app", "app", false},
		"a site, in a namespace called com":       {"shop.com", "com", false},
		"a site, in a namespace called dev":       {"app.dev", "dev", false},
		"a Service there, by its whole name":      {"app.dev.svc.cluster.local", "dev", true},
		"a Service there, by what is no site":     {"app.dev.svc", "dev", true},
		"a domain whose names are all registries": {"shop.ck", "ck", false},
		"a part of a site":                        {"api.staging.example.com", "staging", false},
	} {
		if got := IsServiceHost(tc.host, tc.namespace); got != tc.want {
			t.Errorf("%s: %s in %s: got %t", name, tc.host, tc.namespace, got)
		}
	}
}
