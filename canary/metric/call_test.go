// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestOrigins(t *testing.T) {
	cases := map[string]struct {
		from, to string
		want     bool
	}{
		"a path of the same":                {"http://a/x", "http://a/y", true},
		"a port that is the default":        {"https://a/", "https://a:443/", true},
		"the same host, encrypted":          {"http://a/", "https://a/", true},
		"the same host, no more encrypted":  {"https://a/", "http://a/", false},
		"another port":                      {"http://a:80/", "http://a:81/", false},
		"another port, encrypted":           {"http://a:8080/", "https://a/", false},
		"another host":                      {"http://a/", "http://b/", false},
		"a host below, which may be rented": {"http://a.example/", "http://b.a.example/", false},
	}
	for name, tc := range cases {
		from, _ := url.Parse(tc.from)
		to, _ := url.Parse(tc.to)
		if sameOrigin(from, to) != tc.want {
			t.Errorf("%s: %s to %s", name, tc.from, tc.to)
		}
	}
}

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
