// SPDX-License-Identifier: Apache-2.0

package outbound

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestAnswersEndAtTheirLimits(t *testing.T) {
	mine := errors.New("mine")
	lists := func(req *http.Request) bool { return req.Method == http.MethodPut }
	for name, tc := range map[string]struct {
		limits Limits
		method string
		status int
		want   int // bytes that are read
		err    string
	}{
		"one as long as it may be":             {Limits{Bytes: 100}, "GET", 200, 100, ""},
		"one that is too long":                 {Limits{Bytes: 99}, "GET", 200, 99, "the answer has more than 99 bytes"},
		"one that has a name":                  {Limits{Bytes: 99, What: "the list"}, "GET", 200, 99, "the list has more than 99 bytes"},
		"one that has an error of its caller":  {Limits{Bytes: 99, Kind: mine}, "GET", 200, 99, "mine: the answer has more than 99 bytes"},
		"a refusal is bounded as others are":   {Limits{Bytes: 99}, "GET", 500, 99, "the answer has more than 99 bytes"},
		"a refusal of which a part will do":    {Limits{Bytes: 99, Refusal: 10}, "GET", 500, 10, ""},
		"a redirect of which a part will do":   {Limits{Bytes: 99, Refusal: 10}, "GET", 302, 10, ""},
		"a success next to refusals":           {Limits{Bytes: 99, Refusal: 10}, "GET", 206, 99, "the answer has more than 99 bytes"},
		"one that its caller bounds":           {Limits{Bytes: 99, Except: lists}, "PUT", 200, 100, ""},
		"one beside those that a caller does":  {Limits{Bytes: 99, Except: lists}, "GET", 200, 99, "the answer has more than 99 bytes"},
		"without a limit its caller bounds it": {Limits{}, "GET", 200, 100, ""},
	} {
		t.Run(name, func(t *testing.T) {
			closed := false
			client := NewClient(roundTrip(func(*http.Request) (*http.Response, error) {
				body := io.NopCloser(strings.NewReader(strings.Repeat("x", 100)))
				return &http.Response{StatusCode: tc.status, Body: closing{body, &closed}}, nil
			}), Rules{Limits: tc.limits})
			req, err := http.NewRequestWithContext(t.Context(), tc.method, "https://a.example/", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if len(body) != tc.want || !closed || (err == nil) != (tc.err == "") {
				t.Fatalf("read %d bytes, %v; closed: %v", len(body), err, closed)
			}
			if err != nil && (err.Error() != tc.err || !errors.Is(err, ErrTooLarge) || errors.Is(err, mine) != (tc.limits.Kind != nil)) {
				t.Errorf("got %v, want %s", err, tc.err)
			}
		})
	}
}

// closing notes that a body was closed.
type closing struct {
	io.Reader
	closed *bool
}

func (c closing) Close() error { *c.closed = true; return nil }
