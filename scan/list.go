// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/sluice-cd/sluice/internal/registry"
)

// maxPages bounds one list, however few tags its pages have.
const maxPages = 10_000

// minPageSize is the smallest page that is asked for; a registry that refuses it as
// well is asked for whatever it likes.
const minPageSize = 50

// maxETags bounds the pages that are remembered of one list, to ask for them again.
const maxETags = 300

// lister lists the tags of one image.
type lister struct {
	client *http.Client
	host   *registry.Host
	target Target
	// budget is the most tags to list.
	budget func() int
	memory *pageMemory
}

// list asks the registry for all tags. Of a registry that knows conditional
// requests it asks whether the pages of last still hold: only when all of them do
// the list is last's.
func (l *lister) list(ctx context.Context, last *listing, into *tagBuffer) (pages []page, same bool, err error) {
	if last != nil && len(last.pages) > 0 {
		for i, known := range last.pages {
			got, err := l.fetch(ctx, l.first(known.url), known.etag, into)
			if err != nil {
				return nil, false, err
			}
			if got.same {
				continue
			}
			if i > 0 { // the tags of the pages before it are not at hand
				break
			}
			pages, err = l.follow(ctx, got, into)
			return pages, false, err
		}
		if into.len() == 0 {
			return last.pages, true, nil
		}
		into.reset()
	}
	got, err := l.open(ctx, into)
	if err != nil {
		return nil, false, err
	}
	pages, err = l.follow(ctx, got, into)
	return pages, false, err
}

// first is address, or that of the first page.
func (l *lister) first(address string) string {
	if address != "" {
		return address
	}
	repository := l.target.Repository
	at := url.URL{
		Scheme: repository.Scheme(), Host: repository.RegistryStr(),
		Path: "/v2/" + repository.RepositoryStr() + registry.TagListPath,
	}
	if n := l.host.PageSize(); n > 0 {
		at.RawQuery = "n=" + strconv.Itoa(n)
	}
	return at.String()
}

// open asks for the first page. A registry that refuses its size is asked for
// half of it, and so on, and at last for whatever it likes; what it takes is
// remembered of the host.
func (l *lister) open(ctx context.Context, into *tagBuffer) (tagPage, error) {
	size := l.host.PageSize()
	got, err := l.fetch(ctx, l.first(""), "", into)
	first := err
	for n := size; refusesSize(err) && n > 0; {
		if n /= 2; n < minPageSize {
			n = 0
		}
		l.host.SetPageSize(n)
		got, err = l.fetch(ctx, l.first(""), "", into)
	}
	if err != nil && size > 0 && first != nil && refusesSize(first) {
		l.host.SetPageSize(size) // it was not the size
		return tagPage{}, first
	}
	return got, err
}

// refusesSize reports whether a registry may mean the page size.
func refusesSize(err error) bool {
	var refused *transport.Error
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return refused.StatusCode >= 400 && refused.StatusCode < 500
}

// follow fetches the pages after got. The pages it returns are those to ask for
// again; there are none when one of them has no etag, or when the last one is full,
// since a tag that comes after it would change nothing but its link.
func (l *lister) follow(ctx context.Context, got tagPage, into *tagBuffer) ([]page, error) {
	address, pages := "", []page{}
	visited := map[[sha256.Size]byte]bool{}
	for count := 1; ; count++ {
		switch {
		case into.len() > l.budget():
			return nil, fmt.Errorf("%w: more than %d tags", ErrBudget, l.budget())
		case count > maxPages:
			return nil, fmt.Errorf("%w: more than %d pages", ErrBudget, maxPages)
		case visited[sha256.Sum256([]byte(got.next))]:
			return nil, fmt.Errorf("%w: its pages go round in a circle", errPage)
		}
		if got.etag == "" || len(pages) >= maxETags {
			pages = nil
		} else if pages != nil {
			pages = append(pages, page{url: address, etag: got.etag})
		}
		if got.next == "" {
			more, ok, err := l.pageAfter(ctx, got, into)
			if err != nil {
				return nil, err
			}
			if !ok {
				break
			}
			got, pages = more, nil
			continue
		}
		address = got.next
		visited[sha256.Sum256([]byte(address))] = true
		var err error
		if got, err = l.fetch(ctx, address, "", into); err != nil {
			return nil, err
		}
	}
	if n := l.host.PageSize(); n > 0 && got.size >= n || len(pages) == 0 {
		return nil, nil
	}
	return pages, nil
}

// pageAfter asks for what comes after a page that is exactly full and has no link. Some
// registries cut there and say nothing, and others have just as many tags; of the
// latter some do not understand what they are asked, and send the same page again.
func (l *lister) pageAfter(ctx context.Context, got tagPage, into *tagBuffer) (more tagPage, ok bool, err error) {
	n := l.host.PageSize()
	if n == 0 || got.size != n {
		return tagPage{}, false, nil
	}
	known := make(map[string]bool, n)
	for i := into.len() - n; i < into.len(); i++ {
		known[string(into.at(i))] = true
	}
	before := into.len()
	address := l.first("") + "&last=" + url.QueryEscape(string(into.at(before-1)))
	more, err = l.fetch(ctx, address, "", into)
	var refused *transport.Error
	if errors.As(err, &refused) && knowsNoSuchPage(refused.StatusCode) {
		return tagPage{}, false, nil // it knows no such question, and has given all it has
	}
	if err != nil {
		return tagPage{}, false, err
	}
	for i := before; i < into.len(); i++ {
		if !known[string(into.at(i))] {
			return more, true, nil
		}
	}
	into.truncate(before)
	return tagPage{}, false, nil
}

// knowsNoSuchPage reports whether a status says that a registry cannot be asked for what
// comes after a tag. That a credential or a moment ran out in the middle says nothing of
// the list, which may go on.
func knowsNoSuchPage(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status < 500
}

// maxBytes is as long as a page within the budget can be.
func (l *lister) maxBytes() int64 {
	const around, punctuation = 64 << 10, 8
	return around + int64(l.budget())*(maxTagLength+punctuation)
}
