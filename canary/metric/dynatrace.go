// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
)

// dynatrace asks the metrics API v2 of Dynatrace with a metric selector.
type dynatrace struct {
	*connection
	base  *url.URL
	token string
}

func connectDynatrace(c *connection) (querier, error) {
	base, err := c.base("")
	if err != nil {
		return nil, err
	}
	keys, err := c.keys("dynatrace_token")
	if err != nil {
		return nil, err
	}
	return &dynatrace{c, base, keys["dynatrace_token"]}, nil
}

// Query wants one point for the whole time, which the resolution Inf means.
func (d *dynatrace) Query(ctx context.Context, q renderedQuery) (float64, error) {
	body, err := d.get(ctx, urlOf(d.base, "api/v2/metrics/query", url.Values{
		"metricSelector": {q.text},
		"resolution":     {"Inf"},
		"from":           {strconv.FormatInt(q.now.Add(-lookback*q.window).UnixMilli(), 10)},
		"to":             {strconv.FormatInt(q.now.UnixMilli(), 10)},
	}), func(req *http.Request) { req.Header.Set("Authorization", "Api-Token "+d.token) })
	if err != nil {
		return 0, err
	}
	return decodeDynatrace(body)
}

// decodeDynatrace reads a result per metric and in it a series per dimension.
func decodeDynatrace(body []byte) (float64, error) {
	var answer struct {
		Result []struct {
			Data []struct {
				Values []json.RawMessage `json:"values"`
			} `json:"data"`
		} `json:"result"`
	}
	if err := decode(body, &answer, "Dynatrace"); err != nil {
		return 0, err
	}
	var result singleValue
	for _, metric := range answer.Result {
		for _, series := range metric.Data {
			if err := result.read(last(series.Values)); err != nil {
				return 0, err
			}
		}
	}
	return result.get()
}
