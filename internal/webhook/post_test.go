// SPDX-License-Identifier: Apache-2.0

package webhook_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/webhook"
)

// instantClock fires timers at once, and keeps the durations that were waited for.
type instantClock struct {
	clock.RealClock
	mu    sync.Mutex
	waits []time.Duration
}

func (c *instantClock) NewTimer(d time.Duration) clock.Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waits = append(c.waits, d)
	return c.RealClock.NewTimer(0)
}

// serve answers each request with the next handler, and repeats the last one.
func serve(t *testing.T, handlers ...http.HandlerFunc) *httptest.Server {
	t.Helper()
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		handler := handlers[0]
		if len(handlers) > 1 {
			handlers = handlers[1:]
		}
		mu.Unlock()
		handler(w, r)
	}))
	t.Cleanup(server.Close)
	return server
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// rateLimited asks to be left alone for some seconds.
func rateLimited(seconds string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", seconds)
		w.WriteHeader(http.StatusTooManyRequests)
	}
}

func TestPost(t *testing.T) {
	one := func(status int, body string) []http.HandlerFunc { return []http.HandlerFunc{answer(status, body)} }
	cases := map[string]struct {
		answers   []http.HandlerFunc
		retries   int
		private   bool // the error may not repeat the answer
		wantErr   string
		wantWaits []time.Duration
	}{
		"200 is a success": {
			answers: one(200, ""),
		},
		"the highest good status is a success": {
			answers: one(202, ""),
		},
		"a higher status is an error": {
			answers: one(204, ""),
			wantErr: "answered 204 No Content",
		},
		"an answer that may not be repeated is told as its status": {
			answers: one(403, "token=abcdef"),
			private: true,
			wantErr: "answered 403 Forbidden",
		},
		"the answer is quoted, trimmed": {
			answers: one(403, "\n Forbidden \n"),
			wantErr: "Forbidden",
		},
		"a long answer is cut": {
			answers: one(403, strings.Repeat("x", 9999)),
			wantErr: strings.Repeat("x", 512) + "...",
		},
		"an answer is not cut within a character": {
			answers: one(403, strings.Repeat("x", 511)+"ü"),
			wantErr: strings.Repeat("x", 511) + "...",
		},
		"the answer is quoted when all attempts failed": {
			answers:   one(500, "command failed"),
			retries:   1,
			wantErr:   "command failed",
			wantWaits: []time.Duration{time.Second},
		},
		"a server that recovers is a success": {
			answers:   []http.HandlerFunc{answer(503, ""), answer(500, ""), answer(200, "")},
			retries:   5,
			wantWaits: []time.Duration{time.Second, 2 * time.Second},
		},
		"403 is not retried": {
			answers: one(403, "no"),
			retries: 5,
			wantErr: "no",
		},
		"501 is not retried": {
			answers: one(501, "no"),
			retries: 5,
			wantErr: "no",
		},
		"Retry-After is obeyed": {
			answers:   []http.HandlerFunc{rateLimited("7"), answer(200, "")},
			retries:   1,
			wantWaits: []time.Duration{7 * time.Second},
		},
		"a Retry-After of hours is cut": {
			answers:   []http.HandlerFunc{rateLimited("7200"), answer(200, "")},
			retries:   1,
			wantWaits: []time.Duration{30 * time.Second},
		},
		"a Retry-After that is a date is obeyed within the same bounds": {
			answers:   []http.HandlerFunc{rateLimited("Fri, 31 Dec 9999 23:59:59 GMT"), answer(200, "")},
			retries:   1,
			wantWaits: []time.Duration{30 * time.Second},
		},
		"waits double up to half a minute": {
			answers:   one(500, "no"),
			retries:   7,
			wantErr:   "no",
			wantWaits: []time.Duration{1e9, 2e9, 4e9, 8e9, 16e9, 30e9, 30e9},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			server, clk := serve(t, tc.answers...), &instantClock{}
			_, err := webhook.NewClient(clk, nil).Post(t.Context(), webhook.Message{
				URL: server.URL, Body: []byte(`{}`), Timeout: 10 * time.Second,
				Retries: tc.retries, MaxSuccess: 202, QuoteAnswer: !tc.private,
			})
			if diff := cmp.Diff(tc.wantErr, text(err)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tc.wantWaits, clk.waits); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestAServerThatIsGoneIsAskedAgain(t *testing.T) {
	server, clk := serve(t, answer(200, "")), &instantClock{}
	address := server.URL
	server.Close()
	_, err := webhook.NewClient(clk, nil).Post(t.Context(), webhook.Message{
		URL: address, Timeout: time.Second, Retries: 2, MaxSuccess: 202,
	})
	if len(clk.waits) != 2 || !strings.Contains(text(err), "connection refused") {
		t.Errorf("waits %v, error %v", clk.waits, err)
	}
}

func TestAServerThatHangsIsGivenUp(t *testing.T) {
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the server sees a client hang up only then
		<-r.Context().Done()
	})
	_, err := webhook.NewClient(&instantClock{}, nil).Post(t.Context(), webhook.Message{
		URL: server.URL, Timeout: 20 * time.Millisecond, MaxSuccess: 202,
	})
	if want := "posting to " + strings.TrimPrefix(server.URL, "http://") + ": no answer in time"; text(err) != want {
		t.Errorf("error %q, want %q", text(err), want)
	}
}

func TestACancelledPostIsNotRepeated(t *testing.T) {
	clk := &instantClock{}
	ctx, cancel := context.WithCancel(t.Context())
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
	})
	_, err := webhook.NewClient(clk, nil).Post(ctx, webhook.Message{URL: server.URL, Timeout: time.Minute, Retries: 3, MaxSuccess: 202})
	if !errors.Is(err, context.Canceled) || len(clk.waits) != 0 {
		t.Errorf("error %v, waits %v", err, clk.waits)
	}
}

func TestRedirects(t *testing.T) {
	var got *http.Request
	var body string
	elsewhere := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		got, body = r, string(content)
	})
	to := func(address string, status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, address, status) }
	}
	here := func(_ http.ResponseWriter, r *http.Request) { elsewhere.Config.Handler.ServeHTTP(nil, r) }
	cases := map[string]struct {
		handlers []http.HandlerFunc
		wantErr  string
		wantBody string
		wantAuth bool
	}{
		"a 307 on the same server is followed with the message": {
			handlers: []http.HandlerFunc{to("/other", 307), here},
			wantBody: "{}",
			wantAuth: true,
		},
		"a 308 to another server is refused": {
			handlers: []http.HandlerFunc{to(elsewhere.URL, 308)},
			wantErr:  "redirects to another server",
		},
		"a 302 to another server is not followed": {
			handlers: []http.HandlerFunc{to(elsewhere.URL, 302)},
			wantErr:  "answered 302 Found: the message would not arrive",
		},
		"a 303 on the same server is not followed": {
			handlers: []http.HandlerFunc{to("/login", 303), here},
			wantErr:  "answered 303 See Other",
		},
		"a 301 on the same server is not followed": {
			handlers: []http.HandlerFunc{to("/login", 301), here},
			wantErr:  "answered 301 Moved Permanently",
		},
		"a 304 is an error": {
			handlers: []http.HandlerFunc{answer(304, "")},
			wantErr:  "answered 304",
		},
		"a circle ends": {
			handlers: []http.HandlerFunc{to("/again", 307)},
			wantErr:  "redirects more than 5 times",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, body = nil, ""
			server := serve(t, tc.handlers...)
			address := strings.Replace(server.URL, "http://", "http://user:pass@", 1) + "/?key=secret"
			_, err := webhook.NewClient(&instantClock{}, nil).Post(t.Context(), webhook.Message{
				URL: address, Body: []byte("{}"), Timeout: time.Minute, MaxSuccess: 202,
			})
			switch {
			case !strings.Contains(text(err), tc.wantErr) || (err == nil) != (tc.wantErr == ""):
				t.Fatalf("error %v, want %q", err, tc.wantErr)
			case err != nil && got != nil:
				t.Fatal("the other server was asked")
			case err != nil:
				return
			}
			if body != tc.wantBody || (got.Header.Get("Authorization") != "") != tc.wantAuth {
				t.Errorf("body %q, header %v", body, got.Header)
			}
			if got.Header.Get("Referer") != "" && !tc.wantAuth {
				t.Errorf("the other server learns of %q", got.Header.Get("Referer"))
			}
		})
	}
}

// net/http takes it for a failure to connect, and so it was tried again, of an alert for an hour.
func TestAHeaderThatHTTPCannotSendIsNotTriedAgain(t *testing.T) {
	server := serve(t, answer(200, ""))
	for name, tc := range map[string]struct {
		message webhook.Message
		want    string
	}{
		"a token with a line break": {
			webhook.Message{Token: "xoxb-secret\nxoxb-other"},
			"header Authorization: its value has a line break or another control character, which no header can have",
		},
		"a value with a line break": {
			webhook.Message{Header: map[string]string{"X-Key": "xoxb-secret\r\nHost: elsewhere"}},
			"header X-Key: its value has a line break or another control character, which no header can have",
		},
		"a name with a space": {
			webhook.Message{Header: map[string]string{"X Key": "xoxb-secret"}}, `header "X Key": its name cannot be that of a header`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			clk, m := &instantClock{}, tc.message
			m.URL, m.Timeout, m.Retries, m.MaxSuccess = server.URL, time.Minute, 3, 202
			_, err := webhook.NewClient(clk, nil).Post(t.Context(), m)
			temporary := (*webhook.TemporaryError)(nil)
			if text(err) != tc.want || errors.As(err, &temporary) || len(clk.waits) != 0 {
				t.Errorf("error %v after waits %v", err, clk.waits)
			}
		})
	}
}

func TestErrorsHoldNoSecrets(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "who sends "+r.Header.Get("Authorization")+" to "+r.URL.RequestURI()+"?")
	}
	server := serve(t, echo)
	gone := httptest.NewServer(nil)
	gone.Close()
	with := func(address string) string { return strings.Replace(address, "http://", "http://user:passw0rd@", 1) }
	for name, m := range map[string]webhook.Message{
		"in what the server repeats":     {URL: server.URL + "/services/T0000/tellnobody?key=hidden", Token: "xoxb-secret", SecretPath: true},
		"in one that is part of another": {URL: server.URL + "/services?a=hide&key=hidden"},
		"in an address that is gone":     {URL: with(gone.URL) + "/services/T0000/tellnobody?key=hidden"},
		"in an address that is none":     {URL: "http://user:passw0rd@[::1/tellnobody"},
		"in one of another scheme":       {URL: "ftp://user:passw0rd@host/tellnobody"},
		"in a proxy that is none":        {URL: server.URL, Proxy: "gopher://user:passw0rd@proxy"},
		"in a proxy that is gone":        {URL: server.URL, Proxy: with(gone.URL)},
	} {
		t.Run(name, func(t *testing.T) {
			m.Timeout, m.MaxSuccess, m.QuoteAnswer = time.Minute, 202, true
			_, err := webhook.NewClient(&instantClock{}, nil).Post(t.Context(), m)
			if err == nil {
				t.Fatal("no error")
			}
			for _, secret := range []string{"passw0rd", "tellnobody", "hidden", "xoxb"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q in %q", secret, err)
				}
			}
		})
	}
}

func TestCertificates(t *testing.T) {
	server := httptest.NewTLSServer(answer(200, ""))
	defer server.Close()
	clk := &instantClock{}
	client := webhook.NewClient(clk, nil)
	_, err := client.Post(t.Context(), webhook.Message{URL: server.URL, Timeout: time.Minute, Retries: 3, MaxSuccess: 202})
	if !strings.Contains(text(err), "certificate") || len(clk.waits) != 0 {
		t.Errorf("error %v after waits %v", err, clk.waits)
	}
	if _, err := client.Post(t.Context(), webhook.Message{
		URL: server.URL, Timeout: time.Minute, MaxSuccess: 202, DisableTLS: true,
	}); err != nil {
		t.Error(err)
	}
}

func TestMessagesGoNowhereThatTheGuardForbids(t *testing.T) {
	asked := false
	server := serve(t, func(http.ResponseWriter, *http.Request) { asked = true })
	for name, m := range map[string]webhook.Message{
		"an address":                {URL: server.URL},
		"one that is not verified":  {URL: server.URL, DisableTLS: true},
		"a proxy":                   {URL: "http://chat.example/hook", Proxy: server.URL},
		"a name of a proxy":         {URL: "http://chat.example/hook", Proxy: strings.Replace(server.URL, "127.0.0.1", "localhost", 1)},
		"an address behind a proxy": {URL: "http://169.254.169.254/latest", Proxy: "http://proxy.example:3128"},
	} {
		clk := &instantClock{}
		m.Timeout, m.MaxSuccess, m.Retries = time.Minute, 202, 3
		_, err := webhook.NewClient(clk, outbound.NewGuard(nil)).Post(t.Context(), m)
		if !errors.Is(err, outbound.ErrForbiddenAddress) || asked || len(clk.waits) > 0 {
			t.Errorf("%s: got %v after %d attempts", name, err, 1+len(clk.waits))
		}
	}
}

func TestAProxyIsAsked(t *testing.T) {
	var asked string
	proxy := serve(t, func(_ http.ResponseWriter, r *http.Request) { asked = r.URL.String() })
	_, err := webhook.NewClient(&instantClock{}, nil).Post(t.Context(), webhook.Message{
		URL: "http://chat.example/hook", Proxy: proxy.URL, Timeout: time.Minute, MaxSuccess: 202,
	})
	if err != nil || asked != "http://chat.example/hook" {
		t.Errorf("asked for %q: %v", asked, err)
	}
}

func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"https://host/path?x=y", "http://user:secret@host", "ftp://host", "http://[::1", "", "//host", "socks5://proxy:1080",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		_, err := webhook.ParseURL(address)
		_, proxyErr := outbound.ParseProxy(address)
		for _, err := range []error{err, proxyErr} {
			if err != nil && len(address) > 20 && strings.Contains(err.Error(), address) {
				t.Errorf("%q is in its error", address)
			}
		}
	})
}
