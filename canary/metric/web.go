package metric

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"k8s.io/client-go/util/jsonpath"
)

// web asks any server that answers in JSON. The query is the rest of the URL, and
// spec.provider.jsonPath says where in the answer the number is.
type web struct {
	*connection
	base  *url.URL
	login func(*http.Request)
}

func connectWeb(c *connection) (source, error) {
	base, err := c.base("")
	if err != nil {
		return nil, err
	}
	if err := checkJSONPath(c.JSONPath); err != nil {
		return nil, fmt.Errorf("jsonPath: %w", err)
	}
	login, err := c.login()
	if err != nil {
		return nil, err
	}
	return &web{c, base, login}, nil
}

// checkJSONPath refuses text outside of braces, which a template of kubectl prints
// as it is: as a number it would be one that nobody measured.
func checkJSONPath(path string) error {
	if path == "" {
		return nil
	}
	parsed, err := jsonpath.Parse("jsonPath", path)
	if err != nil {
		return fmt.Errorf("%q: %w", path, err)
	}
	if len(parsed.Root.Nodes) == 0 || slices.ContainsFunc(parsed.Root.Nodes, func(n jsonpath.Node) bool { return n.Type() == jsonpath.NodeText }) {
		return fmt.Errorf("%q is not a path in braces such as {.data.value}", path)
	}
	return nil
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

func (w *web) Query(ctx context.Context, q question) (float64, error) {
	rest, err := webQuery(q.text)
	if err != nil {
		return 0, err
	}
	address := at(w.base, rest.EscapedPath(), nil)
	if rest.RawQuery != "" {
		// As it was written: the order of parameters may matter to somebody.
		separator := "?"
		if strings.Contains(address, "?") {
			separator = "&"
		}
		address += separator + rest.RawQuery
	}
	body, err := w.get(ctx, address, w.login)
	if err != nil {
		return 0, err
	}
	return decodeWeb(body, w.JSONPath)
}

// decodeWeb picks the number out of an answer: the answer itself without a path.
func decodeWeb(body []byte, path string) (float64, error) {
	var answer any
	if err := json.Unmarshal(body, &answer); err != nil {
		return 0, fmt.Errorf("the server's answer is not JSON: %w", err)
	}
	if path == "" {
		return plain(answer)
	}
	// A parsed path keeps state while it looks for results, so that it cannot be
	// shared.
	finder := jsonpath.New("jsonPath").AllowMissingKeys(true)
	if err := finder.Parse(path); err != nil {
		return 0, fmt.Errorf("reading jsonPath: %w", err)
	}
	found, err := finder.FindResults(answer)
	switch {
	case err != nil && strings.Contains(err.Error(), "out of bounds"):
		return 0, ErrNoValues // an empty list has no first item
	case err != nil:
		return 0, fmt.Errorf("following jsonPath: %s", excerpt(err.Error()))
	}
	var result only
	for _, list := range found {
		for _, item := range list {
			if !item.IsValid() || !item.CanInterface() {
				continue
			}
			value, err := plain(item.Interface())
			switch {
			case errors.Is(err, ErrNoValues):
			case err != nil:
				return 0, err
			default:
				result.add(value)
			}
		}
	}
	return result.get()
}

// plain turns what JSON has into a number; true is 1.
func plain(value any) (float64, error) {
	switch v := value.(type) {
	case nil:
		return 0, ErrNoValues
	case float64:
		return v, nil
	case string:
		return parseNumber(v)
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	default:
		return 0, errors.New("the answer has a list or an object where a number should be: spec.provider.jsonPath must lead to one")
	}
}
