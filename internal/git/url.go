// SPDX-License-Identifier: Apache-2.0

package git

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/sluice-cd/sluice/internal/shorten"
)

// schemes are what is spoken, by the scheme of the URL.
var schemes = map[string]func(*Mirrors, Auth, *url.URL) (server, Auth, error){
	"http": (*Mirrors).dialHTTP, "https": (*Mirrors).dialHTTP, "ssh": (*Mirrors).dialSSH,
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUnsupportedURL, fmt.Errorf(format, args...))
}

// parseURL reads the URL of a repository. What people write instead is the form of scp,
// which has a colon where a URL has its port, and passwords that are not encoded. An
// error says what to write, and quotes nothing that may be part of a password.
func parseURL(raw string) (*url.URL, error) {
	if strings.TrimSpace(raw) != raw {
		return nil, unsupported("it begins or ends with a blank")
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return nil, withoutScheme(raw)
	}
	scheme = strings.ToLower(scheme)
	if _, ok := schemes[scheme]; !ok {
		return nil, unsupported("scheme %q is none of http, https, ssh", shortened(scheme))
	}
	authority, after, _ := strings.Cut(rest, "/")
	if i := strings.IndexAny(authority, "?#"); i >= 0 {
		authority, after = authority[:i], authority[i:]+"/"+after
	}
	user, host := "", authority
	if i := strings.LastIndex(authority, "@"); i >= 0 {
		user, host = authority[:i+1], authority[i+1:]
	}
	if err := checkHost(scheme, user, host, after); err != nil {
		return nil, err
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		// The library's error quotes what it does not understand, passwords included.
		return nil, unsupported("it has characters that must be percent-encoded, such as spaces and %%")
	case u.Hostname() == "":
		return nil, unsupported("it has no host")
	}
	return u, nil
}

// withoutScheme explains what is not even the beginning of a URL.
func withoutScheme(raw string) error {
	host, path, ok := splitSCP(raw)
	if !ok {
		return unsupported("it is no URL that begins with http://, https:// or ssh://")
	}
	return unsupported("this is the form of scp: write %s", sshForm(host, path))
}

// FromSCP is the URL for an address in the form of scp, such as git@example.com:team/app.git. Others are
// left as they are.
func FromSCP(address string) string {
	if host, path, ok := splitSCP(address); ok {
		return sshForm(host, path)
	}
	return address
}

// splitSCP splits an address in the form of scp. One with a password, which that form has not, is none.
func splitSCP(address string) (host, path string, ok bool) {
	host, path, ok = strings.Cut(address, ":")
	name := host[strings.LastIndex(host, "@")+1:]
	return host, path, ok && name != "" && !strings.ContainsAny(host, "/ ") && !strings.HasPrefix(path, "//") && !strings.Contains(path, "@")
}

// sshForm is the URL for what is host:path in the form of scp.
func sshForm(host, path string) string {
	user, name := "", host
	if i := strings.LastIndex(host, "@"); i >= 0 {
		user, _, _ = strings.Cut(host[:i], ":") // no password
		user, name = user+"@", host[i+1:]
	}
	return "ssh://" + user + name + "/" + strings.TrimLeft(path, "/")
}

// checkHost looks at the part of a URL between the user and the path.
func checkHost(scheme, user, host, path string) error {
	name, port, hasPort := strings.Cut(host, ":")
	switch {
	case strings.HasPrefix(host, "["): // an IPv6 address
		end := strings.Index(host, "]")
		if end < 0 {
			return unsupported("the bracket before the IPv6 address is not closed")
		}
		name, port, hasPort = host[:end+1], strings.TrimPrefix(host[end+1:], ":"), len(host) > end+1
	case strings.Count(host, ":") > 1 && !strings.Contains(path, "@"):
		return unsupported("an IPv6 address stands in brackets, as in %s://[::1]/repository", scheme)
	}
	if name == "" {
		return unsupported("it has no host")
	}
	if !hasPort || port == "" || isPort(port) {
		return nil
	}
	if strings.Contains(path, "@") { // the "port" is the beginning of a password
		return unsupported("characters such as / : @ # in a user name or password must be percent-encoded")
	}
	write := scheme + "://" + name + "/" + strings.TrimSuffix(port+"/"+path, "/")
	if scheme == "ssh" {
		write = sshForm(user+name, strings.TrimSuffix(port+"/"+path, "/"))
	}
	return unsupported("%q is no port: write %s", ":"+shortened(port), write)
}

// isPort reports whether a text is the number of a port.
func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

// shortened is a word of a URL for a message.
func shortened(word string) string {
	const longest = 60
	return shorten.Bytes(word, longest, shorten.Dots)
}

// bare is where a repository is, without the user, the query and a slash at the end.
func bare(u *url.URL) *url.URL {
	at := &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimSuffix(u.Path, "/")}
	if u.RawPath != "" {
		at.RawPath = strings.TrimSuffix(u.RawPath, "/")
	}
	return at
}

// HostOf is the host and port of a repository's URL, "" if it has none.
func HostOf(address string) string {
	u, err := parseURL(address)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Host)
}

// String is the remote's URL without credentials.
func (r Remote) String() string {
	u, err := parseURL(r.URL)
	if err != nil {
		return "(malformed URL)"
	}
	return bare(u).String()
}
