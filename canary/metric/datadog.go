// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// lookback is how many windows are asked for where a server answers with points
// in time: the newest of them may be a while ago.
const lookback = 10

// datadog asks the timeseries API v1 of Datadog.
type datadog struct {
	*connection
	base *url.URL
	keys map[string]string
}

func connectDatadog(c *connection) (querier, error) {
	base, err := c.base("https://api.datadoghq.com")
	if err != nil {
		return nil, err
	}
	keys, err := c.keys("datadog_api_key", "datadog_application_key")
	if err != nil {
		return nil, err
	}
	return &datadog{c, base, keys}, nil
}

func (d *datadog) Query(ctx context.Context, q renderedQuery) (float64, error) {
	body, err := d.get(ctx, urlOf(d.base, "api/v1/query", url.Values{
		"query": {q.text},
		"from":  {strconv.FormatInt(q.now.Add(-lookback*q.window).Unix(), 10)},
		"to":    {strconv.FormatInt(q.now.Unix(), 10)},
	}), func(req *http.Request) {
		req.Header.Set("DD-API-KEY", d.keys["datadog_api_key"])
		req.Header.Set("DD-APPLICATION-KEY", d.keys["datadog_application_key"])
	})
	if err != nil {
		return 0, err
	}
	return decodeDatadog(body, q.now)
}

// datadogSeries is a series, whose points are [<unix milliseconds>, <value>].
type datadogSeries struct {
	Interval float64              `json:"interval"` // seconds that a point stands for
	Points   [][2]json.RawMessage `json:"pointlist"`
}

func decodeDatadog(body []byte, now time.Time) (float64, error) {
	var answer struct {
		Error  string          `json:"error"`
		Series []datadogSeries `json:"series"`
	}
	if err := decode(body, &answer, "Datadog"); err != nil {
		return 0, err
	}
	if answer.Error != "" {
		return 0, fmt.Errorf("the server answered: %s", excerpt(answer.Error))
	}
	var result singleValue
	for _, series := range answer.Series {
		if err := result.read(series.newest(now)); err != nil {
			return 0, err
		}
	}
	return result.get()
}

// newest is the newest value whose time is over: the bucket that now falls in is
// still being filled. Flagger takes the oldest instead, ten intervals ago, when the
// canary may not have existed.
func (s datadogSeries) newest(now time.Time) (value float64, err error) {
	times := make([]float64, len(s.Points))
	for i, point := range s.Points {
		if times[i], err = number(point[0]); err != nil {
			return 0, fmt.Errorf("reading the time of a point: %w", notEmpty(err))
		}
	}
	span := s.Interval * 1000
	if n := len(times); span == 0 && n > 1 {
		span = times[n-1] - times[n-2]
	}
	for i := len(s.Points) - 1; i >= 0; i-- {
		if times[i]+span > float64(now.UnixMilli()) {
			continue
		}
		if value, err := number(s.Points[i][1]); !errors.Is(err, ErrNoValues) {
			return value, err
		}
	}
	return 0, ErrNoValues
}

// notEmpty keeps what is missing from an answer that has values from looking like
// an answer without.
func notEmpty(err error) error {
	if errors.Is(err, ErrNoValues) {
		return errors.New("it is missing")
	}
	return err
}
