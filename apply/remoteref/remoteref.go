// SPDX-License-Identifier: Apache-2.0

// Package remoteref reads the references of kustomization files that lead out of their source, by
// the grammar of kustomize (sigs.k8s.io/kustomize, examples/remoteBuild.md):
//
//	https://github.com/org/repo//deploy/base?ref=v1.2.0&timeout=60s&submodules=false
//	'----- repository --------' '- path --'     '- ref'
//
// The scheme is http, https or ssh; without one, it is github.com/org/repo, or user@host:org/repo,
// the form of scp. Where the repository ends, the first of these says: the name that follows "_git/",
// as Azure DevOps has it; "//"; ".git"; two names. Whatever begins with http or https may be a file as
// well, which only its server knows.
//
// A reference is only read here, and nothing is asked.
package remoteref

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// ErrNone says that a text refers to no repository.
var ErrNone = errors.New("it names no repository")

// ErrLocal says that a text refers to a repository on the disk of whoever reads it.
var ErrLocal = errors.New("file:// leads to files of whoever builds")

// Repository is a directory in a repository, at a ref.
type Repository struct {
	// URL is http, https or ssh. It may have a user.
	URL string
	// Path is the directory, "" for the root. It does not leave the repository.
	Path string
	// Ref is a branch, a tag, the full name of a ref, or a commit; "" is HEAD.
	Ref string
	// Timeout is how long it may take to fetch it.
	Timeout time.Duration
	// Submodules says whether to fetch those as well.
	Submodules bool
}

// DefaultTimeout is how long it may take to fetch a repository whose reference does not say.
const DefaultTimeout = 27 * time.Second

// Redacted is a reference without what may be a credential in it: the user, who may be a token, and the password of an address,
// also where no URL can be made out.
func Redacted(ref string) string {
	start := 0
	if at := strings.Index(ref, "://"); at >= 0 {
		start = at + len("://")
	}
	host := ref[start:]
	if end := strings.IndexAny(host, "/?#"); end >= 0 {
		host = host[:end]
	}
	at := strings.LastIndex(host, "@")
	if at < 0 || start == 0 && host[:at] == "git" { // as in git@github.com:org/repo
		return ref
	}
	return ref[:start] + "xxxxx" + ref[start+at:]
}

// String names the repository and the ref, as people write it, without the credentials that a URL may have.
func (r Repository) String() string {
	address := Redacted(r.URL)
	if r.Ref == "" {
		return address
	}
	return address + "@" + r.Ref
}

// commit matches the id of a commit.
var commit = regexp.MustCompile(`^[0-9a-fA-F]{40}$`)

// Pinned reports whether the ref is a commit, which is the same at any time.
func (r Repository) Pinned() bool { return commit.MatchString(r.Ref) }

// The schemes of references, as they begin.
const (
	schemeHTTP  = "http://"
	schemeHTTPS = "https://"
	schemeSSH   = "ssh://"
	schemeFile  = "file://"
)

// IsFile reports whether a text may be the URL of a file.
func IsFile(text string) bool {
	scheme, rest := cutScheme(text)
	return (scheme == schemeHTTP || scheme == schemeHTTPS) && rest != "" && !strings.ContainsAny(text, "\n\r\t ")
}

// IsPlain reports whether the text says of itself that it is a directory of a repository, and no file: it marks
// where the repository ends or names a ref, and what it leads to has no name as manifests have.
func IsPlain(text string) bool {
	address, query, _ := strings.Cut(text, "?")
	_, rest, err := parseHost(address)
	if err != nil {
		return false
	}
	_, _, marked := splitMarked(rest)
	if values, err := url.ParseQuery(query); err == nil {
		marked = marked || values.Get("ref") != "" || values.Get("version") != ""
	}
	ext := strings.ToLower(path.Ext(address))
	return marked && ext != ".yaml" && ext != ".yml" && ext != ".json"
}

// Parse reads a reference to a repository. The error is [ErrNone] or [ErrLocal] if it is no such, and says why.
func Parse(text string) (Repository, error) {
	if strings.HasPrefix(text, "/") {
		return Repository{}, fmt.Errorf("%w: it is an absolute path", ErrNone)
	}
	address, query, _ := strings.Cut(text, "?")
	made := Repository{Timeout: DefaultTimeout, Submodules: true}
	made.readQuery(query)
	at, rest, err := parseHost(address)
	if err != nil {
		return Repository{}, err
	}
	name, within, err := splitPath(rest)
	if err != nil {
		return Repository{}, err
	}
	made.URL, made.Path = at+strings.TrimLeft(name, "/"), within
	return made, nil
}

// readQuery reads what follows the question mark. What cannot be read stands for nothing.
func (r *Repository) readQuery(query string) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return
	}
	r.Ref = values.Get("version")
	if ref := values.Get("ref"); ref != "" {
		r.Ref = ref
	}
	text := values.Get("timeout")
	if seconds, err := strconv.Atoi(text); err == nil && seconds > 0 && seconds < 1<<20 {
		r.Timeout = time.Duration(seconds) * time.Second
	} else if timeout, err := time.ParseDuration(text); err == nil && timeout > 0 {
		r.Timeout = timeout
	}
	if wanted, err := strconv.ParseBool(values.Get("submodules")); err == nil {
		r.Submodules = wanted
	}
}

// user matches the user before a host.
var user = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9-]*@`)

// parseHost reads a reference up to the path: where the repository is, as a URL that ends with a slash.
func parseHost(address string) (at, rest string, err error) {
	address, _ = cutFold(address, "git::") // which said how to get it, to a library of former times
	scheme, rest := cutScheme(address)
	who := user.FindString(rest)
	rest = rest[len(who):]
	github := isGitHub(rest)
	scp := scheme == "" && (who != "" || github)
	switch {
	case scheme == schemeFile:
		return "", "", ErrLocal
	case scheme == "" && !scp:
		return "", "", fmt.Errorf("%w: it has no scheme", ErrNone)
	}
	end := endOfHost(rest, scp)
	if end <= 0 {
		return "", "", fmt.Errorf("%w: it has no host, or nothing after it", ErrNone)
	}
	host, slash := rest[:end], rest[end] == '/'
	rest = rest[end+1:]
	switch {
	case github && scheme != schemeSSH && who == "":
		return schemeHTTPS + "github.com/", rest, nil
	case github:
		return schemeSSH + who + "github.com/", rest, nil
	case scp && slash:
		return "", "", fmt.Errorf("%w: after %s%s stands a colon in the form of scp", ErrNone, who, host)
	case scp:
		scheme = schemeSSH
	}
	return scheme + who + host + "/", rest, nil
}

// isGitHub reports whether a text begins with that host, which may stand without a scheme.
func isGitHub(text string) bool {
	_, slash := cutFold(text, "github.com/")
	_, colon := cutFold(text, "github.com:")
	return slash || colon
}

// endOfHost is where the host ends: at a slash, in the form of scp at a colon before it.
func endOfHost(text string, scp bool) int {
	end := strings.Index(text, "/")
	if colon := strings.Index(text, ":"); scp && colon > 0 && (end < 0 || colon < end) {
		return colon
	}
	return end
}

// splitPath tells the repository from the directory in it.
func splitPath(rest string) (name, within string, err error) {
	name, within, ok := splitMarked(rest)
	if !ok {
		org, after, found := strings.Cut(rest, "/")
		repo, dir, _ := strings.Cut(after, "/")
		name, within, ok = org+"/"+repo, dir, found
	}
	if !ok || strings.Trim(name, "/") == "" {
		return "", "", fmt.Errorf("%w: after the host stand the owner and the name of a repository", ErrNone)
	}
	within = strings.TrimLeft(within, "/")
	if clean := path.Clean("./" + within); clean == ".." || strings.HasPrefix(clean, "../") {
		return "", "", fmt.Errorf("%w: its path leads out of the repository", ErrNone)
	}
	return name, within, nil
}

// splitMarked is splitPath where a mark says where the repository ends.
func splitMarked(rest string) (name, within string, ok bool) {
	const azure, git = "_git/", ".git"
	if i := strings.Index(rest, azure); i >= 0 {
		repo, dir, _ := strings.Cut(rest[i+len(azure):], "/")
		return rest[:i+len(azure)] + repo, dir, true
	}
	if before, after, found := strings.Cut(rest, "//"); found {
		return before, after, true
	}
	if i := strings.Index(rest, git); i >= 0 {
		return rest[:i+len(git)], rest[i+len(git):], true
	}
	return "", "", false
}

// cutScheme returns the scheme that a text begins with, "" for none that is known, and what follows.
func cutScheme(text string) (scheme, rest string) {
	for _, known := range []string{schemeSSH, schemeHTTPS, schemeHTTP, schemeFile} {
		if rest, found := cutFold(text, known); found {
			return known, rest
		}
	}
	return "", text
}

// cutFold is strings.CutPrefix that takes upper case for lower case.
func cutFold(text, prefix string) (rest string, found bool) {
	if len(text) < len(prefix) || !strings.EqualFold(text[:len(prefix)], prefix) {
		return text, false
	}
	return text[len(prefix):], true
}
