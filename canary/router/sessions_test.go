// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/test/contract"
)

// TestUsersStayWithWhatTheySaw is a release as browsers see it: a proxy that obeys
// the routes, and users who keep cookies as browsers do.
func TestUsersStayWithWhatTheySaw(t *testing.T) {
	for by := range sticky {
		t.Run(by, func(t *testing.T) {
			c := stickyCanary(by)
			c.Spec.Service.Match = []flaggerv1.HTTPMatchRequest{{URI: &flaggerv1.StringMatch{Prefix: "/shop"}}}
			// The cookie is for all paths, and is to be dropped by an answer for one.
			c.Spec.Analysis.SessionAffinity.Domain, c.Spec.Analysis.SessionAffinity.Path = "", "/"
			cluster := contract.Cluster(t)
			r := routerOf(t, by, cluster)
			set := func(canary int, status flaggerv1.CanaryStatus) {
				t.Helper()
				c.Status = status
				must(t, r.Supports(c))
				must(t, r.SetWeights(t.Context(), c, provider.Weights{Primary: 100 - canary, Canary: canary}))
			}
			set(20, flaggerv1.CanaryStatus{SessionAffinityCookie: "seen=one", PrimarySessionAffinityCookie: "stay=one"})
			users := crowd(t, proxy(t, cluster, r.Objects(c)[0], sticky[by]), 50)
			first := users.visit("/shop/deep/down/page")
			wantShare(t, "at first", first, 10)
			for range 3 {
				wantSame(t, "later", first, users.visit("/shop/elsewhere"))
			}
			set(0, flaggerv1.CanaryStatus{PreviousSessionAffinityCookie: "seen=one"})
			wantShare(t, "when it is over", users.visit("/shop/"), 0)
			if n := users.holding("seen"); n != 0 {
				t.Errorf("%d users still have the canary's cookie", n)
			}
			set(20, flaggerv1.CanaryStatus{SessionAffinityCookie: "seen=two", PrimarySessionAffinityCookie: "stay=two"})
			wantShare(t, "in the next release", users.visit("/shop/"), 10)
		})
	}
}

// proxy serves the rules of a route object as they are at each request.
func proxy(t *testing.T, cluster client.Client, o object.Ref, field string) string {
	t.Helper()
	turn := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		rules, _, _ := unstructured.NestedSlice(objectOf(t, cluster, o).Object, "spec", field)
		chosen, most := map[string]any(nil), -1
		for _, rule := range rules {
			rule := rule.(map[string]any)
			// Gateways prefer the rule with the most headers, Istio the first.
			if n, ok := fits(rule, req); ok && n > most && (field == "rules" || chosen == nil) {
				chosen, most = rule, n
			}
		}
		if chosen == nil {
			http.NotFound(w, req)
			return
		}
		turn += 20 // percent: users take turns, so that weights come out exactly
		to := backendAt(chosen, turn%100)
		for _, from := range []map[string]any{chosen, to} {
			for _, cookie := range cookiesOf(from) {
				w.Header().Add("Set-Cookie", cookie)
			}
		}
		_, _ = io.WriteString(w, nameOf(to))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// fits reports whether a rule matches, and with how many headers.
func fits(rule map[string]any, req *http.Request) (headers int, ok bool) {
	for _, key := range []string{"matches", "match"} {
		matches, _ := rule[key].([]any)
		for _, m := range matches {
			m := m.(map[string]any)
			path, _, _ := unstructured.NestedString(m, "path", "value")
			if uri, ok, _ := unstructured.NestedString(m, "uri", "prefix"); ok {
				path = uri
			}
			want := expressions(m["headers"])
			all := strings.HasPrefix(req.URL.Path, path)
			for name, expression := range want {
				all = all && regexp.MustCompile("^("+expression+")$").MatchString(strings.Join(req.Header.Values(name), "; "))
			}
			if all {
				return len(want), true
			}
		}
	}
	return 0, false
}

func expressions(headers any) map[string]string {
	out := map[string]string{}
	switch headers := headers.(type) {
	case []any:
		for _, h := range headers {
			out[h.(map[string]any)["name"].(string)] = h.(map[string]any)["value"].(string)
		}
	case map[string]any:
		for name, h := range headers {
			out[name] = h.(map[string]any)["regex"].(string)
		}
	}
	return out
}

// backendAt returns the backend that has a percentage point of a rule's requests.
func backendAt(rule map[string]any, at int) map[string]any {
	all, _ := rule["backendRefs"].([]any)
	if len(all) == 0 {
		all, _ = rule["route"].([]any)
	}
	for _, b := range all {
		weight, _ := b.(map[string]any)["weight"].(int64)
		if at -= int(weight); at < 0 {
			return b.(map[string]any)
		}
	}
	return nil
}

func nameOf(backend map[string]any) string {
	if name, ok := backend["name"].(string); ok {
		return name
	}
	host, _, _ := unstructured.NestedString(backend, "destination", "host")
	return host
}

// cookiesOf are those that a rule, or a backend, adds to answers.
func cookiesOf(part map[string]any) []string {
	if cookie, ok, _ := unstructured.NestedString(part, "headers", "response", "add", "Set-Cookie"); ok {
		return []string{cookie}
	}
	var out []string
	filters, _ := part["filters"].([]any)
	for _, f := range filters {
		added, _, _ := unstructured.NestedSlice(f.(map[string]any), "responseHeaderModifier", "add")
		for _, h := range added {
			out = append(out, h.(map[string]any)["value"].(string))
		}
	}
	return out
}

// audience is a crowd of users, each with cookies of their own.
type audience struct {
	*testing.T
	url   string
	users []*http.Client
}

func crowd(t *testing.T, url string, n int) *audience {
	t.Helper()
	a := &audience{T: t, url: url}
	for range n {
		jar, err := cookiejar.New(nil)
		must(t, err)
		a.users = append(a.users, &http.Client{Jar: jar})
	}
	return a
}

// visit returns what each user got.
func (a *audience) visit(path string) []string {
	a.Helper()
	var out []string
	for _, user := range a.users {
		resp, err := user.Get(a.url + path)
		must(a.T, err)
		body, err := io.ReadAll(resp.Body)
		must(a.T, err)
		must(a.T, resp.Body.Close())
		out = append(out, string(body))
	}
	return out
}

// holding counts the users who would send a cookie.
func (a *audience) holding(name string) int {
	n := 0
	for _, user := range a.users {
		req := httptest.NewRequest(http.MethodGet, a.url+"/shop/x", nil)
		for _, cookie := range user.Jar.Cookies(req.URL) {
			if cookie.Name == name {
				n++
			}
		}
	}
	return n
}

func wantShare(t *testing.T, when string, got []string, want int) {
	t.Helper()
	n := 0
	for _, copy := range got {
		if copy == "app-canary" {
			n++
		} else if copy != "app-primary" {
			t.Fatalf("%s: a user got %q", when, copy)
		}
	}
	if n != want {
		t.Errorf("%s: want %d users on the canary, got %d", when, want, n)
	}
}

func wantSame(t *testing.T, when string, before, after []string) {
	t.Helper()
	for i := range before {
		if before[i] != after[i] {
			t.Errorf("%s: user %d went from %s to %s", when, i, before[i], after[i])
		}
	}
}
