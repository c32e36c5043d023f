package metric

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// queryTimeout keeps a slow server from holding up an analysis.
	queryTimeout = 5 * time.Second
	// maxAnswer is many times the size of an answer that could be used.
	maxAnswer = 1 << 20
)

// ErrManySeries means that a query returned several series, so that nothing
// says which of them is the value. Wrap it in sum() or the like.
var ErrManySeries = errors.New("more than one series found")

// prometheus asks instant queries of a Prometheus server, or of anything else
// that speaks its HTTP API.
type prometheus struct {
	endpoint           url.URL
	headers            http.Header
	token              string
	username, password string
	client             *http.Client
}

// newPrometheus fails for an address that is no absolute HTTP URL.
func newPrometheus(address string, transport *http.Transport) (*prometheus, error) {
	base, err := url.Parse(address)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("%q is not the URL of a Prometheus server", address)
	}
	return &prometheus{endpoint: *base.JoinPath("api/v1/query"), client: &http.Client{Transport: transport, Timeout: queryTimeout}}, nil
}

// Query returns the value of the only series of the answer.
func (p *prometheus) Query(ctx context.Context, query string) (float64, error) {
	endpoint := p.endpoint
	endpoint.RawQuery = url.Values{"query": {query}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint.String(), nil)
	if err != nil {
		return 0, err
	}
	// The headers belong to an object in the informer's cache.
	if p.headers != nil {
		req.Header = p.headers.Clone()
	}
	switch {
	case p.token != "":
		req.Header.Set("Authorization", "Bearer "+p.token)
	case p.username != "":
		req.SetBasicAuth(p.username, p.password)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, fmt.Errorf("reading the answer of %s: %w", p.endpoint.Host, err)
	}
	return decode(resp.StatusCode, body)
}

// answer is the envelope of the API; result depends on resultType.
type answer struct {
	Status string `json:"status"`
	Error  string `json:"error"`
	Data   struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	} `json:"data"`
}

// sample is [<unix time>, "<value>"].
type sample [2]json.RawMessage

// decode reads an answer to an instant query.
func decode(status int, body []byte) (float64, error) {
	var a answer
	err := json.Unmarshal(body, &a)
	switch {
	case err == nil && a.Error != "":
		return 0, fmt.Errorf("the server answered %d: %s", status, a.Error)
	case status != http.StatusOK:
		return 0, fmt.Errorf("the server answered %d: %s", status, excerpt(body))
	case err != nil:
		return 0, fmt.Errorf("the server's answer is not from a Prometheus API: %w", err)
	}
	switch a.Data.ResultType {
	case "vector":
		return decodeVector(a.Data.Result)
	case "scalar":
		var s sample
		if err := json.Unmarshal(a.Data.Result, &s); err != nil {
			return 0, fmt.Errorf("reading a scalar: %w", err)
		}
		return s.value()
	default:
		return 0, fmt.Errorf("the query returns a %q, not a single value", a.Data.ResultType)
	}
}

func decodeVector(result json.RawMessage) (float64, error) {
	var vector []struct {
		Value sample `json:"value"`
	}
	if err := json.Unmarshal(result, &vector); err != nil {
		return 0, fmt.Errorf("reading a vector: %w", err)
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

func (s sample) value() (float64, error) {
	var text string
	if err := json.Unmarshal(s[1], &text); err != nil {
		return 0, fmt.Errorf("reading a sample: %w", err)
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("reading a sample: %w", err)
	}
	if math.IsNaN(value) {
		return 0, ErrNoValues
	}
	return value, nil
}

// excerpt is the start of a page of whatever sits in front of the server.
func excerpt(body []byte) string {
	const limit = 200
	text := strings.Join(strings.Fields(string(body)), " ")
	if len(text) > limit {
		return strings.ToValidUTF8(text[:limit], "") + "..."
	}
	return text
}

// transports are shared by all queries, so that connections are.
type transports struct {
	verifying, trusting *http.Transport
}

func newTransports() transports {
	verifying := http.DefaultTransport.(*http.Transport).Clone()
	trusting := verifying.Clone()
	trusting.TLSClientConfig = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
	return transports{verifying: verifying, trusting: trusting}
}
