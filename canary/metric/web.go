// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// web asks any server that answers in JSON. The query is the rest of the URL, and
// spec.provider.jsonPath says where in the answer the number is.
type web struct {
	endpoint
}

func connectWeb(c *connection) (querier, error) {
	if err := checkJSONPath(c.JSONPath); err != nil {
		return nil, fmt.Errorf("jsonPath: %w", err)
	}
	asked, err := c.endpoint()
	return &web{asked}, err
}

// webQuery reads a query as the rest of a URL. It cannot leave the address: whoever
// may set a variable of the query has not been given the whole server.
func webQuery(query string) (*url.URL, error) {
	rest, err := url.Parse(urlEscape(query))
	switch {
	case err != nil:
		return nil, errors.New("it is not the rest of a URL, such as /path?name=value")
	case rest.Fragment != "":
		return nil, errors.New("it has a #, which is no part of what a server gets: write %23")
	case rest.Scheme != "" || rest.Host != "" || rest.User != nil || rest.Opaque != "":
		return nil, errors.New("it names a server; that is what spec.provider.address is for")
	case slices.Contains(strings.Split(rest.Path, "/"), ".."):
		return nil, errors.New("it leaves the path of spec.provider.address with ..")
	}
	return rest, nil
}

// urlEscape escapes what cannot be in a URL, so that a query may be written as it
// reads, and over several lines.
func urlEscape(query string) string {
	out := &strings.Builder{}
	for _, b := range []byte(strings.Join(strings.Fields(query), " ")) {
		if b <= ' ' || b >= 0x7f || strings.IndexByte("\"<>\\^`{|}", b) >= 0 {
			fmt.Fprintf(out, "%%%02X", b)
			continue
		}
		out.WriteByte(b)
	}
	return out.String()
}

func (w *web) Query(ctx context.Context, q renderedQuery) (float64, error) {
	rest, err := webQuery(q.text)
	if err != nil {
		return 0, err
	}
	address := urlOf(w.base, rest.EscapedPath(), nil)
	if rest.RawQuery != "" {
		// As it was written: the order of parameters may matter to somebody.
		separator := "?"
		if strings.Contains(address, "?") {
			separator = "&"
		}
		address += separator + rest.RawQuery
	}
	body, err := w.get(ctx, address, w.login)
	var answer statusError
	switch {
	case errors.As(err, &answer):
		return 0, statusError{status: answer.status} // it may be any server, and say anything
	case err != nil:
		return 0, err
	}
	return decodeWeb(body, w.JSONPath)
}
