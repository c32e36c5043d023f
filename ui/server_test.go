// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

func newServer(t *testing.T) *Server {
	t.Helper()
	s, err := NewServer(Options{Cluster: &Cluster{User: "eve"}, Token: "secret", Version: "v1", Clock: clock.RealClock{}, Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	close(s.ready)
	return s
}

// TestWhoMayAsk: whoever has the token, from pages of this address, by a name of this machine.
func TestWhoMayAsk(t *testing.T) {
	s := newServer(t)
	for name, test := range map[string]struct {
		request func(*http.Request)
		want    int
	}{
		"with the token": {func(r *http.Request) { r.Header.Set("Authorization", "Bearer secret") }, http.StatusOK},
		"with a cookie, which other servers of this machine are sent, too": {func(r *http.Request) {
			r.AddCookie(&http.Cookie{Name: "sluice-8080", Value: "secret"})
		}, http.StatusUnauthorized},
		"with the token in the address": {func(r *http.Request) { r.URL.RawQuery = "token=secret" }, http.StatusUnauthorized},
		"without":                       {func(*http.Request) {}, http.StatusUnauthorized},
		"with an empty token":           {func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") }, http.StatusUnauthorized},
		"with another token":            {func(r *http.Request) { r.Header.Set("Authorization", "Bearer secrets") }, http.StatusUnauthorized},
		"by a name that was made to resolve to loopback": {func(r *http.Request) {
			r.Host = "evil.example.com:8080"
			r.Header.Set("Authorization", "Bearer secret")
		}, http.StatusMisdirectedRequest},
		"by IPv6": {func(r *http.Request) {
			r.Host = "[::1]:8080"
			r.Header.Set("Authorization", "Bearer secret")
		}, http.StatusOK},
		"a change asked for by another page": {func(r *http.Request) {
			r.Method = http.MethodPost
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Authorization", "Bearer secret")
		}, http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "http://localhost:8080/api/v1/session", http.NoBody)
			test.request(r)
			w := httptest.NewRecorder()
			s.handler.ServeHTTP(w, r)
			if w.Code != test.want || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
				t.Errorf("got %d %s, want %d", w.Code, w.Body, test.want)
			}
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("tells the token: %s", w.Body)
			}
		})
	}
}

// The token was in a cookie, which a browser brings to every server of this machine that it visits, and then in the query of an address
// whose page a browser might keep in its cache.
func TestTheTokenIsInNoCookieAndInNoRequestForThePage(t *testing.T) {
	s := newServer(t)
	printed, err := url.Parse(LoginURL(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}, "a&b"))
	if err != nil {
		t.Fatal(err)
	}
	if token, err := url.ParseQuery(printed.EscapedFragment()); err != nil || token.Get("token") != "a&b" {
		t.Errorf("the printed address %s has the token %q (%v)", printed, token, err)
	}
	printed.Fragment = "" // as a browser asks for it
	if printed.String() != "http://127.0.0.1:8080/login" {
		t.Errorf("a browser asks for %s", printed)
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, printed.String(), http.NoBody))
	page := httptest.NewRecorder()
	s.handler.ServeHTTP(page, httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8080/", http.NoBody))
	if w.Code != page.Code || w.Body.String() != page.Body.String() || len(w.Result().Cookies()) > 0 {
		t.Errorf("got %d %v %.100s, want the page", w.Code, w.Result().Cookies(), w.Body)
	}
}

// TestTheStreamTakesTheTokenFromItsAddress: browsers send no header for it.
func TestTheStreamTakesTheTokenFromItsAddress(t *testing.T) {
	s := newServer(t)
	for query, want := range map[string]bool{"token=secret": true, "token=secrets": false, "token=": false, "": false} {
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8080/api/v1/stream?"+query, http.NoBody)
		if _, err := s.authenticator.authenticate(r); (err == nil) != want {
			t.Errorf("%q: %v", query, err)
		}
	}
}

// TestThePage has its files, and one index for all its screens.
func TestThePage(t *testing.T) {
	p, err := newPage(fstest.MapFS{
		"index.html": {Data: []byte("<html>")}, "assets/app-1.js": {Data: []byte("run()")}, "icon.svg": {Data: []byte("<svg>")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]struct {
		code        int
		body, cache string
	}{
		"/":                        {http.StatusOK, "<html>", "no-cache"},
		"/canaries/apps/podinfo":   {http.StatusOK, "<html>", "no-cache"},
		"/index.html":              {http.StatusOK, "<html>", "no-cache"},
		"/icon.svg":                {http.StatusOK, "<svg>", "no-cache"},
		"/assets/app-1.js":         {http.StatusOK, "run()", "public, max-age=31536000, immutable"},
		"/assets/app-0.js":         {http.StatusNotFound, "404 page not found\n", ""},
		"/assets/":                 {http.StatusNotFound, "404 page not found\n", ""},
		"/assets/%88":              {http.StatusNotFound, "404 page not found\n", ""}, // was our own error
		"/assets/../../server.go":  {http.StatusNotFound, "", ""},
		"/../../../../etc/passwd":  {http.StatusOK, "<html>", "no-cache"},
		"/assets/%2e%2e/icon.svg/": {http.StatusNotFound, "", ""},
	} {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost"+path, http.NoBody))
		if w.Code != want.code && want.body != "" || want.body != "" && w.Body.String() != want.body {
			t.Errorf("%s: got %d %q", path, w.Code, w.Body)
		}
		if want.code == http.StatusOK && w.Header().Get("Cache-Control") != want.cache {
			t.Errorf("%s: cached as %q", path, w.Header().Get("Cache-Control"))
		}
	}
	unbuilt, err := newPage(fstest.MapFS{})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	unbuilt.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost/", http.NoBody))
	if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "make build") {
		t.Errorf("without a page: %d %s", w.Code, w.Body)
	}
}

// TestAReaderIsToldWhatHasChanged since it was told last, however many changes it missed.
func TestAReaderIsToldWhatHasChanged(t *testing.T) {
	lanes := func(of ...string) []encoded {
		var found []encoded
		for _, text := range of {
			key, _, _ := strings.Cut(text, "=")
			found = append(found, encoded{key: key, json: json.RawMessage(text)})
		}
		return found
	}
	r := &reader{}
	for i, step := range []struct {
		lanes     []encoded
		reset     bool
		set, gone []string
		nothing   bool
	}{
		{lanes: lanes("a=1", "b=1"), reset: true, set: []string{"a=1", "b=1"}},
		{lanes: lanes("b=1", "a=1"), nothing: true},
		{lanes: lanes("a=3", "b=1", "c=1"), set: []string{"a=3", "c=1"}},
		{lanes: lanes("c=1"), gone: []string{"a", "b"}},
		{lanes: lanes(), gone: []string{"c"}},
		{lanes: lanes(), nothing: true},
	} {
		event := r.news(step.lanes)
		if (event == nil) != step.nothing {
			t.Fatalf("step %d: got %+v", i, event)
		}
		if event == nil {
			continue
		}
		var set []string
		for _, text := range event.Set {
			set = append(set, string(text))
		}
		slices.Sort(event.Gone)
		if event.Reset != step.reset || !slices.Equal(set, step.set) || !slices.Equal(event.Gone, append([]string{}, step.gone...)) {
			t.Errorf("step %d: got reset %v, set %q, gone %q", i, event.Reset, set, event.Gone)
		}
	}
}
