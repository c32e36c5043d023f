// SPDX-License-Identifier: Apache-2.0

package git

import (
	"errors"
	"strings"
	"testing"
)

func TestURLsThatAreNone(t *testing.T) {
	tests := map[string]struct{ url, says string }{
		"the form of scp behind a scheme": {
			"ssh://git@github.com:org/repo.git",
			`":org" is no port: write ssh://git@github.com/org/repo.git`,
		},
		"it without a user":             {"ssh://github.com:org/repo.git", "write ssh://github.com/org/repo.git"},
		"it with a deeper path":         {"ssh://git@127.0.0.1:group/sub/repo.git", "write ssh://git@127.0.0.1/group/sub/repo.git"},
		"it with a home directory":      {"ssh://git@example.com:~me/repo.git", "write ssh://git@example.com/~me/repo.git"},
		"it with a slash":               {"ssh://git@example.com:/org/repo.git", ""},
		"it without a directory":        {"ssh://git@example.com:repo.git", "write ssh://git@example.com/repo.git"},
		"it over https":                 {"https://github.com:org/repo.git", "write https://github.com/org/repo.git"},
		"it over https with a password": {"https://me:s3cr3t@github.com:org/repo.git", "write https://github.com/org/repo.git"},
		"it after a port":               {"ssh://git@example.com:22:org/repo.git", "IPv6"},
		"it alone": {
			"git@github.com:org/repo.git",
			"this is the form of scp: write ssh://git@github.com/org/repo.git",
		},
		"it alone without a user":                  {"github.com:org/repo.git", "write ssh://github.com/org/repo.git"},
		"it alone with a port and a slash":         {"git@example.com:/org/repo.git", "write ssh://git@example.com/org/repo.git"},
		"a number that is no port":                 {"https://example.com:99999/repo", `":99999" is no port`},
		"no port at all":                           {"https://example.com:/repo", ""},
		"a path of a machine":                      {"/srv/git/repo.git", "begins with http://"},
		"a name":                                   {"repo", "begins with http://"},
		"nothing":                                  {"", "begins with http://"},
		"another scheme":                           {"git://example.com/repo", `scheme "git" is none of http, https, ssh`},
		"a file":                                   {"file:///srv/git", `scheme "file"`},
		"no host":                                  {"https:///repo", "it has no host"},
		"no host but a user":                       {"ssh://git@/repo", "it has no host"},
		"no host but a port":                       {"https://:443/repo", "it has no host"},
		"a space":                                  {"https://example.com/my repo", ""},
		"a blank at the end":                       {"https://example.com/repo.git ", "begins or ends with a blank"},
		"a line break at the end":                  {"https://example.com/repo.git\n", "begins or ends with a blank"},
		"a space in the host":                      {"https://exam ple.com/repo", "percent-encoded"},
		"an escape that is none":                   {"https://example.com/%zz", "percent-encoded"},
		"a line break":                             {"https://example.com/a\nb", "percent-encoded"},
		"an IPv6 address":                          {"https://[::1]:8443/repo", ""},
		"an IPv6 address without brackets":         {"https://fe80::1/repo", "an IPv6 address stands in brackets"},
		"an IPv6 address with one":                 {"https://[fe80::1/repo", "not closed"},
		"a password with a slash":                  {"https://me:s3cr3t/x@example.com/repo", "must be percent-encoded"},
		"a password with a number sign":            {"https://me:s3cr3t#x@example.com/repo", "must be percent-encoded"},
		"a password with a question mark":          {"https://me:s3cr3t?x@example.com/repo", "must be percent-encoded"},
		"a password with an at sign, which is one": {"https://me:s3@cr3t@example.com/repo", ""},
		"capitals":                                 {"HTTPS://Example.com/repo", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			u, err := parseURL(tc.url)
			if tc.says == "" {
				if err != nil || u.Hostname() == "" {
					t.Errorf("got %v, %v", u, err)
				}
				return
			}
			if !errors.Is(err, ErrUnsupportedURL) || !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("got %v", err)
			}
			if strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

func FuzzParseURL(f *testing.F) {
	for _, url := range []string{"ssh://git@github.com:org/repo.git", "https://u:s3cr3t@h:x/y", "git@h:p", "https://[::1]:1/x?y#z"} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		u, err := parseURL(url)
		if (u == nil) == (err == nil) {
			t.Errorf("%q: %v, %v", url, u, err)
		}
		if err == nil && schemes[u.Scheme] == nil {
			t.Errorf("%q has scheme %q", url, u.Scheme)
		}
	})
}
