// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/test/gitea"
	"github.com/sluice-cd/sluice/test/harness"
	builder "github.com/sluice-cd/sluice/test/make"
	"github.com/sluice-cd/sluice/ui"
)

// atAProvider signs in at a forge: people of it are whom RBAC names by user and by group, and nobody is without signing in.
func atAProvider(t *testing.T, w *webTest) {
	forge := gitea.Require(t)
	eve, err := forge.NewPerson(t.Context(), "eve")
	if err != nil {
		t.Fatal(err)
	}
	if err := eve.NewOrganization(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	team, public := w.NewNamespace(t, "team-", nil), w.NewNamespace(t, "public-", nil)
	for _, namespace := range []string{team, public} {
		w.create(t, builder.Canary(namespace, "app-of-"+namespace))
	}
	w.bind(t, team, rbacv1.Subject{Kind: rbacv1.GroupKind, Name: "oidc:acme", APIGroup: rbacv1.GroupName})
	w.bind(t, public, rbacv1.Subject{Kind: rbacv1.UserKind, Name: ui.AnonymousUser, APIGroup: rbacv1.GroupName})
	p := w.newTab(t)
	p.origin = w.provided(t, forge)
	sees := func(wants, wantsNot string) {
		t.Helper()
		p.open("/")
		p.says("main", wants)
		if eval[bool](p, fmt.Sprintf(`document.body.innerText.includes(%q)`, wantsNot)) {
			t.Errorf("sees %s", wantsNot)
		}
	}

	sees(public, team)
	p.says("header", ui.AnonymousUser+" · read-only")
	p.open("/canary/" + public + "/app-of-" + public)
	if n := eval[int](p, `document.querySelectorAll(".heading .action").length`); n > 0 {
		t.Errorf("who may change nothing is shown %d buttons", n)
	}
	suspend := fmt.Sprintf(`{"kind":"Canary","namespace":%q,"name":"app-of-%s","verb":"suspend"}`, public, public)
	if code := eval[int](p, fmt.Sprintf(`fetch("/api/v1/actions", {method: "POST", headers: {"X-Sluice-Request": "1"}, body: %q})
		.then((answer) => answer.status)`, suspend)); code != http.StatusForbidden {
		t.Errorf("a button of nobody: %d", code)
	}

	asked := "/canary/" + team + "/app-of-" + team
	p.do(navigate(p.origin + asked))
	p.says("main [role=alert]", "forbidden")
	p.click("header a", "Sign in")
	p.click("a.button", "Sign in with "+forge.URL[len("http://"):])
	p.until("the form of the provider", `document.querySelector("#user_name") !== null && location.origin === "`+forge.URL+`"`)
	p.fill("#user_name", eve.Name)
	p.fill("#password", eve.Password)
	p.keys("\r")
	p.click("#authorize-app", "")
	p.until("the screen that was asked for", fmt.Sprintf(`location.href === %q`, p.origin+asked))
	p.loaded()
	p.says("header", "oidc:eve")
	sees(team, public)
	if code := eval[int](p, `fetch("/login/callback?code=x&state=y").then((answer) => answer.status)`); code != http.StatusBadRequest {
		t.Errorf("a callback that nobody asked for: %d", code)
	}
	p.click("header button", "Sign out")
	p.until("the form", `location.pathname === "/login"`)
	p.calm()
}

// provided serves the page to people of a forge, and to those who do not sign in. For a browser, the page and the forge are
// of two sites.
func (w *webTest) provided(t *testing.T, forge *gitea.Server) (origin string) {
	t.Helper()
	listener := listen(t, "127.0.0.1:0")
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	at := &url.URL{Scheme: "http", Host: "localhost:" + port}
	app, err := forge.Admin.NewApplication(t.Context(), "sluice", at.JoinPath("login", "callback").String())
	if err != nil {
		t.Fatal(err)
	}
	key, err := ui.SessionKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := ui.NewCluster(w.REST, "", "")
	if err != nil {
		t.Fatal(err)
	}
	run(t, listener, ui.Options{Cluster: cluster, SignIn: &ui.SignIn{
		URL: at, Config: w.REST, Key: key, Lifetime: time.Hour, Anonymous: true, OIDC: &ui.OIDC{
			Issuer: forge.URL, ClientID: app.ClientID, ClientSecret: app.ClientSecret, Client: &http.Client{Timeout: harness.Patience},
			UsernameClaim: "preferred_username", UsernamePrefix: "oidc:", GroupsClaim: "groups", GroupsPrefix: "oidc:",
			Scopes: []string{"profile", "email", "groups"},
		},
	}})
	return at.String()
}

// fill types a text into a field.
func (p *tab) fill(field, text string) {
	p.Helper()
	eval[any](p, fmt.Sprintf(`document.querySelector(%q).focus(), null`, field))
	p.paste(text)
}

// bind lets somebody read the Canaries of a namespace.
func (w *webTest) bind(t *testing.T, namespace string, who rbacv1.Subject) {
	t.Helper()
	of := metav1.ObjectMeta{Namespace: namespace, Name: "view-of-" + who.Name}
	w.create(t,
		&rbacv1.Role{ObjectMeta: of, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{"*"}, Resources: []string{"canaries", "deployments"}, Verbs: []string{"get", "list", "watch"}},
		}},
		&rbacv1.RoleBinding{ObjectMeta: of, Subjects: []rbacv1.Subject{who},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: of.Name}})
}
