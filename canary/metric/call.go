// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/outbound"
)

const (
	// queryTimeout keeps a slow server from holding up an analysis.
	queryTimeout = 5 * time.Second
	// maxAnswer is many times the size of an answer that could be used.
	maxAnswer = 1 << 20
	// maxCounters is that of an answer with [maxCounterSeries] counters.
	maxCounters = 4 << 20
	// firstRead is what an answer holds at least, and perReadByte what each byte of one
	// becomes in memory while it is decoded.
	firstRead   = 4 << 10
	perReadByte = 8
)

// newClient sends requests over a shared transport. A server may lead to another one, which
// gets no header that was meant for the first: half of the providers have one of their own
// for the key.
func newClient(transport http.RoundTripper, timeout time.Duration) *http.Client {
	return outbound.NewClient(transport, outbound.Rules{Redirects: outbound.AnyServer, Timeout: timeout})
}

// ask sends a request and returns the body of a good answer. The URL is in no
// error: it may hold a key.
func ask(client *http.Client, req *http.Request) ([]byte, error) {
	resp, err := client.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, fmt.Errorf("asking %s: %w", req.URL.Host, err)
	}
	defer resp.Body.Close()
	body, err := read(req.Context(), resp.Body)
	switch {
	case errors.Is(err, budget.ErrTooLarge), errors.Is(err, budget.ErrExhausted):
		return nil, fmt.Errorf("reading the answer of %s: %w", req.URL.Host, err)
	case err != nil:
		return nil, fmt.Errorf("reading the answer of %s: it was cut off", req.URL.Host)
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return nil, statusError{resp.StatusCode, serverMessage(body)}
	case len(body) > limitOf(req.Context()):
		return nil, fmt.Errorf("the answer of %s is larger than %d bytes", req.URL.Host, limitOf(req.Context()))
	default:
		return body, nil
	}
}

// limitKey is the key of how long an answer may be if that is not [maxAnswer].
type limitKey struct{}

func limitOf(ctx context.Context) int {
	if limit, ok := ctx.Value(limitKey{}).(int); ok {
		return limit
	}
	return maxAnswer
}

// grantKey is the key of what a measurement may hold, in its context.
type grantKey struct{}

// read reads an answer up to what is too long of one, and pays for what has come and
// for what it becomes.
func read(ctx context.Context, from io.Reader) ([]byte, error) {
	grant, _ := ctx.Value(grantKey{}).(*budget.Grant)
	body := make([]byte, 0, firstRead)
	limit := limitOf(ctx)
	for len(body) <= limit {
		if len(body) == cap(body) {
			if err := grant.Grow(int64(perReadByte * cap(body))); err != nil {
				return nil, err
			}
			body = slices.Grow(body, cap(body))
		}
		n, err := from.Read(body[len(body):min(cap(body), limit+1)])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return nil, err
		}
	}
	return body, nil
}

// decode reads an answer in JSON; whose says which service has such answers.
func decode(body []byte, into any, whose string) error {
	if json.Unmarshal(body, into) != nil { // its error repeats what is wrong
		return fmt.Errorf("the server's answer is not from %s", whose)
	}
	return nil
}

// statusError is an answer that is no good.
type statusError struct {
	status int
	why    string // what a metrics server says of it, "" if it says nothing
}

func (r statusError) Error() string {
	if r.why == "" {
		return fmt.Sprintf("the server answered %d %s", r.status, http.StatusText(r.status))
	}
	return fmt.Sprintf("the server answered %d: %s", r.status, r.why)
}

// serverMessage returns the error message in the body of an answer, from the fields in which metrics
// servers put it. No other text of an answer gets into a condition: the author of a MetricTemplate
// chooses the address, and could read pages by it that only the controller can reach.
func serverMessage(body []byte) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) == nil {
		for _, key := range []string{"error", "errors", "message", "Message", "detail", "description"} {
			if text := messageText(fields[key]); text != "" {
				return excerpt(text)
			}
		}
		return ""
	}
	// AWS complains in XML.
	_, rest, _ := bytes.Cut(body, []byte("<ErrorResponse"))
	if _, rest, ok := bytes.Cut(rest, []byte("<Message>")); ok {
		text, _, _ := bytes.Cut(rest, []byte("</Message>"))
		return excerpt(html.UnescapeString(string(text)))
	}
	return ""
}

// messageText reads a message that is a text, an object with one, or a list of either.
func messageText(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var object struct {
		Message string `json:"message"`
		Title   string `json:"title"`
		Code    any    `json:"code"`
	}
	if json.Unmarshal(raw, &object) == nil {
		switch {
		case object.Message != "":
			return object.Message
		case object.Title != "":
			return object.Title
		case object.Code != nil:
			return fmt.Sprint(object.Code)
		}
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return ""
	}
	var parts []string
	for _, item := range list {
		if text := messageText(item); text != "" {
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, "; ")
}

// excerpt is the start of a text, on one line.
func excerpt(text string) string {
	const limit = 200
	// Fields of more than could be used would copy a large page for nothing.
	text = strings.Join(strings.Fields(text[:min(len(text), 4*limit)]), " ")
	if len(text) > limit {
		text = text[:limit] + "..."
	}
	return strings.ToValidUTF8(text, "")
}
