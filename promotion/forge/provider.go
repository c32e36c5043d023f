// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/sluice-cd/sluice/internal/shorten"
)

// Capabilities are what a forge can do, and the most that it takes. What a forge
// cannot do is refused as [Unsupported] before anything is sent.
type Capabilities struct {
	Draft, Labels, Reviewers, Assignees bool
	AutoMerge, Queue, Statuses          bool
	// Mergeability is whether the forge says of an open pull request if it can be merged;
	// else Mergeable stays unknown until somebody tries.
	Mergeability bool
	// Reopen is whether a closed pull request can be opened again.
	Reopen bool
	// Methods are the merge methods that the forge knows; repositories may allow fewer.
	Methods []Method
	// TitleBytes and BodyBytes are the most that a title and a body may have; texts are
	// shortened to them.
	TitleBytes, BodyBytes int
}

// provider is a row of the table.
type provider struct {
	Capabilities
	// hosts are where it is found without being named; one that begins with a dot stands
	// for all below it.
	hosts []string
	// token is the Authorization header for a token.
	token func(token string) string
	// basic says whether user and password are sent as such; else the password is a token.
	basic bool
	// app says whether the data of a GitHub App is taken.
	app bool
	// apiPath is how the path of the API ends; empty is anyhow.
	apiPath string
	// locate finds the API and the repository by the URL of the Git repository.
	locate func(*url.URL) (repository, error)
	// needs is what a credential must be allowed to do.
	needs string
	// statuses is how many statuses of commits one identity sets: with what is read for each, half
	// of what the forge documents as its limit. Zero is any number, since the forge documents none
	// or leaves it to its administrators, and says itself when it is too much.
	statuses rateLimit
	// draftPrefixes are what titles of drafts begin with, the one that is written first,
	// where nothing else makes a pull request a draft.
	draftPrefixes []string
	// connect returns the driver.
	connect func(*session) (driver, error)
}

// draftTitle is the title by which a pull request is a draft, or not.
func (p provider) draftTitle(t Text) string {
	if t.Draft && len(p.draftPrefixes) > 0 {
		return p.draftPrefixes[0] + " " + t.Title
	}
	return t.Title
}

// withoutPrefix takes the prefixes, in any case, from a title.
func withoutPrefix(title string, prefixes ...string) string {
	for i := 0; i < len(prefixes); i++ {
		if n := len(prefixes[i]); len(title) >= n && strings.EqualFold(title[:n], prefixes[i]) {
			title, i = strings.TrimSpace(title[n:]), -1 // there may be another one
		}
	}
	return title
}

// repository is where a repository is at a forge.
type repository struct {
	// api is the base of the URLs of the API.
	api *url.URL
	// path are the names from the outermost to the repository itself.
	path []string
}

// owner is all but the last name.
func (r repository) owner() string { return strings.Join(r.path[:len(r.path)-1], "/") }

// name is the last name.
func (r repository) name() string { return r.path[len(r.path)-1] }

// String is owner/name.
func (r repository) String() string { return strings.Join(r.path, "/") }

// isNamed reports whether a full name is that of the repository. Forges compare names
// without regard to case.
func (r repository) isNamed(fullName string) bool { return strings.EqualFold(fullName, r.String()) }

// The names of providers, spelled as Flux spells them in a Provider of notifications.
const (
	GitHub          = "github"
	GitLab          = "gitlab"
	Gitea           = "gitea"
	Bitbucket       = "bitbucket"
	BitbucketServer = "bitbucketserver"
	AzureDevOps     = "azuredevops"
)

func bearer(token string) string { return "Bearer " + token }

// Providers lists the names that spec fields may hold.
func Providers() []string { return slices.Sorted(maps.Keys(providers)) }

// CapabilitiesOf returns what a provider can do. An unknown name is an error that is
// [ErrInvalid].
func CapabilitiesOf(name string) (Capabilities, error) {
	p, ok := providers[name]
	if !ok {
		return Capabilities{}, unknownProvider(name)
	}
	return p.Capabilities, nil
}

func unknownProvider(name string) error {
	return fmt.Errorf("%w: provider %q is none of %s", ErrInvalid, name, strings.Join(Providers(), ", "))
}

// Detect returns the provider by the host of a Git repository's URL. Only hosts that
// are one forge's for everybody are known; that a host is called gitlab.example.com
// says nothing, and a token must not be sent on a guess.
func Detect(gitURL string) (string, error) {
	u, err := parse(gitURL)
	if err != nil {
		return "", err
	}
	host := strings.ToLower(u.Hostname())
	for name, p := range providers {
		for _, known := range p.hosts {
			if host == known || strings.HasPrefix(known, ".") && strings.HasSuffix(host, known) {
				return name, nil
			}
		}
	}
	return "", fmt.Errorf("%w: which forge is at host %s is not known: name it in field provider (%s)",
		ErrInvalid, host, strings.Join(Providers(), ", "))
}

// ParseAPI reads the URL of a provider's API, such as https://git.example.com/api/v4 of a
// GitLab. Its errors are [ErrInvalid].
func ParseAPI(provider, text string) (*url.URL, error) {
	table, ok := providers[provider]
	if !ok {
		return nil, unknownProvider(provider)
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("%w: the URL of the API must begin with https:// or http://", ErrInvalid)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%w: the URL of the API must have no credentials, query or fragment", ErrInvalid)
	}
	api := &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host), Path: strings.TrimSuffix(u.Path, "/")}
	gitHub := provider == GitHub && strings.HasPrefix(api.Host, "api.") && api.Path == ""
	if !gitHub && !strings.HasSuffix(api.Path, table.apiPath) {
		return nil, fmt.Errorf("%w: the URL of the API must end with %s", ErrInvalid, table.apiPath)
	}
	if api.Path == "" {
		api.Path = "/"
	}
	return api, nil
}

// names splits the path of a URL, without .git at the end.
func names(u *url.URL) []string {
	var found []string
	for name := range strings.SplitSeq(strings.TrimSuffix(strings.Trim(u.Path, "/"), ".git"), "/") {
		if name != "" {
			found = append(found, name)
		}
	}
	return found
}

// apiURL is the API on the web server of a URL. What is reached by SSH is taken to have its
// API at the usual port by HTTPS.
func apiURL(u *url.URL, elements ...string) *url.URL {
	api := &url.URL{Scheme: u.Scheme, Host: u.Host, Path: path.Join(append([]string{"/"}, elements...)...)}
	if u.Scheme == "ssh" {
		api.Scheme, api.Host = "https", u.Hostname()
	}
	return api
}

// ownerAndName locates repositories whose URL ends with two names.
func ownerAndName(u *url.URL, api *url.URL) (repository, error) {
	found := names(u)
	if len(found) != 2 {
		return repository{}, fmt.Errorf("%w must end with owner/name, not with %q",
			errURL, strings.Join(found, "/"))
	}
	return repository{api: api, path: found}, nil
}

// fitted shortens a text to a number of bytes, with a mark on a line of its own if the text
// has lines.
func fitted(text string, most int) string {
	mark := shorten.Dots
	if strings.Contains(text, "\n") {
		mark = "\n\n(shortened)"
	}
	return shorten.Bytes(text, most, mark)
}
