// SPDX-License-Identifier: Apache-2.0

package kubeconfig

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-cd/sluice/internal/keysize/keysizetest"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/test/fake/apiserver"
	builder "github.com/sluice-cd/sluice/test/make"
)

func reader(objects ...client.Object) *Reader {
	return &Reader{
		Objects: fake.NewClientBuilder().WithObjects(objects...).Build(), Clock: clocktesting.NewFakePassiveClock(time.Unix(1_700_000_000, 0)),
	}
}

func reference(name, key string) *meta.KubeConfigReference {
	return &meta.KubeConfigReference{SecretRef: &meta.SecretKeyReference{Name: name, Key: key}}
}

func TestWhichKubeConfigsAreRefused(t *testing.T) {
	changed := func(old, with string) map[string][]byte {
		text := string(apiserver.KubeConfig("https://hunter2.example.com", "hunter2"))
		return map[string][]byte{"value": []byte(strings.Replace(text, old, with, 1))}
	}
	for name, tc := range map[string]struct {
		at   *meta.KubeConfigReference
		data map[string][]byte
		want string
	}{
		"neither":   {&meta.KubeConfigReference{}, nil, "it names neither a secretRef nor a configMapRef"},
		"no Secret": {reference("missing", ""), nil, "Secret apps/missing does not exist"},
		"no key": {
			reference("remote", ""), map[string][]byte{"other": nil},
			"Secret apps/remote: it has no key 'value' with a kubeconfig",
		},
		"not the key of the name": {reference("remote", "eu"), map[string][]byte{"value": []byte("x")}, "it has no key 'eu' with a kubeconfig"},
		"no YAML": {
			reference("remote", ""), map[string][]byte{"value": []byte("{hunter2")},
			"its kubeconfig is no valid YAML of that kind",
		},
		"too long": {reference("remote", ""), map[string][]byte{"value": make([]byte, maxKubeConfig+1)}, "more than 262144 bytes"},
		"a command": {
			reference("remote", ""),
			changed("token: hunter2", "exec: {command: hunter2, apiVersion: client.authentication.k8s.io/v1}"),
			"user \"u\" has `exec`, and commands are run only by a controller with --insecure-kubeconfig-exec",
		},
		"a file with a token": {
			reference("remote", ""), changed("token: hunter2", "tokenFile: /hunter2"),
			"user \"u\" names files, which are not read",
		},
		"a file with a key": {
			reference("remote", ""), changed("token: hunter2", "client-key: /hunter2"),
			"user \"u\" names files, which are not read",
		},
		"a file with certificates": {
			reference("remote", ""), changed("server:", "certificate-authority: /hunter2, server:"), "cluster \"c\" names a file, which is not read",
		},
		"a plugin of a cloud": {
			reference("remote", ""), changed("token: hunter2", "auth-provider: {name: hunter2}"),
			"has `auth-provider`, which is not supported",
		},
		"a server that anybody may pose as": {
			reference("remote", ""), changed("server:", "insecure-skip-tls-verify: true, server:"),
			"use certificate-authority-data, or run the controller with --insecure-kubeconfig-tls",
		},
		"a key whose signatures take minutes": {
			reference("remote", ""),
			changed("token: hunter2", "client-certificate-data: eA==, client-key-data: "+base64.StdEncoding.EncodeToString(
				pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: make([]byte, 40_000)}))),
			"a certificate or key of its kubeconfig: the key is too large",
		},
		"an authority with such a key": {
			reference("remote", ""),
			changed("server:", "certificate-authority-data: "+base64.StdEncoding.EncodeToString(
				keysizetest.PEM(t, keysizetest.Key(1<<17)))+", server:"),
			"a certificate or key of its kubeconfig: the key is too large",
		},
		"a context that there isn't": {
			reference("remote", ""), changed("current-context: x", "current-context: hunter2"),
			"names no server in its current context",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := reader(builder.Secret("apps", "remote", tc.data)).Read(t.Context(), "apps", tc.at)
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAnAnswerIsBounded(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, zeroes{}) }))
	defer server.Close()
	to := connect(t, nil, apiserver.KubeConfig(server.URL, "hunter2"))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to.REST.Host+"/api/v1/pods", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := to.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	n, err := io.Copy(io.Discard, resp.Body)
	if n != MaxAnswer || !errors.Is(err, outbound.ErrTooLarge) || !strings.Contains(err.Error(), "the API server's answer has more than") {
		t.Errorf("read %d bytes of at most %d, %v", n, MaxAnswer, err)
	}
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// zeroes never end.
type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { return len(p), nil }

// connect reads a kubeconfig of apps/remote and connects to what it says.
func connect(t *testing.T, guard *outbound.Guard, text []byte) *Connection {
	t.Helper()
	r := reader(builder.Secret("apps", "remote", map[string][]byte{"value": text}))
	r.Guard = guard
	config, err := r.Read(t.Context(), "apps", reference("remote", ""))
	if err != nil {
		t.Fatal(err)
	}
	to, err := config.Connect(r.Clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(to.Close)
	return to
}

func TestAClusterIsTheSameWhileItsKubeConfigSaysTheSame(t *testing.T) {
	id := func(namespace string, text []byte) string {
		s := builder.Secret("apps", "remote", map[string][]byte{"value": text})
		s.Namespace = namespace
		config, err := reader(s).Read(t.Context(), namespace, reference("remote", ""))
		if err != nil {
			t.Fatal(err)
		}
		return config.ID
	}
	text := apiserver.KubeConfig("https://example.com", "hunter2")
	same := id("apps", text)
	if id("apps", append([]byte("# a comment"), text...)) != same {
		t.Error("a comment makes another cluster of it")
	}
	for name, other := range map[string]string{
		"another server":    id("apps", apiserver.KubeConfig("https://example.org", "hunter2")),
		"another token":     id("apps", []byte(strings.Replace(string(text), "hunter2", "hunter3", 1))),
		"another namespace": id("shop", text),
	} {
		if other == same {
			t.Errorf("%s is the same cluster", name)
		}
	}
	if strings.Contains(same, "hunter2") {
		t.Errorf("the token is in %s", same)
	}
}

func TestCheck(t *testing.T) {
	var asked []string
	status := http.StatusOK
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path+" "+r.Header.Get("Authorization"))
		w.WriteHeader(status)
	}))
	defer server.Close()
	clock := clocktesting.NewFakePassiveClock(time.Unix(1_700_000_000, 0))
	to := connect(t, nil, bytes.Replace(apiserver.KubeConfig(server.URL+"/clusters/eu", "hunter2"), []byte("server:"),
		fmt.Appendf(nil, "certificate-authority-data: %s, server:", base64.StdEncoding.EncodeToString(authorityOf(server))), 1))
	to.clock = clock
	for range 2 {
		if err := to.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(asked) != 1 || asked[0] != "/clusters/eu/version Bearer hunter2" {
		t.Errorf("asked for %q", asked)
	}
	to.answered.Store(0)
	status = http.StatusUnauthorized
	const refused = "cluster of kubeConfig remote: the API server does not accept the credentials"
	if err := to.Check(t.Context()); err == nil || !strings.Contains(err.Error(), refused) {
		t.Errorf("got %v", err)
	}
	status = http.StatusOK
	if err := to.Check(t.Context()); err == nil || len(asked) != 2 {
		t.Errorf("asked %d times in a moment, %v", len(asked), err)
	}
	status = http.StatusBadGateway
	clock.SetTime(clock.Now().Add(fresh))
	if err := to.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "502") {
		t.Errorf("got %v", err)
	}
}

// authorityOf is the certificate authority of a server.
func authorityOf(server *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

func TestAConnectionGoesThroughTheGuard(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the server was reached") }))
	defer server.Close()
	to := connect(t, outbound.NewGuard([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}), apiserver.KubeConfig(server.URL, "hunter2"))
	if err := to.Check(t.Context()); !errors.Is(err, outbound.ErrForbiddenAddress) {
		t.Errorf("got %v", err)
	}
}

// A kubeConfig may lead to any server, whose answers its writer reads in a condition.
func TestWhatIsNoAnswerOfAnAPIServerIsNotQuoted(t *testing.T) {
	const status = `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "hunter2 is no node", "code": 403}`
	for name, tc := range map[string]struct {
		kind, text string
		quoted     bool
	}{
		"text":             {"text/plain; charset=utf-8", "hunter2", false},
		"a page":           {"text/html", "<p>hunter2", false},
		"without a kind":   {"", "hunter2", false},
		"with a bad one":   {"text", "hunter2", false},
		"an API server's":  {"application/json", status, true},
		"JSON of others":   {"application/json", `{"password": "hunter2"}`, false},
		"binary of others": {"application/vnd.kubernetes.protobuf", "hunter2", false},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = nil
				if tc.kind != "" {
					w.Header().Set("Content-Type", tc.kind)
				}
				w.WriteHeader(http.StatusForbidden)
				_, _ = io.WriteString(w, tc.text)
			}))
			defer server.Close()
			to := connect(t, nil, apiserver.KubeConfig(server.URL, "hunter2"))
			objects, err := dynamic.NewForConfigAndClient(to.REST, to.HTTP)
			if err != nil {
				t.Fatal(err)
			}
			_, err = objects.Resource(schema.GroupVersionResource{Version: "v1", Resource: "nodes"}).Get(t.Context(), "a", metav1.GetOptions{})
			if !apierrors.IsForbidden(err) || strings.Contains(err.Error(), "hunter2") != tc.quoted {
				t.Errorf("got %v", err)
			}
			_, err = to.Mapper.RESTMapping(schema.GroupKind{Kind: "Node"}, "v1")
			if err == nil || !tc.quoted && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("discovery: got %v", err)
			}
		})
	}
}

func TestTheWordsOfAServersStatusAreNotQuoted(t *testing.T) {
	resp, err := scrubbed{roundTripFunc(func(*http.Request) (*http.Response, error) {
		return &http.Response{Status: "502 hunter2", StatusCode: http.StatusBadGateway, Header: http.Header{}, Body: http.NoBody}, nil
	})}.RoundTrip(nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.Status != "502 Bad Gateway" {
		t.Errorf("got %q", resp.Status)
	}
}

// The credentials are for the server of the kubeConfig, and what one answers is bounded there.
func TestNoClientFollowsARedirect(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL+"/version", http.StatusTemporaryRedirect))
	defer server.Close()
	to := connect(t, nil, apiserver.KubeConfig(server.URL, "hunter2"))
	const want = "the API server answers 307 Temporary Redirect, and redirects are not followed"
	if err := to.Check(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("check: got %v", err)
	}
	if _, err := to.Mapper.RESTMapping(schema.GroupKind{Kind: "Node"}, "v1"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("discovery: got %v", err)
	}
}

// All who asked for a kind of an API server that hangs waited for it, one after the other.
func TestAnAPIServerThatHangsIsAskedForItsKindsOnce(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "{") // and no more
	}))
	defer server.Close()
	to := connect(t, nil, apiserver.KubeConfig(server.URL, "hunter2"))
	for range 3 {
		if _, err := to.Mapper.RESTMapping(schema.GroupKind{Group: "apps", Kind: "Deployment"}, "v1"); err == nil {
			t.Error("no error")
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}
