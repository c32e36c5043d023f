// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/judge/counter"
)

// Active finds when a canary had requests between two times: the points, a step apart, at which its counters are
// higher than at the one before.
type Active func(ctx context.Context, from, to time.Time, step time.Duration) ([]time.Time, error)

// maxPoints is how many points a range query has at most; Prometheus gives no more than 11,000.
const maxPoints = 10_000

// PrepareActivity reads all that it takes to find out when a canary had requests, by the counters that
// [Checker.PrepareCounters] reads.
func (k *Checker) PrepareActivity(ctx context.Context, c *flaggerv1.Canary, metrics ...flaggerv1.CanaryMetric) (Active, error) {
	p, err := k.preparedCounters(ctx, c, metrics)
	if err != nil {
		return nil, err
	}
	server, ok := p.server.(matrixServer)
	if !ok {
		return nil, fmt.Errorf("%s: the server has no ranges of time", p.field)
	}
	return func(ctx context.Context, from, to time.Time, step time.Duration) ([]time.Time, error) {
		if step < time.Second {
			return nil, fmt.Errorf("a step of %s is less than a second", step)
		}
		var times []time.Time
		for at := from; at.Before(to); at = at.Add(maxPoints * step) {
			over := timeRange{at.Add(-step), earlier(at.Add(maxPoints*step), to), step}
			found, err := p.activity(ctx, server, over)
			if err == nil && len(found) == 0 && p.otherwise != nil {
				found, err = p.otherwise.activity(ctx, server, over)
			}
			if err != nil {
				return nil, fmt.Errorf("looking for requests of the canary: %w", p.secrets.Error(err))
			}
			times = append(times, found...)
		}
		return times, nil
	}, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// timeRange are the points of a range query: from, from+step and so on, up to to.
type timeRange struct {
	from, to time.Time
	step     time.Duration
}

// matrixServer answers range queries by matrices.
type matrixServer interface {
	matrix(ctx context.Context, query string, over timeRange) ([]byte, error)
}

// matrix implements matrixServer.
func (p *prometheus) matrix(ctx context.Context, query string, over timeRange) ([]byte, error) {
	seconds := func(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }
	values := url.Values{"query": {query}, "start": {seconds(over.from)}, "end": {seconds(over.to)},
		"step": {strconv.FormatFloat(over.step.Seconds(), 'f', -1, 64)}}
	return p.get(ctx, urlOf(p.base, "api/v1/query_range", values), p.login)
}

// matrix implements matrixServer.
func (c configured) matrix(ctx context.Context, query string, over timeRange) ([]byte, error) {
	server, ok := c.querier.(matrixServer)
	if !ok {
		return nil, fmt.Errorf("the server of %s has no ranges of time", c.by)
	}
	body, err := server.matrix(ctx, query, over)
	return body, c.named(err)
}

// activity asks for the sum of all counters of the canary's requests, in both forms that they may have.
func (p *preparedCounters) activity(ctx context.Context, server matrixServer, over timeRange) ([]time.Time, error) {
	v, err := p.vars(ctx, counter.Canary)
	if err != nil {
		return nil, err
	}
	classic, err := p.armText(ctx, counter.Canary, v, classicHistogram)
	if err != nil {
		return nil, err
	}
	ctx = context.WithValue(ctx, limitKey{}, maxCounters)
	ask := func(text string) ([]byte, error) {
		return server.matrix(ctx, fmt.Sprintf("sum by (%s) (%s)", classLabel, text), over)
	}
	if p.proxy == nil || p.proxy.requestsHistogram() == "" {
		body, err := ask(classic)
		return risesOf(body, err, over)
	}
	native, err := p.armText(ctx, counter.Canary, v, nativeHistogram)
	if err != nil {
		return nil, err
	}
	body, err := ask(classic + "\nor\n" + native)
	if err != nil && cannotAnswer(err) {
		body, err = ask(classic)
	}
	return risesOf(body, err, over)
}

func risesOf(body []byte, err error, over timeRange) ([]time.Time, error) {
	if err != nil {
		return nil, err
	}
	return rises(body, over)
}

// rises are the points at which more requests were counted than at the one before.
func rises(body []byte, over timeRange) ([]time.Time, error) {
	matrix, err := matrixOf(body)
	if err != nil {
		return nil, err
	}
	active := map[int64]bool{}
	for _, series := range matrix {
		if class := counter.Class(series.Labels[classLabel]); class != counter.Requests && class != counter.Timed {
			continue
		}
		if err := series.markRises(active, over.step); err != nil {
			return nil, err
		}
	}
	var times []time.Time
	for at := over.from.Add(over.step); !at.After(over.to); at = at.Add(over.step) {
		if active[at.UnixMilli()] {
			times = append(times, at)
		}
	}
	return times, nil
}

// rangeSeries is one series of a matrix.
type rangeSeries struct {
	Labels map[string]string `json:"metric"`
	Values []sample          `json:"values"`
}

// matrixOf reads the answer of a Prometheus API to a query about a range.
func matrixOf(body []byte) ([]rangeSeries, error) {
	var answer struct {
		Error string `json:"error"`
		Data  struct {
			Type   string        `json:"resultType"`
			Result []rangeSeries `json:"result"`
		} `json:"data"`
	}
	switch err := decode(body, &answer, "a Prometheus API"); {
	case err != nil:
		return nil, err
	case answer.Error != "":
		return nil, fmt.Errorf("the server answered: %s", excerpt(answer.Error))
	case answer.Data.Type != "matrix":
		return nil, errors.New("the query returns no matrix")
	}
	return answer.Data.Result, nil
}

// markRises marks the points, in milliseconds, at which the counter has more than at the one before. After a gap it began at zero.
func (s rangeSeries) markRises(active map[int64]bool, step time.Duration) error {
	last, lastAt := math.NaN(), math.NaN()
	for _, point := range s.Values {
		value, err := point.value()
		var at float64
		if err == nil {
			err = json.Unmarshal(point[0], &at)
		}
		if err != nil {
			return errors.New("reading a matrix: a value is none")
		}
		before := last
		if at-lastAt > 1.5*step.Seconds() || math.IsNaN(before) {
			before = 0
		}
		if value > before {
			active[int64(math.Round(at*1000))] = true
		}
		last, lastAt = value, at
	}
	return nil
}
