// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
)

// page is one request for a part of a tag list.
type page struct {
	last string // tags up to and with this one were seen
	size int    // 0 = all that remain
}

func newPage(query url.Values) (page, error) {
	p := page{last: query.Get("last")}
	n := query.Get("n")
	if n == "" {
		return p, nil
	}
	size, err := strconv.Atoi(n)
	if err != nil || size < 0 {
		return p, fmt.Errorf("n=%q is no page size", n)
	}
	p.size = size
	return p, nil
}

// of cuts the page out of all tags, which are sorted.
func (p page) of(tags []string) (part []string, more bool) {
	if p.last != "" {
		after, found := slices.BinarySearch(tags, p.last)
		if found {
			after++
		}
		tags = tags[after:]
	}
	if p.size == 0 || p.size >= len(tags) {
		return tags, false
	}
	return tags[:p.size], true
}

// next is the value of the Link header.
func (p page) next(path, last string) string {
	query := url.Values{"n": {strconv.Itoa(p.size)}, "last": {last}}
	return fmt.Sprintf("<%s?%s>; rel=%q", path, query.Encode(), "next")
}
