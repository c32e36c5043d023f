// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/meta/testrestmapper"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sluice-cd/sluice/internal/kinds"
	"github.com/sluice-cd/sluice/report"
)

func newLogin(t *testing.T, of *OIDC) *login {
	t.Helper()
	at, err := url.Parse("https://sluice.example.com")
	if err != nil {
		t.Fatal(err)
	}
	config := &rest.Config{Host: "https://127.0.0.1:1"}
	sign := SignIn{URL: at, Config: config, Key: make([]byte, sessionKeySize), Lifetime: time.Hour, OIDC: of}
	d, err := sign.open(&Cluster{}, clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Whoever reaches the page could have the API server, and the provider, asked as often at one
// time as there were connections.
func TestPeopleWhoSignInWaitForOneAnother(t *testing.T) {
	d := newLogin(t, &OIDC{Issuer: "https://login.example.com", Client: http.DefaultClient})
	d.signIns = newQueue(1, 0)
	leave, err := d.signIns.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	d.register(mux)
	for path, method := range map[string]string{
		"/login?token=a": http.MethodPost, "/login/oidc": http.MethodGet, "/login/callback?code=a": http.MethodGet,
	} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(method, "https://sluice.example.com"+path, http.NoBody))
		if w.Code != http.StatusTooManyRequests || !strings.Contains(w.Body.String(), errCrowded.Error()) {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "https://sluice.example.com/api/v1/lanes", http.NoBody)
	r.Header.Set("Authorization", "Bearer a")
	if _, err := d.authenticate(r); !errors.Is(err, errCrowded) || codeOf(err) != http.StatusTooManyRequests {
		t.Errorf("with a token: %v", err)
	}
	key, err := identity{Token: "a"}.key()
	if err != nil {
		t.Fatal(err)
	}
	d.views.Put(key, &cachedView{&view{user: "known"}, time.Now().Add(time.Hour)})
	if v, err := d.authenticate(r); err != nil || v.user != "known" {
		t.Errorf("who is known waits: %v", err)
	}
	leave()
	again, err := d.signIns.enter(t.Context())
	if err != nil {
		t.Fatalf("nobody is there: %v", err)
	}
	again()
	q := newQueue(1, 1)
	if _, err := q.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := q.enter(ended); !errors.Is(err, errCrowded) || len(q.places) != 1 {
		t.Errorf("who waited for too long: %v, and %d are there", err, len(q.places))
	}
}

// Who signed in waited for the question of somebody else to the provider, without an end.
func TestAProviderThatHangsIsWaitedForNoLongerThanTheRequest(t *testing.T) {
	asked, end := make(chan struct{}, 10), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-end
	}))
	defer server.Close()
	defer close(end)
	d := newLogin(t, &OIDC{Issuer: server.URL, Client: server.Client()})
	go func() { _, _ = d.provider.discover(t.Context()) }()
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.provider.discover(ctx); err == nil || !strings.Contains(err.Error(), "does not answer in time") || len(asked) != 0 {
		t.Errorf("asked %d times more: %v", len(asked), err)
	}
}

// ServiceAccounts of one namespace, each with rights of its own, took all boards.
func TestANamespaceHasAShareOfTheBoards(t *testing.T) {
	scheme, err := kinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	of := &Cluster{scheme: scheme}
	b := newBoards(clock.RealClock{})
	join := func(user, sees string) (*reader, error) {
		return b.join(t.Context(), &view{Cluster: of, user: user, rights: &rights{fixed: &scope{
			kinds: map[string]reach{"Canary": {in: map[string]bool{sees: true}}},
		}}})
	}
	var first *reader
	for i := range maxBoardsPerNamespace {
		if first, err = join(fmt.Sprintf("system:serviceaccount:mallory:%d", i), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := join("system:serviceaccount:mallory:one-more", "more"); !errors.Is(err, errTooManyBoards) {
		t.Errorf("one more: %v", err)
	}
	if r, err := join("system:serviceaccount:mallory:same", "1"); err != nil {
		t.Errorf("a board that is there: %v", err)
	} else {
		r.leave()
	}
	if _, err := join("alice", "alice"); err != nil {
		t.Errorf("somebody else: %v", err)
	}
	first.leave()
	if _, err := join("system:serviceaccount:mallory:one-more", "more"); err != nil {
		t.Errorf("after one has left: %v", err)
	}
}

// All who did not sign in are one user of the API server: twenty pages of one of them kept out all others.
func TestPeopleWhoDidNotSignInKeepOutNobody(t *testing.T) {
	for what, tc := range map[string]struct {
		path               string
		share              func(*Server) *userLimits
		one, anonymous, of int
	}{
		"pages": {"/api/v1/stream", func(s *Server) *userLimits { return &s.streams }, maxStreams, maxAnonymousStreams, maxAllStreams},
		"requests": {"/api/v1/session", func(s *Server) *userLimits { return &s.requests },
			maxRequests, maxAnonymousRequests, maxAllRequests},
	} {
		t.Run(what, func(t *testing.T) {
			s := newServer(t)
			of := tc.share(s)
			refused := func(user string) string {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				known := &view{Cluster: s.Cluster, user: user, rights: &rights{fixed: &scope{}}}
				s.authenticator = only{known}
				w := httptest.NewRecorder()
				r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+tc.path, http.NoBody)
				s.handler.ServeHTTP(flushed{w, cancel}, r)
				if w.Code != http.StatusTooManyRequests {
					return ""
				}
				return w.Body.String()
			}
			take := func(user string, n int) {
				t.Helper()
				for i := range n {
					if !of.tryAcquire(user) {
						t.Fatalf("%s gets %d of %d", user, i, n)
					}
				}
			}
			take(AnonymousUser, tc.anonymous)
			if why := refused(AnonymousUser); !strings.Contains(why, "sign in, or try again") {
				t.Errorf("one more without signing in: %q", why)
			}
			take("alice", tc.one)
			if why := refused("alice"); why == "" || strings.Contains(why, "sign in") {
				t.Errorf("one more of a user: %q", why)
			}
			of.release("alice")
			if why := refused("alice"); why != "" {
				t.Errorf("after one of a user has ended: %q", why)
			}
			take("alice", 1)
			for i := range (tc.of - tc.anonymous - tc.one) / tc.one {
				take(fmt.Sprint("user ", i), tc.one)
			}
			take("the last", (tc.of-tc.anonymous-tc.one)%tc.one)
			if refused("somebody else") == "" {
				t.Error("more than all may have")
			}
			of.release(AnonymousUser)
			if why := refused("somebody else"); why != "" {
				t.Errorf("after one has ended: %q", why)
			}
		})
	}
}

// flushed tells when a stream has begun.
type flushed struct {
	*httptest.ResponseRecorder
	begun func()
}

func (f flushed) Flush() { f.begun() }

// only lets in one user.
type only struct{ *view }

func (only) serves(string) bool                          { return true }
func (only) register(*http.ServeMux)                     {}
func (o only) authenticate(*http.Request) (*view, error) { return o.view, nil }
func (only) canSignOut() bool                            { return false }

// One error of the API server while the page began ended the controller.
func TestAnAPIServerThatFailsOnceIsAskedAgain(t *testing.T) {
	scheme, err := kinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	failures := 2
	knows := fake.NewClientBuilder().WithScheme(scheme).WithRESTMapper(testrestmapper.TestOnlyStaticRESTMapper(scheme)).Build()
	c := interceptor.NewClient(knows, interceptor.Funcs{
		Create: func(_ context.Context, _ client.WithWatch, obj client.Object, _ ...client.CreateOption) error {
			if _, ok := obj.(*authorizationv1.SelfSubjectAccessReview); ok && failures > 0 {
				failures--
				return errors.New("etcd has no leader")
			}
			return nil // and is not allowed
		}})
	now := clocktesting.NewFakeClock(time.Unix(1_700_000_000, 0))
	told := make(chan error, 10)
	s := &Server{
		Options: Options{
			Cluster: &Cluster{clock: clock.RealClock{}, client: c, scheme: scheme, kinds: map[string]served{}, pending: map[string]pending{},
				cache: &informertest.FakeInformers{Scheme: scheme}},
			Clock: now, Unavailable: func(err error) { told <- err },
		},
		boards: newBoards(now), ready: make(chan struct{}),
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for range 2 {
		if err := <-told; !strings.Contains(err.Error(), "etcd has no leader") {
			t.Errorf("told %v", err)
		}
		for !now.HasWaiters() {
			runtime.Gosched()
		}
		now.Step(startRetry)
	}
	<-s.ready
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	// sluice ui ends, and says why.
	s.Unavailable, failures = nil, 1
	if err := s.Cluster.start(t.Context(), func(report.ObjectReference) {}, s.waitToRetry); err == nil {
		t.Error("no error")
	}
}

// slowCache tells whose list it has been asked for, and answers once it is open.
type slowCache struct {
	clientCache
	of    string
	asked chan<- string
	open  <-chan struct{}
}

func (c *slowCache) List(ctx context.Context, into client.ObjectList, o ...client.ListOption) error {
	select {
	case <-c.open:
	default:
		c.asked <- c.of
		<-c.open
	}
	return c.clientCache.List(ctx, into, o...)
}

// A change of an object that many boards are made of had all of them compute their lanes side by side.
func TestFewBoardsAreComputedAtOneTimeAndThoseOfDifferentPeople(t *testing.T) {
	b := newBoards(clock.RealClock{})
	asked, open := make(chan string), make(chan struct{})
	var readers []*reader
	begin := func(user, namespace string) {
		t.Helper()
		cluster := furnished(t)
		cached, ok := cluster.cache.(*clientCache)
		if !ok {
			t.Fatal("it has another cache")
		}
		cluster.cache = &slowCache{clientCache: *cached, of: user, asked: asked, open: open}
		sees := scope{kinds: map[string]reach{"Canary": {in: map[string]bool{namespace: true}}}}
		r, err := b.join(t.Context(), &view{Cluster: cluster, user: user, rights: &rights{fixed: &sees}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.leave)
		readers = append(readers, r)
	}
	for i := range 5 {
		begin("eve", fmt.Sprintf("eve-%d", i))
	}
	if who := <-asked; who != "eve" {
		t.Errorf("the first is that of %s", who)
	}
	begin("ada", "ada")
	if who := <-asked; who != "ada" {
		t.Errorf("ada waits for five boards of eve: %s has two", who)
	}
	if b.computing.TryAcquire("bob") {
		t.Error("more than two are computed")
	}
	close(open)
	for _, r := range readers {
		if _, err := r.known(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// Who did not sign in has the rights of a ServiceAccount that has none: of a board that both read, the lanes waited for all other boards of
// the account's namespace when one of these had opened it first.
func TestASharedBoardDoesNotWaitForAllBoardsOfWhoOpenedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, cluster := newBoards(clock.RealClock{}), furnished(t)
		join := func(user string, sees scope) *reader {
			t.Helper()
			r, err := b.join(t.Context(), &view{Cluster: cluster, user: user, rights: &rights{fixed: &sees}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(r.leave)
			return r
		}
		shared := in("apps", "Canary")
		join("system:serviceaccount:tenant:one", shared)
		join("system:serviceaccount:tenant:two", in("tenant", "Canary"))
		reader := join(AnonymousUser, shared)
		synctest.Wait() // all are computed
		busy := ownerOf("system:serviceaccount:tenant:two")
		if !b.computing.TryAcquire(busy) {
			t.Fatal("something is being computed")
		}
		_, next := reader.snapshot()
		b.changed(report.ObjectReference{Kind: "Canary", Namespace: "apps", Name: "podinfo"})
		time.Sleep(2 * settling)
		select {
		case <-next:
		default:
			t.Error("the lanes wait for boards of the tenant")
		}
		b.computing.Release(busy)
	})
}
