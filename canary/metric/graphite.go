// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// graphite asks the render API of Graphite. The query is the query string of the
// URL, such as target=...&from=-2min.
type graphite struct {
	endpoint
}

func connectGraphite(c *connection) (querier, error) {
	asked, err := c.endpoint()
	return &graphite{asked}, err
}

// graphiteQuery reads a query, which may be spread over lines.
func graphiteQuery(query string) (url.Values, error) {
	values, err := url.ParseQuery(strings.Join(strings.Fields(query), " "))
	if err != nil {
		return nil, fmt.Errorf("it is no query string of a URL: %w", err)
	}
	if len(values["target"]) == 0 {
		return nil, fmt.Errorf("it has no target=")
	}
	values.Set("format", "json")
	return values, nil
}

func (g *graphite) Query(ctx context.Context, q renderedQuery) (float64, error) {
	values, err := graphiteQuery(q.text)
	if err != nil {
		return 0, err
	}
	body, err := g.get(ctx, urlOf(g.base, "render", values), g.login)
	if err != nil {
		return 0, err
	}
	return decodeGraphite(body)
}

// decodeGraphite reads series of [<value>, <unix time>], the newest last. A time
// for which nothing has arrived yet has the value null.
func decodeGraphite(body []byte) (float64, error) {
	var answer []struct {
		Points [][]json.RawMessage `json:"datapoints"`
	}
	if err := decode(body, &answer, "Graphite"); err != nil {
		return 0, err
	}
	var result singleValue
	for _, series := range answer {
		values := make([]json.RawMessage, 0, len(series.Points))
		for _, point := range series.Points {
			if len(point) != 2 {
				return 0, fmt.Errorf("reading a point: it has %d parts, not a value and a time", len(point))
			}
			values = append(values, point[0])
		}
		if err := result.read(last(values)); err != nil {
			return 0, err
		}
	}
	return result.get()
}
