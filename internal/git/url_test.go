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

// TestURLsOfOneRepository has the URLs that hosts show for HTTPS and for SSH.
func TestURLsOfOneRepository(t *testing.T) {
	tests := map[string]struct {
		a, b string
		want bool
	}{
		"by HTTPS and SSH": {"https://git.example.com/a/b.git", "ssh://git@git.example.com:22/a/b", true},
		"Azure DevOps":     {"https://org@dev.azure.com/org/project/_git/app", "ssh://git@ssh.dev.azure.com/v3/org/project/app", true},
		"Azure DevOps by blanks": {
			"https://dev.azure.com/org/my%20project/_git/app", "ssh://git@ssh.dev.azure.com/v3/org/my%20project/app", true,
		},
		"the older Azure DevOps": {
			"https://org.visualstudio.com/DefaultCollection/project/_git/app", "https://dev.azure.com/org/project/_git/app",
			true,
		},
		"SSH at the port of HTTPS":   {"https://github.com/a/b", "ssh://git@ssh.github.com:443/a/b.git", true},
		"GitLab's, likewise":         {"https://gitlab.com/a/b", "ssh://git@altssh.gitlab.com:443/a/b.git", true},
		"another project":            {"https://dev.azure.com/org/one/_git/app", "ssh://git@ssh.dev.azure.com/v3/org/two/app", false},
		"another host":               {"https://ssh.example.com/a/b", "https://example.com/a/b", false},
		"texts that are no URLs":     {"git@github.com:a/b", "git@github.com:a/c", false},
		"the same text, not a URL":   {"git@github.com:a/b", "git@github.com:a/b", true},
		"a path of another version":  {"https://git.example.com/v3/a/b", "https://git.example.com/a/b", false},
		"a folder that is so called": {"https://git.example.com/a/_git/b", "https://git.example.com/a/b", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := SameRepository(tc.a, tc.b); got != tc.want {
				t.Errorf("%q and %q: %v", tc.a, tc.b, got)
			}
		})
	}
}

func TestTheFormOfSCPAsAURL(t *testing.T) {
	for address, want := range map[string]string{
		"git@gitlab.com:group/app.git":       "ssh://git@gitlab.com/group/app.git",
		"gitlab.com:/group/sub/app":          "ssh://gitlab.com/group/sub/app",
		"user:secret@gitlab.com:group/app":   "user:secret@gitlab.com:group/app",
		"https://gitlab.com/group/app":       "https://gitlab.com/group/app",
		"ssh://git@gitlab.com:22/group/app":  "ssh://git@gitlab.com:22/group/app",
		"gitlab.com/group/app":               "gitlab.com/group/app",
		"https://user:pass@gitlab.com/g/app": "https://user:pass@gitlab.com/g/app",
	} {
		if got := FromSCP(address); got != want {
			t.Errorf("%s is %s, want %s", address, got, want)
		}
	}
}
