// SPDX-License-Identifier: Apache-2.0

package git

import (
	"net/url"
	"slices"
	"strings"
)

// commitPaths say where forges show a commit, below the path of the repository; by what is in the name of a host of theirs.
var commitPaths = []struct{ host, path string }{
	{"github", "/commit/"}, {"gitlab", "/-/commit/"}, {"bitbucket.org", "/commits/"},
	{"gitea", "/commit/"}, {"forgejo", "/commit/"}, {"codeberg.org", "/commit/"},
}

// commitPath is where a forge shows commits that the spec.provider of a GitRepository names; generic names none.
var commitPath = map[string]string{"github": "/commit/", "azure": "/commit/"}

// CommitURL is where people see a commit of a repository, by what forges are known to do; empty if it is not known which
// forge serves the repository. Hosts of one's own are told by the provider of the GitRepository, which is its spec.provider, or by
// their names, such as gitlab.example.com.
func CommitURL(repository, provider, commit string) string {
	name := repositoryOf(repository)
	host, path, ok := strings.Cut(name, "/")
	if !ok || path == "" || commit == "" {
		return ""
	}
	at := &url.URL{Scheme: "https", Host: host}
	if u, err := url.Parse(repository); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() == host {
		at.Scheme, at.Host = u.Scheme, u.Host // with its port
	}
	if host == azureDevOps {
		parts := strings.Split(path, "/")
		at.Path = "/" + strings.Join(slices.Insert(parts, len(parts)-1, "_git"), "/") + "/commit/" + commit
		return at.String()
	}
	for _, forge := range commitPaths {
		if strings.Contains(host, forge.host) {
			at.Path = "/" + path + forge.path + commit
			return at.String()
		}
	}
	if below := commitPath[provider]; below != "" {
		at.Path = "/" + path + below + commit
		return at.String()
	}
	return ""
}
