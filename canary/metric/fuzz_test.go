// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"bytes"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// FuzzDecoders lets the server of every provider answer every body: each must refuse
// what it does not understand, and never take NaN for a number.
func FuzzDecoders(f *testing.F) {
	var answer []byte
	servers, queries := map[string]querier{}, map[string]renderedQuery{}
	filled := strings.NewReplacer("{{ namespace }}", "staging", "{{ target }}", "app", "{{ interval }}", "1m")
	for name, r := range recordings(f) {
		servers[name] = answeredBy(f, name, &answer)
		queries[name] = renderedQuery{text: filled.Replace(r.query), now: now, window: time.Minute}
		for _, body := range append([]string{r.value, r.several, r.failure}, r.empty...) {
			f.Add([]byte(body))
		}
	}
	for name := range serverTypes {
		if servers[name] == nil && name != "keptn" { // which is refused
			f.Errorf("provider %s has no recording", name)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		answer = body
		for name, server := range servers {
			value, err := server.Query(t.Context(), queries[name])
			if err == nil && math.IsNaN(value) {
				t.Fatalf("%s took NaN for a value", name)
			}
			if err != nil && value != 0 {
				t.Fatalf("%s: value %v beside error %v", name, value, err)
			}
		}
		if text := serverMessage(body); len(text) > 210 {
			t.Fatalf("a complaint of %d bytes", len(text))
		}
	})
}

type transportFunc func(*http.Request) *http.Response

func (f transportFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req), nil }

// answeredBy connects to a server without a network, whose answers are all the same.
func answeredBy(f *testing.F, name string, answer *[]byte) querier {
	f.Helper()
	const address = "http://server.example"
	r := recordings(f)[name]
	c := &connection{MetricTemplateProvider: r.spec, namespace: "staging", secret: map[string][]byte{}}
	c.Type, c.Address = name, address
	if r.secret != nil {
		c.SecretRef = &flaggerv1.SecretReference{Name: "login"}
	}
	for key, value := range r.secret {
		c.secret[key] = []byte(strings.ReplaceAll(value, "%s", address))
	}
	c.checker = NewChecker(nil, "", newHurriedClock())
	c.client = &http.Client{Transport: transportFunc(func(req *http.Request) *http.Response {
		body := *answer
		if req.URL.Path == "/token" {
			body = []byte(`{"access_token":"google-token","token_type":"Bearer","expires_in":3600}`)
		}
		return &http.Response{
			StatusCode: http.StatusOK, Request: req, Body: io.NopCloser(bytes.NewReader(body)),
			Header: http.Header{"Content-Type": {"application/json"}},
		}
	})}
	server, err := serverTypes[name].connect(c)
	if err != nil {
		f.Fatalf("%s: %v", name, err)
	}
	return server
}

func FuzzWeb(f *testing.F) {
	f.Add([]byte(`{"data":{"errors":["42.5"]}}`), `{.data.errors[*]}`)
	f.Add([]byte(`{"a":[{"b":"c"}]}`), `{range .a[*]}{.b}{end}`)
	f.Add([]byte(`{"a":[{"b":"c"}]}`), `{..b}`)
	f.Add([]byte(`[1,2,3]`), `{[-1:]}`)
	f.Add([]byte(`[{"a":1}]`), `{[?(@.a>0)].a}`)
	f.Add([]byte(`true`), ``)
	f.Fuzz(func(t *testing.T, body []byte, path string) {
		if checkJSONPath(path) != nil {
			return
		}
		value, err := decodeWeb(body, path)
		if err == nil && math.IsNaN(value) {
			t.Fatal("NaN passed for a value")
		}
		if err != nil && value != 0 {
			t.Fatalf("value %v beside error %v", value, err)
		}
	})
}
