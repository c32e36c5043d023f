// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/sluice-cd/sluice/internal/registry"
)

// maxCursor bounds what says where the next page begins.
const maxCursor = 4096

// link is one link of a Link header (RFC 8288).
type link struct {
	target string
	rels   []string // in lower case; nil when none is said
}

// nextPage returns the address of the page after the one at address, or nothing
// when that was the last. It is what the Link headers of its answer say, which came
// from elsewhere after a redirect:
//
//	Link: </v2/app/tags/list?last=x&n=9>; rel="next"
//
// Of the link only its query is taken, which says where the next page begins.
// Registries behind proxies, virtual repositories and other ports write paths that
// lead nowhere, and the path is known. A link to another host is not followed. What
// cannot be read is an error and not the end of the list: a list that is not
// complete would take back what runs.
func nextPage(resp *http.Response, address string) (string, error) {
	var next *link
	for _, header := range resp.Header.Values("Link") {
		parsed, err := parseLinks(header)
		if err != nil {
			return "", err
		}
		for i := range parsed {
			if next == nil && parsed[i].isNext() {
				next = &parsed[i]
			}
		}
	}
	if next == nil {
		return "", nil
	}
	to, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	answered := to
	if resp.Request != nil {
		answered = resp.Request.URL
	}
	if to.RawQuery, err = cursor(next.target, to, answered); err != nil {
		return "", err
	}
	return to.String(), nil
}

// isNext reports whether a link leads to the next page. One without a relation does
// if it leads to a list of tags: some registries leave it out.
func (l *link) isNext() bool {
	for _, rel := range l.rels {
		if rel == "next" {
			return true
		}
	}
	if len(l.rels) > 0 {
		return false
	}
	path, _, _ := strings.Cut(l.target, "?")
	return strings.HasSuffix(path, registry.TagListPath)
}

// cursor returns the query of a link's target, if that is at the registry.
func cursor(target string, address, answered *url.URL) (string, error) {
	own := func(host string) bool {
		return registry.SameHost(host, address.Host) || registry.SameHost(host, answered.Host)
	}
	if host, path, ok := strings.Cut(target, "/"); ok && host != "" && own(host) { // without a scheme
		target = "/" + path
	}
	to, err := url.Parse(target)
	if err != nil {
		return "", fmt.Errorf("%w: the link to its next page cannot be read", errPage)
	}
	switch {
	case to.Opaque != "" || to.Scheme != "" && to.Scheme != "https" && to.Scheme != "http":
		return "", fmt.Errorf("%w: the link to its next page is none of the web", errPage)
	case to.Host != "" && !own(to.Host):
		return "", fmt.Errorf("%w: its next page is on another host, %q", errPage, to.Host)
	case to.RawQuery == "":
		return "", fmt.Errorf("%w: the link to its next page does not say where that begins", errPage)
	case len(to.RawQuery) > maxCursor:
		return "", fmt.Errorf("%w: the link to its next page is longer than %d bytes", errPage, maxCursor)
	}
	if _, err := url.QueryUnescape(to.RawQuery); err != nil {
		return "", fmt.Errorf("%w: the link to its next page cannot be read", errPage)
	}
	return strings.ReplaceAll(to.RawQuery, " ", "%20"), nil
}

// parseLinks reads one Link header: links with parameters, separated by commas.
//
//	<target>; rel="next prev"; title="a, b; c", <other>; rel=first
func parseLinks(header string) ([]link, error) {
	var links []link
	rest := header
	for {
		rest = strings.TrimLeft(rest, " \t,") // lists may have empty elements
		if rest == "" {
			return links, nil
		}
		end := strings.IndexByte(rest, '>')
		if rest[0] != '<' || end < 0 {
			return nil, fmt.Errorf("%w: Link header %.100q", errPage, header)
		}
		l := link{target: strings.TrimSpace(rest[1:end])}
		var ok bool
		if rest, ok = l.parameters(rest[end+1:]); !ok {
			return nil, fmt.Errorf("%w: Link header %.100q", errPage, header)
		}
		links = append(links, l)
	}
}

// parameters reads those of a link, and returns what comes after them.
func (l *link) parameters(rest string) (string, bool) {
	for {
		rest = strings.TrimLeft(rest, " \t")
		switch {
		case rest == "", rest[0] == ',':
			return rest, true
		case rest[0] != ';':
			return "", false
		}
		rest = strings.TrimLeft(rest[1:], " \t")
		end := strings.IndexAny(rest, "=;, \t")
		if end < 0 {
			end = len(rest)
		}
		name := strings.ToLower(rest[:end])
		rest = strings.TrimLeft(rest[end:], " \t")
		if !strings.HasPrefix(rest, "=") {
			continue // it has no value, or a semicolon ends the list
		}
		var value string
		var ok bool
		if value, rest, ok = parameterValue(strings.TrimLeft(rest[1:], " \t")); !ok {
			return "", false
		}
		if name == "rel" && l.rels == nil { // only the first counts
			// Some write the quotes of another language, which RFC 8288 takes for part of the word.
			l.rels = append([]string{}, strings.Fields(strings.Trim(strings.ToLower(value), `'`))...)
		}
	}
}

// parameterValue reads a token or a quoted string.
func parameterValue(rest string) (value, after string, ok bool) {
	if !strings.HasPrefix(rest, `"`) {
		end := strings.IndexAny(rest, ";, \t")
		if end < 0 {
			end = len(rest)
		}
		return rest[:end], rest[end:], true
	}
	var text strings.Builder
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '"':
			return text.String(), rest[i+1:], true
		case '\\':
			if i++; i == len(rest) {
				return "", "", false
			}
		}
		text.WriteByte(rest[i])
	}
	return "", "", false
}
