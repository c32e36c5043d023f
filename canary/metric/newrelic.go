// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// newrelic asks the Insights query API of New Relic in NRQL.
type newrelic struct {
	*connection
	base *url.URL
	keys map[string]string
}

func connectNewRelic(c *connection) (querier, error) {
	base, err := c.base("https://insights-api.newrelic.com")
	if err != nil {
		return nil, err
	}
	keys, err := c.keys("newrelic_account_id", "newrelic_query_key")
	if err != nil {
		return nil, err
	}
	return &newrelic{c, base, keys}, nil
}

// Query adds the window to the query, which must not have a SINCE of its own.
func (n *newrelic) Query(ctx context.Context, q renderedQuery) (float64, error) {
	path := "v1/accounts/" + url.PathEscape(n.keys["newrelic_account_id"]) + "/query"
	body, err := n.get(ctx, urlOf(n.base, path, url.Values{
		"nrql": {fmt.Sprintf("%s SINCE %d seconds ago", q.text, int64(q.window/time.Second))},
	}), func(req *http.Request) { req.Header.Set("X-Query-Key", n.keys["newrelic_query_key"]) })
	if err != nil {
		return 0, err
	}
	return decodeNewRelic(body)
}

// decodeNewRelic reads a list of results, each an object with the name of the
// function and its value. An arithmetic expression is called result.
func decodeNewRelic(body []byte) (float64, error) {
	var answer struct {
		Error   json.RawMessage              `json:"error"`
		Results []map[string]json.RawMessage `json:"results"`
		Facets  []json.RawMessage            `json:"facets"`
	}
	if err := decode(body, &answer, "New Relic"); err != nil {
		return 0, err
	}
	switch {
	case messageText(answer.Error) != "":
		return 0, fmt.Errorf("the server answered: %s", excerpt(messageText(answer.Error)))
	case len(answer.Facets) > 0:
		return 0, fmt.Errorf("%w: %d facets", ErrManySeries, len(answer.Facets))
	case len(answer.Results) == 0:
		return 0, ErrNoValues
	case len(answer.Results) > 1:
		return 0, fmt.Errorf("%w: %d", ErrManySeries, len(answer.Results))
	}
	fields := answer.Results[0]
	if value, ok := fields["result"]; ok {
		return number(value)
	}
	if len(fields) > 1 {
		return 0, fmt.Errorf("%w: the result has %d values, and none is called result", ErrManySeries, len(fields))
	}
	for _, value := range fields {
		return number(value)
	}
	return 0, ErrNoValues
}
