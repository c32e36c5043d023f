// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta/testrestmapper"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/kinds"
	builder "github.com/sluice-cd/sluice/test/make"
)

// clientCache is a cache that has what a client reads.
type clientCache struct {
	informertest.FakeInformers
	client.Reader
}

func (c *clientCache) Get(ctx context.Context, key client.ObjectKey, into client.Object, o ...client.GetOption) error {
	return c.Reader.Get(ctx, key, into, o...)
}

func (c *clientCache) List(ctx context.Context, into client.ObjectList, o ...client.ListOption) error {
	return c.Reader.List(ctx, into, o...)
}

// furnished is a cluster with an application of every kind that has a screen.
func furnished(t testing.TB) *Cluster {
	t.Helper()
	scheme, err := kinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	index := func(of func(corev1.ObjectReference) string) client.IndexerFunc {
		return func(o client.Object) []string {
			e, _ := o.(*corev1.Event)
			return []string{of(e.InvolvedObject)}
		}
	}
	mapper := testrestmapper.TestOnlyStaticRESTMapper(scheme)
	c := fake.NewClientBuilder().WithScheme(scheme).WithRESTMapper(mapper).
		WithIndex(&corev1.Event{}, "involvedObject.uid", index(func(o corev1.ObjectReference) string { return string(o.UID) })).
		WithIndex(&corev1.Event{}, "involvedObject.kind", index(func(o corev1.ObjectReference) string { return o.Kind })).
		WithIndex(&corev1.Event{}, "involvedObject.name", index(func(o corev1.ObjectReference) string { return o.Name })).
		WithObjects(
			builder.Release(now, func(c *flaggerv1.Canary) { c.Spec.TargetRef.Kind = "Deployment" }), builder.Pipeline(now),
			builder.Deployment("apps", "podinfo", "podinfo:1"), builder.Kustomization("apps", "shop"), builder.GitRepository("apps", "fleet"),
			builder.ImageRepository("apps", "app"), builder.ImagePolicy("apps", "app"),
			&imagev1.ImageUpdateAutomation{
				ObjectMeta: builder.Canary("apps", "fleet").ObjectMeta,
				Spec:       imagev1.ImageUpdateAutomationSpec{SourceRef: imagev1.CrossNamespaceSourceReference{Name: "fleet"}},
				Status:     imagev1.ImageUpdateAutomationStatus{LastPushCommit: pushed},
			},
		).Build()
	cluster := &Cluster{client: c, scheme: scheme, mapper: mapper, cache: &clientCache{Reader: c}, User: "eve", kinds: map[string]served{},
		reached: now}
	for _, object := range shown {
		gvk, err := apiutil.GVKForObject(object, scheme)
		if err != nil {
			t.Fatal(err)
		}
		mapping, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if err != nil {
			t.Fatal(err)
		}
		cluster.kinds[gvk.Kind] = served{gvk, mapping.Resource}
	}
	return cluster
}

// fuzzed are the two servers: that of a token, and the one that people sign in at.
func fuzzed(t testing.TB) map[bool]http.Handler {
	t.Helper()
	found := map[bool]http.Handler{}
	for _, signIn := range []bool{false, true} {
		o := Options{Cluster: furnished(t), Token: "secret", Clock: clock.RealClock{}, Log: logr.Discard(),
			Tags: func(context.Context, client.Client, *imagev1.ImageRepository) (Tags, error) {
				return Tags{Names: []string{"1.0.0", "1.1.0", "latest", ""}}, nil
			}}
		o.Commits = commitsFunc(func(client.ObjectKey, plumbing.Hash) (*git.Changes, error) { return changed(), nil })
		if signIn {
			o.Token = ""
			everything := scope{everything: true}
			o.SignIn = &SignIn{OIDC: &OIDC{
				Issuer: issuer, ClientID: "sluice", UsernameClaim: "email", GroupsClaim: "groups", Client: &http.Client{Transport: answers{}},
			}}
			s := signedIn(t, o, map[string]scope{"eve": everything, AnonymousUser: everything})
			found[signIn] = http.MaxBytesHandler(s.handler, maxRequest)
			continue
		}
		s, err := NewServer(o)
		if err != nil {
			t.Fatal(err)
		}
		close(s.ready)
		found[signIn] = http.MaxBytesHandler(s.handler, maxRequest)
	}
	return found
}

// issuer is a provider of OpenID Connect whose tokens nobody has signed.
const issuer = "https://provider.example.com"

// answers are those of the provider.
type answers struct{}

func (answers) RoundTrip(r *http.Request) (*http.Response, error) {
	body := map[string]string{
		"/.well-known/openid-configuration": strings.ReplaceAll(
			`{"issuer":"I","authorization_endpoint":"I/auth","token_endpoint":"I/token","jwks_uri":"I/keys"}`, `"I`, `"`+issuer),
		"/token": `{"access_token":"x","token_type":"Bearer","id_token":"e30.e30.e30"}`, "/keys": `{"keys":[]}`,
	}[r.URL.Path]
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}, nil
}

// attempted is the cookie of somebody whom the page has sent to the provider with state c.
func attempted(t testing.TB) string {
	t.Helper()
	sessions, err := newSealer(make([]byte, sessionKeySize))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := sessions.seal(attemptCookie, attempt{State: "c", Nonce: "n", Verifier: "v", To: "/", Until: time.Now().Add(24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return (&login{SignIn: SignIn{URL: &url.URL{Scheme: "http"}}}).cookie() + "-login=" + sealed
}

// The handlers behind a provider were never reached by what is fuzzed: the server that people sign in at had none.
func TestWhatIsFuzzedReachesTheProvider(t *testing.T) {
	server := fuzzed(t)[true]
	for path, want := range map[string]struct {
		code int
		says string
	}{
		"/login/oidc":                      {http.StatusSeeOther, issuer + "/auth?"},
		"/login/callback?state=c&code=b":   {http.StatusForbidden, ""},
		"/login/callback?state=x&code=b":   {http.StatusBadRequest, "was not asked for"},
		"/login/callback?state=c&error=no": {http.StatusForbidden, "refused: no"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost:8080"+path, http.NoBody)
		r.Header.Set("Cookie", attempted(t))
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		if w.Code != want.code || !strings.Contains(w.Body.String()+w.Header().Get("Location"), want.says) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// tells reports whether an answer has a token that the request itself does not name.
func tells(answer, request string) bool {
	for _, token := range []string{"secret", "token-of-eve"} {
		if strings.Contains(answer, token) && !strings.Contains(request, token) {
			return true
		}
	}
	return false
}

// TestWhatIsFuzzedIsBehindTheSignIn, too: no user was known to the server that people sign in at, so that all was refused alike.
func TestWhatIsFuzzedIsBehindTheSignIn(t *testing.T) {
	for authorization, user := range map[string]string{"Bearer token-of-eve": "eve", "": AnonymousUser} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost:8080/api/v1/lanes", http.NoBody)
		r.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		fuzzed(t)[true].ServeHTTP(w, r)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "podinfo") {
			t.Errorf("%s: %d %s", user, w.Code, w.Body)
		}
	}
}

// maxAnswer bounds what any request may be answered with in a cluster that has one object of each kind.
const maxAnswer = 1 << 20

// FuzzHandlers sends requests of all sorts to all that is served: nothing panics, nothing is our own error, and no answer is
// long or tells the token.
func FuzzHandlers(f *testing.F) {
	for _, path := range []string{
		"/", "/assets/x", "/canary/apps/podinfo", "/login", "/login/oidc", "/login/callback", "/logout", "/api/v1/session", "/api/v1/lanes",
		"/api/v1/stream", "/api/v1/canaries/apps/podinfo", "/api/v1/pipelines/apps/shop", "/api/v1/policies/apps/app",
		"/api/v1/automations/apps/fleet", "/api/v1/objects/Kustomization/apps/shop", "/api/v1/objects/Freeze/-/x", "/api/v1/objects",
		"/api/v1/search",
		"/api/v1/timeline", "/api/v1/everything", "/api/v1/commits/ImageUpdateAutomation/apps/fleet/" + pushed,
		"/api/v1/commits/Pipeline/apps/shop/c0ffee0123456789",
	} {
		f.Add(false, "GET", path, "kind=semver&range=1.x&pattern=(.*)&key=Deployment/apps/podinfo&q=podinfo", "", "Accept-Encoding", "gzip")
		f.Add(true, "GET", path, "token=a&code=b&state=c&to=//evil", "", "Cookie", "session=x; attempt=y")
		f.Add(true, "GET", path, "", "", "Authorization", "") // without signing in
	}
	for _, body := range []string{
		`{"kind":"Kustomization","namespace":"apps","name":"shop","verb":"suspend"}`,
		`{"kind":"Canary","namespace":"apps","name":"podinfo","verb":"abort"}`,
		`{"kind":"Pipeline","namespace":"apps","name":"shop","verb":"rollback","stage":"staging","reason":"slow","bundle":"x"}`,
		`{"kind":"Pipeline","namespace":"apps","name":"shop","verb":"lift"}`, `{"kind":`, `[]`, `{"kind":"Secret","verb":"reconcile"}`,
	} {
		for _, signIn := range []bool{false, true} {
			f.Add(signIn, "POST", "/api/v1/actions", "", body, requestHeader, "1")
		}
	}
	for _, query := range []string{"state=c&code=b", "state=c&error=access_denied&error_description=no", "state=x&code=b"} {
		f.Add(true, "GET", "/login/callback", query, "", "Cookie", attempted(f))
	}
	f.Add(true, "POST", "/login", "", "token=a.b.c&to=/", "Content-Type", "application/x-www-form-urlencoded")
	servers := fuzzed(f)
	f.Fuzz(func(t *testing.T, signIn bool, method, path, query, body, header, value string) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // a stream ends with that
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, method, "http://localhost:8080/", strings.NewReader(body))
		if err != nil {
			return
		}
		r.URL.Path, r.URL.RawQuery, r.RequestURI, r.RemoteAddr = "/"+strings.TrimPrefix(path, "/"), query, path, "127.0.0.1:1"
		r.Header.Set("Authorization", "Bearer "+map[bool]string{false: "secret", true: "token-of-eve"}[signIn])
		r.Header.Set(requestHeader, "1")
		r.Header.Set(header, value)
		w := httptest.NewRecorder()
		begin := time.Now()
		servers[signIn].ServeHTTP(w, r)
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("took %s", took)
		}
		if w.Code == http.StatusInternalServerError || w.Body.Len() > maxAnswer {
			t.Errorf("%d, %d bytes: %.300s", w.Code, w.Body.Len(), w.Body)
		}
		if tells(w.Body.String(), path+query+body+value) {
			t.Errorf("tells the token: %.300s", w.Body)
		}
	})
}
