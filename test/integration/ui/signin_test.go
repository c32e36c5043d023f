// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/gitea"
	"github.com/sluice-cd/sluice/test/harness"
	builder "github.com/sluice-cd/sluice/test/make"
	"github.com/sluice-cd/sluice/ui"
)

// browser keeps cookies and follows redirects, but for none of another site: what it sends is not asked to.
type browser struct {
	*testing.T
	http.Client
	url string // of the page
}

func newBrowser(t *testing.T, page string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{T: t, Client: http.Client{Jar: jar}, url: page}
}

// do sends a request, and returns what came of it in the end.
func (b *browser) do(method, address, body string, headers ...string) (code int, text string) {
	b.Helper()
	if strings.HasPrefix(address, "/") {
		address = b.url + address
	}
	r, err := http.NewRequestWithContext(b.Context(), method, address, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	if method == http.MethodPost {
		u, err := url.Parse(address)
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Origin", u.Scheme+"://"+u.Host)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := b.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		b.Fatal(err)
	}
	return answer.StatusCode, string(data)
}

// session is who the page takes the browser for.
func (b *browser) session() (found struct {
	User     string
	ReadOnly bool
	Kinds    []string
}, code int) {
	b.Helper()
	code, text := b.do(http.MethodGet, "/api/v1/session", "")
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		b.Fatal(err, text)
	}
	return found, code
}

// account makes a ServiceAccount with some rights in its namespace, and a token of it.
func account(t *testing.T, p *harness.Playground, namespace string, verbs ...string) (name, token string) {
	t.Helper()
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "dev"}}
	if err := p.Client.Create(t.Context(), sa); err != nil {
		t.Fatal(err)
	}
	name = "system:serviceaccount:" + namespace + ":dev"
	tenant(t, p, name, namespace, verbs...)
	request := &authenticationv1.TokenRequest{}
	if err := p.Client.SubResource("token").Create(t.Context(), sa, request); err != nil {
		t.Fatal(err)
	}
	return name, request.Status.Token
}

// freeURL is where a page can be served.
func freeURL(t *testing.T) *url.URL {
	t.Helper()
	address, err := harness.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return &url.URL{Scheme: "http", Host: address}
}

// TestAPersonWithATokenSeesAndDoesWhatItMay at the page of the real controller, which leaves a trace of it.
func TestAPersonWithATokenSeesAndDoesWhatItMay(t *testing.T) {
	t.Parallel()
	p := harness.Installed(t)
	mine, theirs := p.NewNamespace(t, "mine-", nil), p.NewNamespace(t, "theirs-", nil)
	for _, namespace := range []string{mine, theirs} {
		k := builder.Kustomization(namespace, "app-of-"+namespace)
		k.Spec.Suspend = true
		if err := p.Client.Create(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		if err := p.Client.Create(t.Context(), builder.Canary(namespace, "app-of-"+namespace)); err != nil {
			t.Fatal(err)
		}
	}
	name, token := account(t, p, mine, "get", "list", "watch", "patch")
	at := freeURL(t)
	controller, err := p.StartController(t.Context(), t.TempDir(), "--controllers=notification", "--ui-addr", at.Host, "--ui-url", at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(controller.Stop)
	b := newBrowser(t, at.String())
	awaitPage(t, b)

	code, text := b.do(http.MethodGet, "/api/v1/lanes", "")
	if code != http.StatusUnauthorized || !strings.Contains(text, `"login":"/login"`) {
		t.Errorf("before signing in: %d %s", code, text)
	}
	if code, text := b.do(http.MethodPost, "/login", url.Values{"token": {"nonsense"}}.Encode()); code != http.StatusUnauthorized ||
		!strings.Contains(text, "does not accept the token") {
		t.Errorf("with a token that is none: %d %s", code, text)
	}
	form := url.Values{"token": {token}, "to": {"/"}}.Encode()
	if code, _ := b.do(http.MethodPost, "/login", form, "Origin", "https://evil.example.com"); code != http.StatusForbidden {
		t.Errorf("signed in by another page: %d", code)
	}
	if code, text := b.do(http.MethodGet, "/api/v1/session", "", "Host", "evil.example.com"); code == http.StatusOK {
		t.Errorf("by another name: %d %s", code, text)
	}
	b.do(http.MethodPost, "/login", form)
	who, code := b.session()
	if code != http.StatusOK || who.User != name || who.ReadOnly {
		t.Fatalf("got %d, %+v", code, who)
	}
	for path, want := range map[string]int{
		"/api/v1/objects?kind=Kustomization": http.StatusOK,
		"/api/v1/lanes":                      http.StatusOK,
		"/api/v1/timeline?key=Canary/" + theirs + "/app-of-" + theirs:   http.StatusNotFound,
		"/api/v1/objects/Kustomization/" + mine + "/app-of-" + mine:     http.StatusOK,
		"/api/v1/objects/Kustomization/" + theirs + "/app-of-" + theirs: http.StatusForbidden,
		"/api/v1/objects?kind=Secret":                                   http.StatusNotFound,
	} {
		code, text := b.do(http.MethodGet, path, "")
		if code != want || code == http.StatusOK && (strings.Contains(text, theirs) || !strings.Contains(text, mine)) {
			t.Errorf("%s: got %d %s, want %d", path, code, text, want)
		}
	}
	press := func(namespace, verb string) (int, string) {
		return b.do(http.MethodPost, "/api/v1/actions", `{"kind":"Kustomization","namespace":"`+namespace+`","name":"app-of-`+namespace+
			`","verb":"`+verb+`","reason":"an incident"}`, "X-Sluice-Request", "1", "Content-Type", "application/json")
	}
	if code, text := press(theirs, "resume"); code != http.StatusForbidden || !strings.Contains(text, name) {
		t.Errorf("of another: %d %s", code, text)
	}
	if code, text := press(mine, "resume"); code != http.StatusNoContent {
		t.Errorf("of one's own: %d %s", code, text)
	}
	want := "resume, by " + name + " at the web page: an incident"
	if _, err := harness.Eventually(t.Context(), "an event of the command", harness.Patience, func(ctx context.Context) (bool, string) {
		var events corev1.EventList
		if err := p.Client.List(ctx, &events, client.InNamespace(mine)); err != nil {
			return false, err.Error()
		}
		for _, e := range events.Items {
			if e.Reason == "CommandGiven" && e.Message == want && e.InvolvedObject.Name == "app-of-"+mine && e.InvolvedObject.UID != "" {
				return true, ""
			}
		}
		return false, "no event"
	}); err != nil {
		t.Error(err)
	}
	b.do(http.MethodPost, "/logout", "")
	if _, code := b.session(); code != http.StatusUnauthorized {
		t.Errorf("after signing out: %d", code)
	}
	if strings.Contains(controller.Tail(1<<20), token) {
		t.Error("the log has the token")
	}
}

func awaitPage(t *testing.T, b *browser) {
	t.Helper()
	if _, err := harness.Eventually(t.Context(), "the page", harness.Patience, func(ctx context.Context) (bool, string) {
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", strings.TrimPrefix(b.url, "http://"))
		if err != nil {
			return false, err.Error()
		}
		return connection.Close() == nil, ""
	}); err != nil {
		t.Fatal(err)
	}
}

// provided serves the page to people of a forge, and to those who do not sign in.
func provided(t *testing.T, p *harness.Playground, at *url.URL, s ui.SignIn) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", at.Host)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ui.SessionKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.URL, s.Config, s.Key, s.Lifetime = at, p.REST, key, time.Hour
	serve(t, clusterOf(t, p, "", ""), listener, ui.Options{SignIn: &s})
}

// TestPeopleOfAProviderAreWhoRBACNames by user and by group, and nobody is without signing in.
func TestPeopleOfAProviderAreWhoRBACNames(t *testing.T) {
	t.Parallel()
	p := harness.Installed(t)
	forge := gitea.Require(t)
	eve, err := forge.NewPerson(t.Context(), "eve")
	if err != nil {
		t.Fatal(err)
	}
	if err := eve.NewOrganization(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	team, public := p.NewNamespace(t, "team-", nil), p.NewNamespace(t, "public-", nil)
	for _, namespace := range []string{team, public} {
		if err := p.Client.Create(t.Context(), builder.Canary(namespace, "app-of-"+namespace)); err != nil {
			t.Fatal(err)
		}
	}
	bind(t, p, team, rbacv1.Subject{Kind: rbacv1.GroupKind, Name: "oidc:acme", APIGroup: rbacv1.GroupName})
	bind(t, p, public, rbacv1.Subject{Kind: rbacv1.UserKind, Name: ui.AnonymousUser, APIGroup: rbacv1.GroupName})
	at := freeURL(t)
	app, err := forge.Admin.NewApplication(t.Context(), "sluice", at.JoinPath("login", "callback").String())
	if err != nil {
		t.Fatal(err)
	}
	provided(t, p, at, ui.SignIn{Anonymous: true, OIDC: &ui.OIDC{
		Issuer: forge.URL, ClientID: app.ClientID, ClientSecret: app.ClientSecret, Client: &http.Client{Timeout: harness.Patience},
		UsernameClaim: "preferred_username", UsernamePrefix: "oidc:", GroupsClaim: "groups", GroupsPrefix: "oidc:",
		Scopes: []string{"profile", "email", "groups"},
	}})
	b := newBrowser(t, at.String())
	sees := func(who string, wants, wantsNot string) {
		t.Helper()
		code, text := b.do(http.MethodGet, "/api/v1/lanes", "")
		if code != http.StatusOK || !strings.Contains(text, wants) || strings.Contains(text, wantsNot) {
			t.Errorf("%s sees %d %s", who, code, text)
		}
	}
	suspend := `{"kind":"Canary","namespace":"` + public + `","name":"app-of-` + public + `","verb":"suspend"}`
	who, _ := b.session()
	if who.User != ui.AnonymousUser || !who.ReadOnly {
		t.Errorf("without signing in: %+v", who)
	}
	sees("nobody", public, team)
	code, text := b.do(http.MethodPost, "/api/v1/actions", suspend, "X-Sluice-Request", "1")
	if code != http.StatusForbidden || !strings.Contains(text, "/login") {
		t.Errorf("a button of nobody: %d %s", code, text)
	}

	account := url.Values{"user_name": {eve.Name}, "password": {eve.Password}}.Encode()
	if code, text = b.do(http.MethodPost, forge.URL+"/user/login", account); code != http.StatusOK {
		t.Fatal(code, text)
	}
	code, text = b.do(http.MethodGet, "/login", "")
	if code != http.StatusOK || !strings.Contains(text, "Sign in with "+strings.TrimPrefix(forge.URL, "http://")) {
		t.Errorf("the form: %d %s", code, text)
	}
	code, grant := b.do(http.MethodGet, "/login/oidc?to=/canary/a/b", "")
	if code != http.StatusOK || !strings.Contains(grant, app.ClientID) {
		t.Fatalf("the provider asks nothing: %d %s", code, grant)
	}
	consent := url.Values{"granted": {"true"}}
	for _, name := range []string{"client_id", "redirect_uri", "state", "scope", "nonce"} {
		consent.Set(name, inputOf(grant, name))
	}
	code, text = b.do(http.MethodPost, forge.URL+"/login/oauth/grant", consent.Encode())
	if code != http.StatusOK || !strings.Contains(text, `url=/canary/a/b`) {
		t.Fatalf("back from the provider: %d %s", code, text)
	}
	if who, _ = b.session(); who.User != "oidc:eve" || who.ReadOnly {
		t.Errorf("signed in: %+v", who)
	}
	sees("eve", team, public)
	code, text = b.do(http.MethodGet, "/login/callback?code=x&state=y", "")
	if code != http.StatusBadRequest || !strings.Contains(text, "sign in again") {
		t.Errorf("a callback that nobody asked for: %d %s", code, text)
	}
}

// inputOf is the value of a hidden field of a form.
func inputOf(page, name string) string {
	_, rest, _ := strings.Cut(page, `name="`+name+`" value="`)
	value, _, _ := strings.Cut(rest, `"`)
	return strings.NewReplacer("&amp;", "&", "&#43;", "+").Replace(value)
}

// bind lets somebody read a namespace.
func bind(t *testing.T, p *harness.Playground, namespace string, who rbacv1.Subject) {
	t.Helper()
	for _, object := range []client.Object{
		&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "view"}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{"*"}, Resources: []string{"canaries", "deployments"}, Verbs: []string{"get", "list", "watch"}},
		}},
		&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "view"},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "view"}, Subjects: []rbacv1.Subject{who}},
	} {
		if err := p.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
}
