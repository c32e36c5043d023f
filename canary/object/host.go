// SPDX-License-Identifier: Apache-2.0

package object

import (
	"strings"

	"golang.org/x/net/publicsuffix"
)

// IsServiceHost reports whether a host is that of a Service of a namespace, by a name that
// says so: <service>.<namespace>, or <service>.<namespace>.svc and what may follow. Where the
// namespace is called as a domain of the world is, such as com or dev, <service>.<namespace>
// is a site of that domain.
func IsServiceHost(host, namespace string) bool {
	_, rest, _ := strings.Cut(strings.TrimSuffix(host, "."), ".")
	if rest == namespace {
		_, isDomain := publicsuffix.PublicSuffix("any." + namespace)
		return !isDomain
	}
	return rest == namespace+".svc" || strings.HasPrefix(rest, namespace+".svc.")
}
