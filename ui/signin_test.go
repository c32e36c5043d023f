// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// TestWhoAUserIs by what a provider says of them.
func TestWhoAUserIs(t *testing.T) {
	o := &OIDC{UsernameClaim: "email", UsernamePrefix: "oidc:", GroupsClaim: "groups", GroupsPrefix: "oidc:"}
	bare := &OIDC{UsernameClaim: "sub", GroupsClaim: "groups"}
	for name, test := range map[string]struct {
		of     *OIDC
		claims map[string]any
		name   string
		groups []string
		says   string
	}{
		"with groups": {o, map[string]any{"email": "eve@example.com", "email_verified": true, "groups": []any{"dev", "ops"}},
			"oidc:eve@example.com", []string{"oidc:dev", "oidc:ops"}, ""},
		"with one group as text": {o, map[string]any{"email": "eve@example.com", "groups": "dev"},
			"oidc:eve@example.com", []string{"oidc:dev"}, ""},
		"with groups that are no text": {o, map[string]any{"email": "eve@example.com", "groups": []any{1, "", nil}},
			"oidc:eve@example.com", nil, ""},
		"by an address that nobody has verified": {o, map[string]any{"email": "eve@example.com", "email_verified": false}, "", nil,
			"has not verified your email address"},
		"by an address that is verified as text": {o, map[string]any{"email": "eve@example.com", "email_verified": "true"}, "", nil,
			"has not verified your email address"},
		"without the claim":           {o, map[string]any{"sub": "1"}, "", nil, `no claim "email"`},
		"as a number":                 {o, map[string]any{"email": 1}, "", nil, `no claim "email"`},
		"as a part of the cluster":    {bare, map[string]any{"sub": "system:kube-controller-manager"}, "", nil, "is reserved"},
		"as nobody":                   {bare, map[string]any{"sub": AnonymousUser}, "", nil, "is reserved"},
		"in groups of administrators": {bare, map[string]any{"sub": "eve", "groups": []any{"system:masters", "dev"}}, "eve", []string{"dev"}, ""},
		"in groups that HTTP makes those of administrators": {bare,
			map[string]any{"sub": "eve", "groups": []any{" system:masters", "System:Masters", "dev\x00", "dev "}}, "eve", nil, ""},
		"by a name that HTTP makes another": {bare, map[string]any{"sub": "admin "}, "", nil, "is reserved"},
		"with a group that is empty":        {bare, map[string]any{"sub": "eve", "groups": ""}, "eve", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			who, err := test.of.userOf(test.claims)
			if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Fatalf("got %v, want %q", err, test.says)
			}
			if err == nil && (who.Name != test.name || !slices.Equal(who.Groups, test.groups)) {
				t.Errorf("got %+v", who)
			}
		})
	}
}

// TestNobodyIsTakenForAnother by what stands in a token or a name.
func TestNobodyIsTakenForAnother(t *testing.T) {
	alice := identity{Name: "alice", Groups: []string{""}}
	key, err := alice.key()
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []identity{
		{Token: "\x00alice"}, {Token: "alice"}, {Name: "alice"}, {Name: "alice\x00"}, {Name: "alice", Groups: []string{"", ""}},
	} {
		if of, err := other.key(); err != nil || of == key {
			t.Errorf("%+v has the key of alice: %v", other, err)
		}
	}
	for _, refused := range []identity{
		{Token: "\x00alice"}, {Token: "a b"}, {Token: "ä"}, {Name: "system:admin"}, {Name: "alice", Groups: []string{"system:masters"}},
		{Name: "alice", Groups: []string{" system:masters"}}, {Name: "SYSTEM:admin"}, {Name: "alice\n"}, {},
	} {
		if err := refused.check(); !isDenied(err) {
			t.Errorf("%+v: %v", refused, err)
		}
	}
	for _, allowed := range []identity{
		{Token: "eyJhbGciOi.J9-_x.y"}, {Name: "oidc:alice", Groups: []string{"oidc:dev"}},
		{Name: AnonymousUser},
	} {
		if err := allowed.check(); err != nil {
			t.Errorf("%+v: %v", allowed, err)
		}
	}
}

// TestWhereASignInLeads: to a screen of the page, whatever the query says.
func TestWhereASignInLeads(t *testing.T) {
	for to, want := range map[string]string{
		"/canary/apps/podinfo?step=1": "/canary/apps/podinfo?step=1", "": "/", "/": "/",
		"https://evil.example.com/": "/", "//evil.example.com/": "/", `/\evil.example.com`: "/", "/%2F/evil.example.com": "/",
		"javascript:alert(1)": "/", "/a\r\nSet-Cookie: a=b": "/", "evil": "/", "/login": "/", "/api/v1/lanes": "/",
	} {
		if got := screenOf(to); got != want {
			t.Errorf("%q leads to %q, want %q", to, got, want)
		}
	}
}

// A page at https://sluice.example.com:443 refused everybody, since browsers leave that port out.
func TestTheHostIsThatOfTheURLAsBrowsersWriteIt(t *testing.T) {
	for name, tc := range map[string]struct {
		url, host string
		want      bool
	}{
		"as it is":                                 {"https://sluice.example.com", "sluice.example.com", true},
		"in capitals":                              {"https://Sluice.example.com", "sluice.example.com", true},
		"the port of the scheme is left out":       {"https://sluice.example.com:443", "sluice.example.com", true},
		"the port of the scheme is written":        {"https://sluice.example.com", "sluice.example.com:443", true},
		"the port of another scheme counts":        {"https://sluice.example.com:80", "sluice.example.com", false},
		"another port":                             {"https://sluice.example.com:8443", "sluice.example.com:8443", true},
		"a port that is missing":                   {"https://sluice.example.com:8443", "sluice.example.com", false},
		"a name that is not ASCII":                 {"https://bücher.example", "xn--bcher-kva.example", true},
		"another host":                             {"https://sluice.example.com", "sluice.example.org", false},
		"an address of IPv6":                       {"https://[2001:db8::1]:443", "[2001:db8::1]", true},
		"a host that begins with the same letters": {"https://sluice.example.com", "sluice.example.com.evil.example", false},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := url.Parse(tc.url)
			if err != nil {
				t.Fatal(err)
			}
			l := &login{SignIn: SignIn{URL: u}}
			if got := l.serves(tc.host); got != tc.want {
				t.Errorf("serves = %t", got)
			}
		})
	}
}

// TestACookieIsReadByWhoSealedIt and by nobody else, nor as another kind.
func TestACookieIsReadByWhoSealedIt(t *testing.T) {
	sealerOf := func(secret string) sealer {
		key, err := SessionKey([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		s, err := newSealer(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := sealerOf(strings.Repeat("a", 40))
	sealed, err := s.seal(sessionCookie, signInCookie{identity: identity{Token: "secret", Groups: []string{"dev"}}})
	if err != nil || strings.Contains(sealed, "secret") {
		t.Fatal(sealed, err)
	}
	var got signInCookie
	if err := sealerOf(strings.Repeat("a", 32)).open(sealed, sessionCookie, &got); err != nil || got.Token != "secret" {
		t.Errorf("by a replica with the same key: %v, %+v", err, got)
	}
	flipped := []byte(sealed)
	flipped[len(flipped)/2] ^= 1
	for name, err := range map[string]error{
		"as another kind":         s.open(sealed, attemptCookie, &got),
		"with another key":        sealerOf(strings.Repeat("b", 32)).open(sealed, sessionCookie, &got),
		"changed on its way":      s.open(string(flipped), sessionCookie, &got),
		"empty":                   s.open("", sessionCookie, &got),
		"no base64":               s.open("%%%", sessionCookie, &got),
		"longer than any of ours": s.open(strings.Repeat("A", 1<<20), sessionCookie, &got),
	} {
		if !errors.Is(err, errSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for kind, size := range map[string]int{sessionCookie: cookieParts * maxCookie, attemptCookie: maxCookie} {
		if _, err := s.seal(kind, noise(2*size)); err == nil || !strings.Contains(err.Error(), "too long for a cookie") {
			t.Errorf("what no browser keeps, as %s: %v", kind, err)
		}
	}
	expands, err := s.seal(sessionCookie, strings.Repeat("x", maxSession))
	if err != nil || !errors.Is(s.open(expands, sessionCookie, new(string)), errSealed) {
		t.Errorf("what expands beyond the bound is read: %v", err)
	}
	if _, err := SessionKey([]byte("short")); err == nil || !strings.Contains(err.Error(), "openssl rand") {
		t.Errorf("a short key: %v", err)
	}
}

// noise is a text that cannot be compressed by much.
func noise(size int) string {
	random := rand.New(rand.NewPCG(1, 2))
	var text strings.Builder
	for text.Len() < size {
		fmt.Fprintf(&text, "%016x", random.Uint64())
	}
	return text.String()
}

// People with some eighty groups of Entra ID could not sign in: their session was too long for a cookie.
func TestASessionOfSomebodyWithManyGroupsTakesTwoCookies(t *testing.T) {
	sessions, err := newSealer(make([]byte, sessionKeySize))
	if err != nil {
		t.Fatal(err)
	}
	l := &login{SignIn: SignIn{URL: &url.URL{Scheme: "https", Host: "sluice.example.com"}}, sessions: sessions}
	who := signInCookie{identity: identity{Name: "alice"}, Until: time.Unix(1_700_000_000, 0).UTC()}
	browser := map[string]string{}
	for _, groups := range []int{200, 2, 200, 0} {
		who.Groups = nil
		for i := range groups {
			id := noise(64 * (i + 1))[64*i:]
			who.Groups = append(who.Groups, id[:8]+"-"+id[8:12]+"-"+id[12:16]+"-"+id[16:20]+"-"+id[20:32])
		}
		value, err := sessions.seal(sessionCookie, who)
		if err != nil {
			t.Fatalf("%d groups: %v", groups, err)
		}
		w := httptest.NewRecorder()
		l.setParts(w, l.cookie(), value, who.Until)
		r := httptest.NewRequest(http.MethodGet, "https://sluice.example.com/", http.NoBody)
		for _, c := range w.Result().Cookies() {
			if len(c.Value) > maxCookie {
				t.Errorf("%d groups: a cookie of %d bytes", groups, len(c.Value))
			}
			if browser[c.Name] = c.Value; c.MaxAge < 0 {
				delete(browser, c.Name)
			}
		}
		for name, value := range browser {
			r.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		var got signInCookie
		if err := sessions.open(cookieValue(r, l.cookie()), sessionCookie, &got); err != nil || !reflect.DeepEqual(got, who) {
			t.Errorf("%d groups in %d cookies: %v", groups, len(browser), err)
		}
	}
}

func FuzzCookie(f *testing.F) {
	key, err := SessionKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	s, err := newSealer(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		var got signInCookie
		if s.open(text, sessionCookie, &got) == nil {
			t.Errorf("%q was taken for a session: %+v", text, got)
		}
	})
}

// TestWhatARuleAllowsToList: all objects of a kind, not some by name.
func TestWhatARuleAllowsToList(t *testing.T) {
	kind := served{schema.GroupVersionKind{Group: "flagger.app", Version: "v1beta1", Kind: "Canary"},
		schema.GroupVersionResource{Group: "flagger.app", Version: "v1beta1", Resource: "canaries"}}
	rule := func(change func(*authorizationv1.ResourceRule)) authorizationv1.ResourceRule {
		r := authorizationv1.ResourceRule{Verbs: []string{"get", "list"}, APIGroups: []string{"flagger.app"}, Resources: []string{"canaries"}}
		change(&r)
		return r
	}
	for name, test := range map[string]struct {
		change func(*authorizationv1.ResourceRule)
		want   bool
	}{
		"list of the kind":   {func(*authorizationv1.ResourceRule) {}, true},
		"everything":         {func(r *authorizationv1.ResourceRule) { r.Verbs, r.APIGroups, r.Resources = star(), star(), star() }, true},
		"get alone":          {func(r *authorizationv1.ResourceRule) { r.Verbs = []string{"get"} }, false},
		"another group":      {func(r *authorizationv1.ResourceRule) { r.APIGroups = []string{"apps"} }, false},
		"its status alone":   {func(r *authorizationv1.ResourceRule) { r.Resources = []string{"canaries/status"} }, false},
		"one object by name": {func(r *authorizationv1.ResourceRule) { r.ResourceNames = []string{"podinfo"} }, false},
	} {
		if got := lists(rule(test.change), kind); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func star() []string { return []string{"*"} }

// TestAScope is what is shown, and tells users apart who may see different things.
func TestAScope(t *testing.T) {
	in := func(namespaces ...string) reach {
		of := reach{in: map[string]bool{}}
		for _, namespace := range namespaces {
			of.in[namespace] = true
		}
		return of
	}
	scopes := map[string]scope{
		"everything": {everything: true},
		"nothing":    {kinds: map[string]reach{}},
		"one":        {kinds: map[string]reach{"Canary": in("a")}},
		"two":        {kinds: map[string]reach{"Canary": in("a", "b")}},
		"all":        {kinds: map[string]reach{"Canary": {all: true}}},
		"another":    {kinds: map[string]reach{"Pipeline": in("a")}},
	}
	keys := map[string]bool{}
	for _, s := range scopes {
		keys[s.key()] = true
	}
	if len(keys) != len(scopes) {
		t.Errorf("scopes share keys: %v", slices.Collect(maps.Keys(keys)))
	}
	for name, want := range map[string]string{"everything": "ab", "nothing": "", "one": "a", "two": "ab", "all": "ab", "another": ""} {
		got := ""
		for _, namespace := range []string{"a", "b"} {
			if scopes[name].allows("Canary", namespace) {
				got += namespace
			}
		}
		if got != want || scopes[name].allowsAny("Canary") != (want != "") {
			t.Errorf("%s: Canaries of %q, want %q", name, got, want)
		}
	}
	if scopes["two"].key() != (scope{kinds: map[string]reach{"Canary": in("b", "a")}}).key() {
		t.Error("the same scope has two keys")
	}
}
