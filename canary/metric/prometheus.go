// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// prometheus asks instant queries of a Prometheus server, or of anything else
// that speaks its HTTP API.
type prometheus struct {
	endpoint
}

func connectPrometheus(c *connection) (querier, error) {
	asked, err := c.endpoint()
	return &prometheus{asked}, err
}

// Query returns the value of the only series of the answer.
func (p *prometheus) Query(ctx context.Context, q renderedQuery) (float64, error) {
	body, err := p.get(ctx, urlOf(p.base, "api/v1/query", url.Values{"query": {q.text}}), p.login)
	if err != nil {
		return 0, err
	}
	return decodePrometheus(body)
}

// vector implements vectorServer: the answer to a query about a time.
func (p *prometheus) vector(ctx context.Context, query string, when time.Time) ([]byte, error) {
	values := url.Values{"query": {query}, "time": {strconv.FormatFloat(float64(when.UnixMilli())/1000, 'f', 3, 64)}}
	return p.get(ctx, urlOf(p.base, "api/v1/query", values), p.login)
}

// decodePrometheus reads an answer to an instant query; the shape of the result
// depends on its type.
func decodePrometheus(body []byte) (float64, error) {
	answer, err := decodeResult(body)
	switch {
	case err != nil:
		return 0, err
	case answer.ResultType == "vector":
		return decodeVector(answer.Result)
	case answer.ResultType == "scalar":
		var s sample
		if err := json.Unmarshal(answer.Result, &s); err != nil {
			return 0, errors.New("reading a scalar: it is none")
		}
		return s.value()
	case slices.Contains([]string{"matrix", "string", "streams"}, answer.ResultType):
		return 0, fmt.Errorf("the query returns a %q, not a single value", answer.ResultType)
	default:
		return 0, errors.New("the query does not return a single value")
	}
}

// result is what an answer to a query holds, in the form that its type says.
type result struct {
	ResultType string          `json:"resultType"`
	Result     json.RawMessage `json:"result"`

	warnings []string
}

// incomplete is why a server that asks others, such as Thanos, has not all series that there are; empty if it has. What
// PromQL warns of is about the query.
func (r result) incomplete() string {
	for _, warning := range r.warnings {
		if !strings.HasPrefix(warning, "PromQL ") {
			return excerpt(warning)
		}
	}
	return ""
}

// decodeResult reads an answer to any query.
func decodeResult(body []byte) (result, error) {
	var answer struct {
		Error    string   `json:"error"`
		Warnings []string `json:"warnings"`
		Data     result   `json:"data"`
	}
	if err := decode(body, &answer, "a Prometheus API"); err != nil {
		return result{}, err
	}
	answer.Data.warnings = answer.Warnings
	if answer.Error != "" {
		return result{}, fmt.Errorf("the server answered: %s", excerpt(answer.Error))
	}
	return answer.Data, nil
}

func decodeVector(result json.RawMessage) (float64, error) {
	var vector []struct {
		Value sample `json:"value"`
	}
	if err := json.Unmarshal(result, &vector); err != nil {
		return 0, errors.New("reading a vector: it is none")
	}
	switch len(vector) {
	case 0:
		return 0, ErrNoValues
	case 1:
		return vector[0].Value.value()
	default:
		return 0, fmt.Errorf("%w: %d", ErrManySeries, len(vector))
	}
}

// sample is [<unix time>, "<value>"].
type sample [2]json.RawMessage

func (s sample) value() (float64, error) {
	if len(s[1]) == 0 {
		return 0, errors.New("reading a sample: it has no value")
	}
	return number(s[1])
}
