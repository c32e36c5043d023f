// SPDX-License-Identifier: Apache-2.0

package outbound

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// chain are the requests of a client that was sent from one URL to the next.
func chain(t *testing.T, method string, urls ...string) (*http.Request, []*http.Request) {
	t.Helper()
	var requests []*http.Request
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		requests = append(requests, &http.Request{Method: method, URL: u, Header: http.Header{
			"Accept": {"application/json"}, "Authorization": {"Bearer secret"}, "X-Api-Key": {"secret"},
			"Referer": {"https://a.example/?key=secret"},
		}})
	}
	last := len(requests) - 1
	return requests[last], requests[:last]
}

func TestRedirects(t *testing.T) {
	const get, post = http.MethodGet, http.MethodPost
	images := Within(func(_, to *http.Request) error {
		if strings.HasSuffix(to.URL.Path, ".png") {
			return nil
		}
		return errOther
	})
	many := strings.Split(strings.Repeat("https://a.example/x ", maxRedirects)+"https://a.example/x", " ")
	followed := error(nil)
	policies := []struct {
		name   string
		policy Redirects
	}{{"Return", Return}, {"Refuse", Refuse}, {"SameServer", SameServer}, {"AnyServer", AnyServer}, {"Reads", Reads}, {"Within", images}}
	answer := http.ErrUseLastResponse
	for name, tc := range map[string]struct {
		method string
		urls   []string
		want   [6]error // of the policies, in their order
	}{
		"within a server": {
			get, []string{"https://a.example/x", "https://a.example/y"},
			[6]error{answer, errRefused, followed, followed, followed, errOther},
		},
		"to the port that was meant": {
			get, []string{"https://a.example/x", "https://A.example:443/y"},
			[6]error{answer, errRefused, followed, followed, followed, errOther},
		},
		"to another port": {
			get, []string{"https://a.example/x", "https://a.example:8443/y"},
			[6]error{answer, errRefused, errOther, followed, followed, errOther},
		},
		"to another server": {
			get, []string{"https://a.example/x", "https://b.example/y"},
			[6]error{answer, errRefused, errOther, followed, followed, errOther},
		},
		"to what leads on": {
			get, []string{"https://a.example/x", "https://b.example/y.png"},
			[6]error{answer, errRefused, errOther, followed, followed, followed},
		},
		"back, by another server": {
			get, []string{"https://a.example/x", "https://b.example/y.png", "https://a.example/z"},
			[6]error{answer, errRefused, followed, followed, followed, errOther},
		},
		"from http to https": {
			get, []string{"http://a.example/x", "https://a.example/x"},
			[6]error{answer, errRefused, errOther, followed, followed, errOther},
		},
		"from https to http": {
			get, []string{"https://a.example/x", "http://a.example/x.png"},
			[6]error{answer, errRefused, errDowngrade, errDowngrade, errDowngrade, errDowngrade},
		},
		"from http to https, and back": {
			get, []string{"http://a.example/x", "https://a.example/x", "http://a.example/x.png"},
			[6]error{answer, errRefused, errDowngrade, errDowngrade, errDowngrade, errDowngrade},
		},
		"to a file": {
			get, []string{"http://a.example/x", "file:///etc/passwd.png"},
			[6]error{answer, errRefused, errScheme, errScheme, errScheme, errScheme},
		},
		"of what writes, within a server": {
			post, []string{"https://a.example/x", "https://a.example/y"},
			[6]error{answer, errRefused, followed, followed, answer, errOther},
		},
		"of what writes, to another server": {
			post, []string{"https://a.example/x", "https://b.example/y"},
			[6]error{answer, errRefused, errOther, errOther, answer, errOther},
		},
		"as often as may be": {
			get, many, [6]error{answer, errRefused, followed, followed, followed, errOther},
		},
	} {
		for i, p := range policies {
			req, via := chain(t, tc.method, tc.urls...)
			if err := p.policy.follow(req, via); err != tc.want[i] { //nolint:errorlint // they are these
				t.Errorf("%s, %s: %v, want %v", name, p.name, err, tc.want[i])
			}
		}
	}
	for _, p := range policies[2:] {
		req, via := chain(t, get, append(many, "https://a.example/x")...)
		if err := p.policy.follow(req, via); !errors.Is(err, ErrRedirect) || !strings.Contains(err.Error(), "more than 5 times") {
			t.Errorf("once more, %s: %v", p.name, err)
		}
		req, via = chain(t, get, "https://a.example/x", "https://a.example/x")
		via[0].Method = post
		if err := p.policy.follow(req, via); err != http.ErrUseLastResponse { //nolint:errorlint // it is this
			t.Errorf("a write that became a read, %s: %v", p.name, err)
		}
	}
}

func TestWhatGoesAlongARedirect(t *testing.T) {
	for name, tc := range map[string]struct {
		urls []string
		all  bool
	}{
		"within a server all does":       {[]string{"https://a.example/x", "https://user:pass@a.example/y"}, true},
		"from http to https all does":    {[]string{"http://a.example/x", "https://user:pass@a.example/y"}, true},
		"to another server nothing does": {[]string{"https://a.example/x", "https://user:pass@b.example/y"}, false},
		"to one below nothing does":      {[]string{"https://a.example/x", "https://user:pass@b.a.example/y"}, false},
		"to another port nothing does":   {[]string{"https://a.example/x", "https://user:pass@a.example:8443/y"}, false},
		"back by another nothing does":   {[]string{"https://a.example/x", "https://b.example/y", "https://user:pass@a.example/z"}, false},
	} {
		req, via := chain(t, http.MethodGet, tc.urls...)
		if err := Redirects(AnyServer).follow(req, via); err != nil {
			t.Fatal(err)
		}
		kept := req.URL.User != nil && len(req.Header) == 4
		bare := req.URL.User == nil && len(req.Header) == 1 && req.Header.Get("Accept") == "application/json"
		if kept != tc.all || bare == tc.all {
			t.Errorf("%s: user %v, header %v", name, req.URL.User, req.Header)
		}
	}
}

// TestATransportChecksRedirects is of libraries whose clients follow all.
func TestATransportChecksRedirects(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/once":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/away":
			http.Redirect(w, r, "http://other.example/", http.StatusFound)
		case "/around":
			http.Redirect(w, r, "/around", http.StatusFound)
		}
	}))
	defer server.Close()
	client := &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
		if err := Redirects(SameServer).Check(req); err != nil {
			return nil, err
		}
		return http.DefaultTransport.RoundTrip(req)
	})}
	for path, want := range map[string]string{
		"GET /": "", "GET /once": "", "GET /away": "another server", "GET /around": "more than 5 times", "POST /once": "something that is read",
	} {
		method, path, _ := strings.Cut(path, " ")
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		if (err == nil) != (want == "") || err != nil && (!errors.Is(err, ErrRedirect) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s %s: got %v, want %q", method, path, err, want)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestSameOrigin(t *testing.T) {
	for name, tc := range map[string]struct {
		from, to string
		want     bool
	}{
		"another path":                    {"https://git.example.com/a", "https://git.example.com/b", true},
		"the default port, named":         {"https://git.example.com/a", "https://git.example.com:443/a", true},
		"another spelling":                {"https://Git.example.com/a", "https://git.example.com/a", true},
		"encrypted from now on":           {"http://git.example.com/a", "https://git.example.com/a", true},
		"another port, encrypted":         {"http://git.example.com:8080/", "https://git.example.com/", false},
		"no longer encrypted":             {"https://git.example.com/a", "http://git.example.com/a", false},
		"another host":                    {"https://git.example.com/a", "https://evil.example.com/a", false},
		"a host below, may be somebody's": {"https://example.com/a", "https://git.example.com/a", false},
		"another port":                    {"https://git.example.com/a", "https://git.example.com:8443/a", false},
	} {
		req, via := chain(t, http.MethodGet, tc.from, tc.to)
		if got := SameOrigin(via[0].URL, req.URL); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
