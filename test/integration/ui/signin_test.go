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

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/harness"
	builder "github.com/sluice-cd/sluice/test/make"
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
