// SPDX-License-Identifier: Apache-2.0

package forge_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/test/contract/pullrequest"
	"github.com/sluice-cd/sluice/test/make"
)

// calls are all that a forge can be asked, on pull request 1.
func calls(f forge.Forge) map[string]func(context.Context) error {
	const base, branch, sha = pullrequest.Base, pullrequest.Branch, "0123456789012345678901234567890123456789"
	merge := forge.Merge{HeadSHA: sha, Method: forge.MergeCommit}
	return map[string]func(context.Context) error{
		"identity": func(ctx context.Context) error { _, err := f.CurrentUser(ctx); return err },
		"find":     func(ctx context.Context) error { _, err := f.Find(ctx, base, branch); return err },
		"get":      func(ctx context.Context) error { _, err := f.Get(ctx, 1); return err },
		"recent":   func(ctx context.Context) error { _, err := f.Recent(ctx); return err },
		"open": func(ctx context.Context) error {
			_, err := f.Open(ctx, forge.NewPullRequest{Base: base, Branch: branch, Text: forge.Text{Title: "t"}})
			return err
		},
		"update":  func(ctx context.Context) error { _, err := f.Update(ctx, 1, forge.Text{Title: "t"}); return err },
		"comment": func(ctx context.Context) error { return f.Comment(ctx, 1, "text") },
		"close":   func(ctx context.Context) error { return f.Close(ctx, 1) },
		"merge":   func(ctx context.Context) error { _, err := f.Merge(ctx, 1, merge); return err },
		"checks":  func(ctx context.Context) error { _, err := f.Checks(ctx, sha); return err },
		"rules":   func(ctx context.Context) error { _, err := f.Rules(ctx, base); return err },
		"status": func(ctx context.Context) error {
			return f.SetStatus(ctx, sha, forge.Status{Context: "c", State: forge.CheckSuccess})
		},
	}
}

// everywhere runs a test for each provider, with pull request 1 open.
func everywhere(t *testing.T, test func(*testing.T, *fakeForge, forge.Forge)) {
	for _, name := range forge.Providers() {
		t.Run(name, func(t *testing.T) {
			fake := newFakeForge(t, name)
			fake.Push(pullrequest.Branch)
			if _, err := fake.Forge().Open(t.Context(),
				forge.NewPullRequest{Base: pullrequest.Base, Branch: pullrequest.Branch, Text: forge.Text{Title: "t"}}); err != nil {
				t.Fatal(err)
			}
			test(t, fake, fake.Forge())
		})
	}
}

// answers makes the forge answer every request like that.
func (fake *fakeForge) answers(code int, header http.Header, body string) {
	fake.mu.Lock()
	defer fake.mu.Unlock()
	fake.requests = nil
	fake.intercept = func(rw http.ResponseWriter, r *http.Request) bool {
		for name, values := range header {
			rw.Header()[name] = values
		}
		rw.WriteHeader(code)
		_, _ = rw.Write([]byte(strings.ReplaceAll(body, "{authorization}", r.Header.Get("Authorization"))))
		return true
	}
}

func (fake *fakeForge) asked() int {
	fake.mu.Lock()
	defer fake.mu.Unlock()
	return len(fake.requests)
}

func TestAGatewayThatTimesOutIsNotTerminal(t *testing.T) {
	everywhere(t, func(t *testing.T, fake *fakeForge, f forge.Forge) {
		for _, code := range []int{
			http.StatusGatewayTimeout, http.StatusBadGateway, http.StatusInternalServerError, http.StatusServiceUnavailable,
		} {
			fake.answers(code, nil, "<html><body>gateway "+strings.Repeat("x", 1000)+"</body></html>")
			for name, call := range calls(f) {
				fake.later(time.Minute)
				err := call(t.Context())
				if err == nil || forge.Terminal(err) || errors.Is(err, forge.ErrNotFound) || !strings.Contains(err.Error(), fmt.Sprint(code)) {
					t.Errorf("%s after %d: %v", name, code, err)
				}
				if err != nil && strings.Contains(err.Error(), "xxx") {
					t.Errorf("%s quotes a page: %v", name, err)
				}
			}
		}
		fake.intercept = nil
		if pr, err := f.Get(t.Context(), 1); err != nil || pr.State != forge.Open {
			t.Errorf("after the outage: %+v, %v", pr, err)
		}
	})
}

// A forge that says that the head moved, and goes on showing the same, was asked without end.
func TestAHeadThatOnlyTheForgeSaysMovedIsWaitedFor(t *testing.T) {
	everywhere(t, func(t *testing.T, fake *fakeForge, f forge.Forge) {
		fake.intercept = func(rw http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet || !strings.Contains(r.URL.Path, "merge") && r.Method != http.MethodPatch {
				return false
			}
			rw.WriteHeader(http.StatusConflict)
			_, _ = rw.Write([]byte(`{"message": "head out of date", "errors": [{"message": "it is out of date"}]}`))
			return true
		}
		_, err := f.Merge(t.Context(), 1, forge.Merge{HeadSHA: fake.branches[pullrequest.Branch], Method: forge.Squash})
		refused := (*forge.NotMergeable)(nil)
		if !errors.As(err, &refused) || errors.Is(err, forge.ErrHeadMoved) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAWriteIsNeverSentTwice(t *testing.T) {
	everywhere(t, func(t *testing.T, fake *fakeForge, f forge.Forge) {
		for _, name := range []string{"open", "comment", "status"} {
			fake.mu.Lock()
			fake.requests = nil
			fake.intercept = func(rw http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodGet {
					return false
				}
				rw.WriteHeader(http.StatusBadGateway)
				return true
			}
			fake.mu.Unlock()
			if err := calls(f)[name](t.Context()); err == nil {
				t.Errorf("%s succeeds", name)
			}
			writes := 0
			for _, request := range fake.requests {
				if !strings.HasPrefix(request, "GET ") {
					writes++
				}
			}
			if writes > 1 || writes == 0 && name != "open" { // one forge has to look first whether there is one
				t.Errorf("%s: %d writes in %v", name, writes, fake.requests)
			}
		}
	})
}

func TestALimitIsHonouredUntilItEnds(t *testing.T) {
	inAMinute := fmt.Sprint(start.Add(2 * time.Hour).Unix())
	for name, tc := range map[string]struct {
		code   int
		header http.Header
		body   string
		want   time.Duration // at least
	}{
		"429 with seconds":     {429, http.Header{"Retry-After": {"90"}}, "", 90 * time.Second},
		"429 without anything": {429, nil, "", time.Minute},
		"403 with a used-up limit": {
			403, http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {inAMinute}}, "{}", 10 * time.Minute,
		},
		"403 of a secondary limit":      {403, nil, `{"message":"You have exceeded a secondary rate limit."}`, time.Minute},
		"a time that is too far is not": {429, http.Header{"Retry-After": {"999999999"}}, "", time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, fake *fakeForge, f forge.Forge) {
				fake.answers(tc.code, tc.header, tc.body)
				_, err := f.Recent(t.Context())
				var limited *forge.RateLimited
				if !errors.As(err, &limited) || forge.Terminal(err) {
					t.Fatalf("got %v", err)
				}
				if wait := limited.Until.Sub(fake.clock.Now()); wait < tc.want || wait > 66*time.Minute {
					t.Errorf("left alone for %s", wait)
				}
				asked := fake.asked()
				for name, call := range calls(f) {
					if err := call(t.Context()); !errors.As(err, &limited) {
						t.Errorf("%s while limited: %v", name, err)
					}
				}
				if fake.asked() != asked {
					t.Errorf("%d requests while limited", fake.asked()-asked)
				}
				fake.intercept = nil
				fake.later(limited.Until.Sub(fake.clock.Now()) + time.Second)
				if _, err := f.Recent(t.Context()); err != nil {
					t.Errorf("after the limit: %v", err)
				}
			})
		})
	}
}

func TestNoTokenIsInAnError(t *testing.T) {
	everywhere(t, func(t *testing.T, fake *fakeForge, f forge.Forge) {
		for _, code := range []int{400, 401, 403, 404, 405, 409, 422, 500} {
			fake.answers(code, nil,
				`{"message":"you sent {authorization}","errors":[{"message":"{authorization}"}],"error":{"message":"{authorization}"}}`)
			for name, call := range calls(f) {
				fake.later(time.Minute)
				err := call(t.Context())
				if err == nil {
					continue
				}
				encoded := base64.StdEncoding.EncodeToString([]byte(":" + secretToken))
				if strings.Contains(err.Error(), secretToken) || strings.Contains(err.Error(), encoded) {
					t.Errorf("%s after %d: %v", name, code, err)
				}
			}
		}
	})
}

func TestACredentialThatIsRefusedIsTerminalAndNamesItsKey(t *testing.T) {
	everywhere(t, func(t *testing.T, fake *fakeForge, f forge.Forge) {
		for _, code := range []int{http.StatusUnauthorized, http.StatusForbidden} {
			fake.answers(code, nil, `{"message":"no such rights"}`)
			for name, call := range calls(f) {
				if name == "rules" {
					continue // rules that may not be read are not complete
				}
				fake.later(time.Minute)
				err := call(t.Context())
				var unauthorized *forge.Unauthorized
				if !errors.As(err, &unauthorized) || !forge.Terminal(err) || !strings.Contains(err.Error(), "token") {
					t.Errorf("%s after %d: %v", name, code, err)
				}
			}
		}
	})
}

func TestAPullRequestIsFoundAmongManyOthers(t *testing.T) {
	everywhere(t, func(t *testing.T, fake *fakeForge, f forge.Forge) {
		for n := range 120 {
			fake.add("other", "", pullrequest.Base, fmt.Sprintf("other-%d", n))
		}
		if found, err := f.Find(t.Context(), pullrequest.Base, pullrequest.Branch); err != nil || found.Number != 1 {
			t.Errorf("got %+v, %v", found, err)
		}
	})
}

func TestAnAnswerWithoutEndIsRefused(t *testing.T) {
	everywhere(t, func(t *testing.T, fake *fakeForge, f forge.Forge) {
		fake.answers(200, nil, `[{"title":"`+strings.Repeat("x", 9<<20)+`"}]`)
		if _, err := f.Recent(t.Context()); err == nil || !strings.Contains(err.Error(), "8 MiB") {
			t.Errorf("got %v", err)
		}
	})
}

func TestAnAnswerThatIsNoneIsNotTerminal(t *testing.T) {
	everywhere(t, func(t *testing.T, fake *fakeForge, f forge.Forge) {
		fake.answers(200, http.Header{"Content-Type": {"text/html"}}, "<html>sign in, please</html>")
		if _, err := f.Recent(t.Context()); err == nil || forge.Terminal(err) {
			t.Errorf("got %v", err)
		}
	})
}

// A forge that answered null for the rules of a branch was the end of the process.
func TestAnAnswerThatIsNullIsNotTheEndOfTheProcess(t *testing.T) {
	for name := range protocols {
		t.Run(name, func(t *testing.T) {
			fake, pr := proposed(t, name)
			fake.answers(http.StatusOK, http.Header{"Content-Type": {"application/json"}}, "null")
			f := fake.Forge()
			_, rules := f.Rules(t.Context(), pullrequest.Base)
			_, checks := f.Checks(t.Context(), pr.HeadSHA)
			_, found := f.Get(t.Context(), pr.Number)
			_, any := f.Find(t.Context(), pullrequest.Base, "sluice/none")
			_, recent := f.Recent(t.Context())
			_, who := f.CurrentUser(t.Context())
			if err := errors.Join(rules, checks, found, any, recent, who); forge.Terminal(err) {
				t.Error(err)
			}
		})
	}
}

func TestACallThatIsCancelledAsksNobody(t *testing.T) {
	everywhere(t, func(t *testing.T, fake *fakeForge, f forge.Forge) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		asked := fake.asked()
		for name, call := range calls(f) {
			if err := call(ctx); !errors.Is(err, context.Canceled) || forge.Terminal(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if fake.asked() != asked {
			t.Errorf("%d requests", fake.asked()-asked)
		}
	})
}

func TestACredentialGoesToNoOtherServer(t *testing.T) {
	everywhere(t, func(t *testing.T, fake *fakeForge, f forge.Forge) {
		other := newFakeForge(t, fake.name)
		fake.answers(307, http.Header{"Location": {other.server.URL + "/"}}, "")
		if _, err := f.Recent(t.Context()); err == nil || !strings.Contains(err.Error(), "another server") {
			t.Errorf("got %v", err)
		}
		if other.asked() != 0 {
			t.Error("the other server was asked")
		}
	})
}

func TestAWriteThatIsRedirectedDoesNotBecomeARead(t *testing.T) {
	everywhere(t, func(t *testing.T, fake *fakeForge, f forge.Forge) {
		fake.answers(301, http.Header{"Location": {fake.server.URL + "/elsewhere"}}, "")
		if err := f.Comment(t.Context(), 1, "text"); err == nil || !strings.Contains(err.Error(), "redirects") {
			t.Errorf("got %v", err)
		}
	})
}

func TestNoMoreIsWrittenThanForgesAllow(t *testing.T) {
	everywhere(t, func(t *testing.T, fake *fakeForge, f forge.Forge) {
		fake.later(2 * time.Hour)
		written := 0
		var limited *forge.RateLimited
		for range 100 {
			if err := f.Comment(t.Context(), 1, "text"); errors.As(err, &limited) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			written++
		}
		if written != 40 || !limited.Until.Equal(fake.clock.Now().Add(time.Minute)) {
			t.Errorf("%d writes in a minute, and then until %v", written, limited)
		}
		if _, err := f.Recent(t.Context()); err != nil {
			t.Errorf("reading is limited, too: %v", err)
		}
		for written < 1000 {
			fake.later(time.Minute)
			if err := f.Comment(t.Context(), 1, "text"); err != nil {
				break
			}
			written++
			for range 39 {
				if f.Comment(t.Context(), 1, "text") == nil {
					written++
				}
			}
		}
		if written != 400 {
			t.Errorf("%d writes in an hour", written)
		}
	})
}

// Statuses of hundreds of objects that one push changed kept pull requests from being opened and
// merged for an hour.
func TestStatusesOfAPushLeavePullRequestsWhatTheyNeed(t *testing.T) {
	limits := map[string]int{forge.GitHub: 60, forge.GitLab: 300, forge.Bitbucket: 250}
	everywhere(t, func(t *testing.T, fake *fakeForge, f forge.Forge) {
		name := fake.remote.Provider
		fake.later(2 * time.Hour)
		sha := fake.branches[pullrequest.Branch]
		set, most := 0, limits[name]
		var limited *forge.RateLimited
		for range 400 {
			err := f.SetStatus(t.Context(), sha, forge.Status{Context: "c", State: forge.CheckSuccess})
			if errors.As(err, &limited) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			set++
		}
		switch {
		case most == 0 && limited != nil:
			t.Errorf("%s documents no limit, and %d statuses were set", name, set)
		case most > 0 && (set != most || limited == nil):
			t.Errorf("%d statuses were set, want %d", set, most)
		case most > 0:
			before := fake.asked()
			err := f.EnsureStatus(t.Context(), sha, forge.Status{Context: "d", State: forge.CheckSuccess})
			if !errors.As(err, &limited) || fake.asked() != before {
				t.Errorf("a status that has to wait asks the forge %d times: %v", fake.asked()-before, err)
			}
		}
		if err := f.Comment(t.Context(), 1, "text"); err != nil {
			t.Errorf("statuses leave nothing for a comment: %v", err)
		}
	})
}

func TestWhatDidNotChangeIsNotSentAgain(t *testing.T) {
	everywhere(t, func(t *testing.T, fake *fakeForge, f forge.Forge) {
		conditional := 0
		fake.intercept = func(rw http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet && r.Header.Get("If-None-Match") == `"1"` {
				conditional++
				rw.WriteHeader(http.StatusNotModified)
				return true
			}
			rw.Header().Set("ETag", `"1"`)
			return false
		}
		first, err := f.Recent(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		second, err := f.Recent(t.Context())
		if err != nil || len(second) != len(first) || second[0].Number != first[0].Number || conditional == 0 {
			t.Errorf("got %+v, %v, after %d conditional requests", second, err, conditional)
		}
		asked := conditional
		fake.remote.Secret.Data["token"] = []byte("another-identity")
		if _, err := fake.Forge().Recent(t.Context()); err != nil || conditional != asked {
			t.Errorf("another identity uses what the first one saw: %v", err)
		}
	})
}

func TestRequestsAreCounted(t *testing.T) {
	fake := newFakeForge(t, forge.Gitea)
	if _, err := fake.Forge().Recent(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := `
# HELP sluice_forge_requests_total Requests to the APIs of forges, by provider, HTTP method and status; error is one without an answer.
# TYPE sluice_forge_requests_total counter
sluice_forge_requests_total{code="200",method="GET",provider="gitea"} 1
`
	if err := testutil.CollectAndCompare(fake.clients, strings.NewReader(want), "sluice_forge_requests_total"); err != nil {
		t.Error(err)
	}
}

func TestRemotesThatCannotWorkAreTerminalAndNameWhatToChange(t *testing.T) {
	secret := func(data map[string]string) *corev1.Secret { return make.Secret("apps", "forge", data) }
	for name, tc := range map[string]struct {
		remote forge.Remote
		want   string
	}{
		"an unknown provider": {forge.Remote{URL: "https://github.com/acme/fleet", Provider: "gogs"}, `provider "gogs" is none of`},
		"a host that is nobody's": {
			forge.Remote{URL: "https://git.example.com/acme/fleet"}, "name it in field provider",
		},
		"a host that only looks like one": {forge.Remote{URL: "https://github.com.example.com/acme/fleet"}, "name it in field provider"},
		"no URL":                          {forge.Remote{URL: "git@github.com:acme/fleet.git"}, "must begin with https://"},
		"a Secret of something else": {
			forge.Remote{URL: "https://gitea.com/acme/fleet", Secret: secret(map[string]string{"api-key": "hidden"})},
			"holds none of the keys token, username, password, bearerToken; it has: api-key",
		},
		"a CA that is none": {
			forge.Remote{URL: "https://gitea.com/acme/fleet", Secret: secret(map[string]string{"token": "t", "ca.crt": "x"})},
			"'ca.crt' holds no PEM certificate",
		},
		"a proxy that is none": {
			forge.Remote{URL: "https://gitea.com/acme/fleet", Proxy: &url.URL{Path: "proxy"}}, "the proxy: it is no URL such as http://host:port",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := forge.NewClients(forge.Options{}).For(tc.remote)
			if err == nil || !forge.Terminal(err) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// A comment that came after a hundred others was not found: each event became one more.
func TestACommentOnTheSecondPageIsKeptUpToDate(t *testing.T) {
	for _, name := range []string{forge.GitHub, forge.GitLab, forge.Gitea} {
		t.Run(name, func(t *testing.T) {
			fake, edited := newFakeForge(t, name), 0
			fake.intercept = func(rw http.ResponseWriter, r *http.Request) bool {
				page := r.URL.Query().Get("page")
				switch {
				case r.Method == http.MethodPatch || r.Method == http.MethodPut:
					edited++
					reply(rw, 200, object{})
				case r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/comments") && !strings.HasSuffix(r.URL.Path, "/notes"):
					return false
				case page == "2":
					who := object{"login": us, "username": us}
					reply(rw, 200, []object{{"id": 7, "body": "<!-- key --> before", "user": who, "author": who}})
				default:
					rw.Header().Set("Link", fmt.Sprintf(`<%s%s?page=2>; rel="next"`, fake.server.URL, r.URL.Path))
					rw.Header().Set("X-Next-Page", "2")
					reply(rw, 200, []object{})
				}
				return true
			}
			if err := fake.Forge().UpsertComment(t.Context(), 1, "<!-- key -->", "<!-- key --> now"); err != nil || edited != 1 {
				t.Errorf("edited %d comments: %v", edited, err)
			}
		})
	}
}
