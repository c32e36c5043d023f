// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/report"
)

// signedIn has a server that people sign in at, which knows who has the tokens of some users, and what these may see. The token of
// [AnonymousUser] is none.
func signedIn(t testing.TB, o Options, users map[string]scope) *Server {
	t.Helper()
	var provider *OIDC
	if o.SignIn != nil {
		provider = o.SignIn.OIDC
	}
	o.SignIn = &SignIn{
		OIDC: provider,
		URL:  &url.URL{Scheme: "http", Host: "localhost:8080"}, Config: &rest.Config{Host: "http://127.0.0.1:1"},
		Key: make([]byte, sessionKeySize), Lifetime: time.Hour, Anonymous: true,
	}
	s, err := NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	l, ok := s.authenticator.(*login)
	if !ok {
		t.Fatalf("people sign in at %T", s.authenticator)
	}
	for user, of := range users {
		who := identity{Token: "token-of-" + user}
		if user == AnonymousUser {
			who = identity{Name: user}
		}
		key, err := who.key()
		if err != nil {
			t.Fatal(err)
		}
		l.views.Put(key, &cachedView{until: time.Now().Add(24 * time.Hour), view: &view{
			Cluster: o.Cluster, client: o.Cluster.client, user: user, readOnly: user == AnonymousUser, rights: &rights{fixed: &of},
		}})
	}
	close(s.ready)
	return s
}

// in is what a tenant may list who may list some kinds of a namespace.
func in(namespace string, kinds ...string) scope {
	found := scope{kinds: map[string]reach{}}
	for _, kind := range kinds {
		found.kinds[kind] = reach{in: map[string]bool{namespace: true}}
	}
	return found
}

// follow opens the stream of a user, and returns the next event that is not of lanes, or those if asked for.
func follow(t *testing.T, at, user string) func(event string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at+"/api/v1/stream", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer token-of-"+user)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, maxAnswer)
	return func(event string) string {
		t.Helper()
		for lines.Scan() {
			if lines.Text() == "event: "+event && lines.Scan() {
				return strings.TrimPrefix(lines.Text(), "data: ")
			}
		}
		t.Fatalf("the stream of %s ended: %d %v", user, answer.StatusCode, lines.Err())
		return ""
	}
}

func TestTheOnlyNamespaceIsNamedToWhoMaySeeSomethingThere(t *testing.T) {
	cluster := furnished(t)
	cluster.namespace = "apps"
	s := signedIn(t, Options{Cluster: cluster, Clock: clock.RealClock{}, Log: logr.Discard()}, map[string]scope{
		"apps": in("apps", "Canary"), "other": in("other", "Canary"), AnonymousUser: {},
	})
	for user, want := range map[string]string{"apps": "apps", "other": "", AnonymousUser: ""} {
		r := httptest.NewRequest(http.MethodGet, "http://localhost:8080/api/v1/session", http.NoBody)
		if user != AnonymousUser {
			r.Header.Set("Authorization", "Bearer token-of-"+user)
		}
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		var got Session
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Namespace != want {
			t.Errorf("%s is told of %q (%v): %s", user, got.Namespace, err, w.Body)
		}
	}
}

// Nothing but the stream itself showed whether a tenant is told that objects of another one change: which they are, and when.
func TestNoTenantIsToldOfChangesOfAnothersObjects(t *testing.T) {
	o := Options{Cluster: furnished(t), Clock: clock.RealClock{}, Log: logr.Discard()}
	s := signedIn(t, o, map[string]scope{"apps": in("apps", "Canary", "Kustomization"), "other": in("other", "Canary")})
	server := httptest.NewServer(s.handler)
	t.Cleanup(server.Close) // after the streams have ended, for which it waits
	streams := map[string]func(string) string{}
	for _, tenant := range []string{"apps", "other"} {
		next := follow(t, server.URL, tenant)
		if lanes := next("lanes"); strings.Contains(lanes, "podinfo") != (tenant == "apps") {
			t.Errorf("%s sees %s", tenant, lanes)
		}
		streams[tenant] = next
	}
	for _, object := range []report.ObjectReference{
		{Kind: "Canary", Namespace: "other", Name: "theirs"}, {Kind: "Canary", Namespace: "apps", Name: "podinfo"},
		{Kind: "Kustomization", Namespace: "other", Name: "unlisted"}, {Kind: "Freeze", Name: "everywhere"},
	} {
		s.boards.changed(object)
	}
	for tenant, want := range map[string]report.ObjectReference{
		"apps":  {Kind: "Canary", Namespace: "apps", Name: "podinfo"},
		"other": {Kind: "Canary", Namespace: "other", Name: "theirs"},
	} {
		told := func() (object report.ObjectReference) {
			if err := json.Unmarshal([]byte(streams[tenant]("object")), &object); err != nil {
				t.Fatal(err)
			}
			return object
		}
		last := report.ObjectReference{Kind: "Canary", Namespace: tenant, Name: "last"}
		found := []report.ObjectReference{told()}
		s.boards.changed(last) // what changed before comes before it, or with the first
		for found[len(found)-1] != last {
			found = append(found, told())
		}
		if !slices.Equal(found, []report.ObjectReference{want, last}) {
			t.Errorf("%s was told of %v", tenant, found)
		}
	}
}

// A tenant was not told of a kind that came into sight: its page showed it as missing until it was loaded again.
func TestATenantIsToldOfAKindThatComesIntoSight(t *testing.T) {
	s := signedIn(t, Options{Cluster: furnished(t), Clock: clock.RealClock{}, Log: logr.Discard()},
		map[string]scope{"apps": in("apps", "Canary", "ImagePolicy")})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost:8080/api/v1/stream", http.NoBody)
	r.Header.Set("Authorization", "Bearer token-of-apps")
	v, err := s.authenticator.authenticate(r)
	if err != nil {
		t.Fatal(err)
	}
	who, err := s.boards.join(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	now := in("apps", "Canary", "Kustomization")
	v.rights.fixed = &now
	if who, err = s.currentReader(r, who); err != nil {
		t.Fatal(err)
	}
	defer who.leave()
	told, err := who.taken()
	slices.SortFunc(told, func(a, b report.ObjectReference) int { return strings.Compare(a.Kind, b.Kind) })
	if want := []report.ObjectReference{{Kind: "ImagePolicy"}, {Kind: "Kustomization"}}; err != nil || !slices.Equal(told, want) {
		t.Errorf("told of %v, want %v (%v)", told, want, err)
	}
}
