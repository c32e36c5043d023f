// SPDX-License-Identifier: Apache-2.0

package git

import (
	"net/url"
	"strings"
)

// SameRepository reports whether two URLs name one repository, whatever the protocol and
// the user.
func SameRepository(a, b string) bool {
	return a == b || repositoryOf(a) != "" && repositoryOf(a) == repositoryOf(b)
}

func repositoryOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return strings.ToLower(u.Hostname()) + "/" + strings.TrimSuffix(strings.Trim(u.Path, "/"), ".git")
}
