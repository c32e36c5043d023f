// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/ui"
)

// webTest is what all tests of the web page share: a server of the page, as it runs in a cluster, a browser, and a namespace with an
// application in every state.
type webTest struct {
	*harness.Playground
	browser context.Context
	axe     string
	origin  string
	shop    string
	// production is a namespace in which podinfo runs as well.
	production string
}

// TestThePage in a browser. All of it shares one server and one browser.
func TestThePage(t *testing.T) {
	ctrllog.SetLogger(logr.Discard()) // what goes wrong stands on the page
	w := begin(t)
	for name, test := range map[string]func(*testing.T, *webTest){
		"a person signs in and out by keyboard":              signsInAndOut,
		"a person signs in at a provider":                    atAProvider,
		"every screen in both themes and on a phone":         everyScreen,
		"everything is reached by keyboard":                  byKeyboard,
		"the keyboard passes over cells that are hidden":     passesOverHidden,
		"a webhook that failed is told with its answer":      aFailedWebhook,
		"long names push nothing out of the window":          longNames,
		"wide tables are scrolled by themselves":             wideTables,
		"releases are watched from push to verdict":          watched,
		"every button works, or says which right is missing": pressed,
		"a verb of a stage is a right of its own":            refused,
		"a lost connection heals":                            heals,
		"five hundred lanes are drawn as they come in sight": crowded,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, w)
		})
	}
}

func begin(t *testing.T) *webTest {
	t.Helper()
	w := &webTest{axe: axe(t), Playground: harness.Installed(t)}
	w.browser = launch(t)
	w.GuardCommands(t)
	w.shop, w.production = w.namespace(t, "shop"), w.namespace(t, "production")
	w.furnish(t)
	w.origin = w.serve(t)
	return w
}

// namespace makes one, whose name goes on as no other one's does but in pictures.
func (w *webTest) namespace(t *testing.T, name string) string {
	t.Helper()
	if *pictures == "" {
		return w.NewNamespace(t, name+"-", nil)
	}
	w.create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	return name
}

// serve serves the page to whoever has a token of the API server.
func (w *webTest) serve(t *testing.T) (origin string) {
	t.Helper()
	listener := listen(t, "127.0.0.1:0")
	at := &url.URL{Scheme: "http", Host: listener.Addr().String()}
	key, err := ui.SessionKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := ui.NewCluster(w.REST, "", "")
	if err != nil {
		t.Fatal(err)
	}
	cluster.Name = "demo"
	run(t, listener, ui.Options{
		Cluster: cluster, SignIn: &ui.SignIn{URL: at, Config: w.REST, Key: key, Lifetime: time.Hour}, Commits: pushed{},
		Tags: scanned(time.Now()),
	})
	return at.String()
}

// pushed knows what every commit changed: the image of podinfo, and what is not shown.
type pushed struct{}

func (pushed) Changes(_ context.Context, _ *sourcev1.GitRepository, commit plumbing.Hash, _ git.ChangeLimits) (*git.Changes, error) {
	text := "kind: Deployment\nspec:\n  template:\n    spec:\n      containers:\n      - name: podinfo\n" +
		"        image: %s # {\"$imagepolicy\": \"shop:podinfo\"}\n"
	return &git.Changes{
		Commit: commit, Parent: plumbing.NewHash(strings.Repeat("ab", 20)),
		Info: git.CommitInfo{
			Author: git.Signature{Name: "Sluice", When: time.Now().Add(-13 * time.Minute)}, Message: "Update podinfo to 6.1.0\n",
		},
		Files: []git.Change{
			{Path: "apps/podinfo.yaml", Existed: true, Exists: true,
				Old: fmt.Appendf(nil, text, "ghcr.io/acme/podinfo:6.0.1"), New: fmt.Appendf(nil, text, "ghcr.io/acme/podinfo:6.1.0")},
			{Path: "apps/large.yaml", Exists: true, Omitted: git.OmittedTooLarge},
		},
	}, nil
}

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// run serves the page until the test ends, or stop is called.
func run(t *testing.T, listener net.Listener, options ui.Options) (stop func()) {
	t.Helper()
	options.Version, options.Clock, options.Log = "test", clock.RealClock{}, logr.Discard()
	server, err := ui.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- server.Run(ctx) }()
	go func() { done <- server.Serve(ctx, listener) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		for range 2 {
			if err := <-done; err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return stop
}

// account makes a ServiceAccount that may do some things to all in its namespace, and returns a token of it.
func (w *webTest) account(t *testing.T, namespace, name string, verbs ...string) (token string) {
	t.Helper()
	return w.accountOf(t, namespace, name, rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: verbs})
}

// accountOf makes one with a rule.
func (w *webTest) accountOf(t *testing.T, namespace, name string, rule rbacv1.PolicyRule) (token string) {
	t.Helper()
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	w.create(t, sa,
		&rbacv1.Role{ObjectMeta: sa.ObjectMeta, Rules: []rbacv1.PolicyRule{rule}},
		&rbacv1.RoleBinding{ObjectMeta: sa.ObjectMeta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
			Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: name}}})
	request := &authenticationv1.TokenRequest{}
	if err := w.Client.SubResource("token").Create(t.Context(), sa, request); err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

// visitor is somebody who is signed in, with some rights in a namespace.
func (w *webTest) visitor(t *testing.T, namespace, name string, verbs ...string) *tab {
	t.Helper()
	token := w.account(t, namespace, name, verbs...)
	p := w.newTab(t)
	p.signIn(token)
	return p
}

// create makes objects with their statuses.
func (w *webTest) create(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		with, ok := object.DeepCopyObject().(client.Object)
		if !ok {
			t.Fatalf("%T is no object", object)
		}
		if err := w.Client.Create(t.Context(), object); err != nil {
			t.Fatalf("%T %s: %v", object, object.GetName(), err)
		}
		if !hasStatus(with) {
			continue
		}
		with.SetResourceVersion(object.GetResourceVersion())
		with.SetUID(object.GetUID())
		if err := w.Client.Status().Update(t.Context(), with); err != nil {
			t.Fatalf("status of %T %s: %v", object, object.GetName(), err)
		}
	}
}

// signsInAndOut tries a token that is none, too.
func signsInAndOut(t *testing.T, w *webTest) {
	token := w.account(t, w.shop, "eve", "get", "list", "watch")
	p := w.newTab(t)
	p.do(navigate(p.origin + "/canary/" + w.shop + "/podinfo"))
	p.until("the form", `location.pathname === "/login" && document.activeElement !== null`)
	p.accessible(w, "the form")
	p.look(narrowest, "dark")
	p.fits("the form")
	p.look(wide, "light")
	focusByTab(p, "#token")
	p.keys("nonsense\r")
	p.says("body", "does not accept the token")
	focusByTab(p, "#token")
	p.paste(token)
	p.keys("\r")
	p.until("the screen that was asked for", fmt.Sprintf(`location.pathname === "/canary/%s/podinfo"`, w.shop))
	p.loaded()
	p.says("header", "system:serviceaccount:"+w.shop+":eve")
	p.click("header button", "Sign out")
	p.until("the form", `location.pathname === "/login"`)
	if code := eval[int](p, `fetch("/api/v1/session").then((answer) => answer.status)`); code != http.StatusUnauthorized {
		t.Errorf("after signing out: %d", code)
	}
	p.calm()
}
