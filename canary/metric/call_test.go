// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"net/http"
	"strings"
	"testing"
)

// TestARedirectWithinAServerKeepsCredentials: some move /api/v1 to another path.
func TestARedirectWithinAServerKeepsCredentials(t *testing.T) {
	r := recordings(t)["datadog"]
	r.spec.Type = "datadog"
	s := newTestServer(t, r, "DD-API-KEY")
	s.handle(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/there" {
			http.Redirect(w, req, "/there", http.StatusFound)
			return
		}
		_, _ = w.Write([]byte(r.value))
	})
	if got, err := s.check(t); err != nil || got != 42.5 || !strings.Contains(s.asked[1], "DD-API-KEY: api-s3cret") {
		t.Errorf("got %v, %v, asked %v", got, err, s.asked)
	}
	s.handle(func(w http.ResponseWriter, req *http.Request) { http.Redirect(w, req, "/again", http.StatusFound) })
	if _, err := s.check(t); err == nil || !strings.Contains(err.Error(), "redirects") {
		t.Errorf("went round in circles: %v", err)
	}
}

func TestComplaints(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":"text"}`:                              "text",
		`{"error":{"message":"in an object"}}`:          "in an object",
		`{"error":{"title":"with a title"}}`:            "with a title",
		`{"errors":["one","two"]}`:                      "one; two",
		`{"errors":[{"code":"ONE"},{"message":"two"}]}`: "ONE; two",
		`{"code":400,"message":"plain"}`:                "plain",
		`{"error":" many \n lines "}`:                   "many lines",
		`{"error":"` + strings.Repeat("é", 150) + `"}`:  strings.Repeat("é", 100) + "...",
		// What no metrics server says may be anything, and is not repeated.
		`{"other":1}`: "",
		`<ErrorResponse><Message>not &lt;you&gt;</Message></ErrorResponse>`: "not <you>",
		`<Error><Message>not &lt;you&gt;</Message></Error>`:                 "",
		"  many \n lines ":                                          "",
		strings.Repeat("x", 300):                                    "",
		`{"error":"` + strings.Repeat("y", 300) + `"}`:              strings.Repeat("y", 200) + "...",
		`<ErrorResponse><Error><Message>open` + "\xff" + `</Error>`: "open</Error>",
		``:     "",
		`null`: "",
	} {
		if got := serverMessage([]byte(body)); got != want {
			t.Errorf("%.40s: want %q, got %q", body, want, got)
		}
	}
}
