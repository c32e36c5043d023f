// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// now is the time of all recordings: 1700000000 seconds.
var now = time.Unix(1700000000, 0)

// recording is the protocol of a provider, as its servers speak it.
type recording struct {
	spec   flaggerv1.MetricTemplateProvider // the address is that of the test's server
	secret map[string]string                // %s stands for that address
	query  string                           // of a metric with the interval 1m
	// request is what the server is asked: method, path, sorted parameters, the
	// headers that matter, and the body.
	request string
	headers []string // that matter
	value   string   // an answer that means 42.5
	empty   []string // answers without a value
	several string   // an answer with several
	failure string   // an answer of status 400, with the message "no such thing"
	// optional means that it works without a Secret.
	optional bool
	// opaque servers say what went wrong in a way that anything could be said.
	opaque bool
}

// testServer is a server, and a checker that measures with it.
type testServer struct {
	*httptest.Server
	handler atomic.Pointer[http.HandlerFunc]
	fresh   atomic.Int32 // connections
	checker *Checker
	canary  *flaggerv1.Canary
	metric  flaggerv1.CanaryMetric

	mu    sync.Mutex
	asked []string
}

// newTestServer serves tokens at /token, and otherwise what it is told.
func newTestServer(t *testing.T, r recording, headers ...string) *testServer {
	t.Helper()
	s := &testServer{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/token" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"google-token","token_type":"Bearer","expires_in":3600}`)
			return
		}
		s.mu.Lock()
		s.asked = append(s.asked, describe(req, headers))
		s.mu.Unlock()
		(*s.handler.Load())(w, req)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.fresh.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	s.answer(http.StatusOK, r.value)
	s.prepare(t, r)
	return s
}

func (s *testServer) prepare(t *testing.T, r recording) {
	t.Helper()
	tmpl := &flaggerv1.MetricTemplate{
		ObjectMeta: metav1.ObjectMeta{Namespace: "staging", Name: "errors"},
		Spec:       flaggerv1.MetricTemplateSpec{Provider: r.spec, Query: r.query},
	}
	tmpl.Spec.Provider.Address = s.URL
	objects := []client.Object{tmpl}
	if r.secret != nil {
		tmpl.Spec.Provider.SecretRef = &flaggerv1.SecretReference{Name: "login"}
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "staging", Name: "login"}, Data: map[string][]byte{}}
		for key, value := range r.secret {
			secret.Data[key] = []byte(strings.ReplaceAll(value, "%s", s.URL))
		}
		objects = append(objects, secret)
	}
	s.checker = testChecker(t, objects...)
	s.metric = flaggerv1.CanaryMetric{Name: "errors", TemplateRef: &flaggerv1.CrossNamespaceObjectReference{Name: "errors"}}
	s.canary = plainCanary()
	s.canary.Spec.Analysis.Metrics = []flaggerv1.CanaryMetric{s.metric}
}

// hurriedClock is a clock by which what is waited for comes at once. It notes how long the waits are.
type hurriedClock struct {
	*clocktesting.FakeClock
	mu    sync.Mutex
	waits []time.Duration
}

func newHurriedClock() *hurriedClock { return &hurriedClock{FakeClock: clocktesting.NewFakeClock(now)} }

// After implements [clock.Clock].
func (c *hurriedClock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waits = append(c.waits, d)
	c.Step(d)
	came := make(chan time.Time, 1)
	came <- c.Now()
	return came
}

func testChecker(t *testing.T, objects ...client.Object) *Checker {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{flaggerv1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	return NewChecker(c, "", newHurriedClock())
}

func (s *testServer) answer(status int, body string) {
	s.handle(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func (s *testServer) handle(handler http.HandlerFunc) { s.handler.Store(&handler) }

func (s *testServer) check(t *testing.T) (float64, error) {
	t.Helper()
	return s.checker.Check(t.Context(), s.canary, s.metric)
}

// edit changes the template.
func (s *testServer) edit(t *testing.T, change func(*flaggerv1.MetricTemplate)) {
	t.Helper()
	tmpl := &flaggerv1.MetricTemplate{}
	if err := s.checker.client.Get(t.Context(), client.ObjectKey{Namespace: "staging", Name: "errors"}, tmpl); err != nil {
		t.Fatal(err)
	}
	change(tmpl)
	if err := s.checker.client.(client.Client).Update(t.Context(), tmpl); err != nil {
		t.Fatal(err)
	}
}

// describe writes down what a server was asked.
func describe(req *http.Request, headers []string) string {
	out := &strings.Builder{}
	fmt.Fprintln(out, req.Method, req.URL.EscapedPath())
	parameters := func(values url.Values) {
		var lines []string
		for name, all := range values {
			for _, value := range all {
				lines = append(lines, fmt.Sprintf("  %s=%s", name, value))
			}
		}
		slices.Sort(lines)
		for _, line := range lines {
			fmt.Fprintln(out, line)
		}
	}
	parameters(req.URL.Query())
	for _, name := range headers {
		fmt.Fprintf(out, "%s: %s\n", name, strings.Join(req.Header.Values(name), ", "))
	}
	body, _ := io.ReadAll(req.Body)
	if form, err := url.ParseQuery(string(body)); err == nil && strings.HasPrefix(req.Header.Get("Content-Type"), "application/x-www-form") {
		parameters(form)
	} else if len(body) > 0 {
		fmt.Fprintln(out, string(body))
	}
	return out.String()
}

// TestProvidersConform holds every provider to what all of them promise.
func TestProvidersConform(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAAMBIENT")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "ambient")
	for name := range serverTypes {
		if name == "keptn" {
			continue // serves nothing, see TestErrorsThatOnlyAnEditRepairs
		}
		r, ok := recordings(t)[name]
		if !ok {
			t.Errorf("provider %s has no recording", name)
			continue
		}
		r.spec.Type = name
		t.Run(name, func(t *testing.T) {
			t.Run("asks what its server understands", func(t *testing.T) { conformRequest(t, r) })
			t.Run("knows no value from a value", func(t *testing.T) { conformAnswers(t, r) })
			t.Run("says what the server said, without secrets", func(t *testing.T) { conformFailures(t, r) })
			t.Run("gives up on a slow server", func(t *testing.T) { conformPatience(t, r) })
			t.Run("takes no credentials to another origin", func(t *testing.T) { conformRedirect(t, r) })
			t.Run("sends the headers of the template", func(t *testing.T) { conformHeaders(t, r) })
			t.Run("reuses its connection", func(t *testing.T) { conformReuse(t, r) })
			t.Run("tells a Secret that is not complete from a template that is wrong", func(t *testing.T) { conformSecret(t, r) })
			t.Run("refuses fields of others", func(t *testing.T) { conformFields(t, r) })
		})
	}
}

func conformRequest(t *testing.T, r recording) {
	s := newTestServer(t, r, r.headers...)
	got, err := s.check(t)
	if err != nil || got != 42.5 {
		t.Fatalf("want 42.5, got %v, %v", got, err)
	}
	if diff := cmp.Diff(r.request, s.asked[0]); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if err := s.checker.Supports(t.Context(), s.canary); err != nil {
		t.Errorf("not supported: %v", err)
	}
}

func conformAnswers(t *testing.T, r recording) {
	s := newTestServer(t, r)
	for _, body := range r.empty {
		s.answer(http.StatusOK, body)
		if got, err := s.check(t); !errors.Is(err, ErrNoValues) || got != 0 {
			t.Errorf("%s: want no values, got %v, %v", body, got, err)
		}
	}
	s.answer(http.StatusOK, r.several)
	if got, err := s.check(t); !errors.Is(err, ErrManySeries) || got != 0 {
		t.Errorf("want several series, got %v, %v", got, err)
	}
	for _, body := range []string{"", "<html>busy</html>", "{", "[]", "null", `"x"`, "{}", "[[]]", `{"data":{}}`, strings.Repeat("[", 20000)} {
		s.answer(http.StatusOK, body)
		if got, err := s.check(t); err == nil {
			t.Errorf("%.20s is no answer, and became %v", body, got)
		}
	}
	s.answer(http.StatusOK, strings.Repeat(" ", maxAnswer)+r.value)
	if got, err := s.check(t); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("read an answer without an end: %v, %v", got, err)
	}
}

func conformFailures(t *testing.T, r recording) {
	s := newTestServer(t, r)
	s.answer(http.StatusBadRequest, r.failure)
	want := "answered 400: no such thing"
	if r.opaque {
		want = "answered 400 Bad Request"
	}
	if _, err := s.check(t); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("want %q, got %v", want, err)
	}
	// An error of a server named no field: nobody knew which of the template's it was about.
	for status, field := range map[int]string{
		http.StatusBadRequest: "query", http.StatusUnauthorized: "provider.secretRef", http.StatusNotFound: "provider.address",
	} {
		s.answer(status, r.failure)
		if _, err := s.check(t); err == nil || !strings.HasSuffix(err.Error(), "(MetricTemplate staging/errors: spec."+field+")") {
			t.Errorf("%d is not about spec.%s: %v", status, field, err)
		}
	}
	for _, page := range []string{
		"<html>s3cret of an internal server</html>",
		`"s3cret"`,
		`{"AccessKeyId":"s3cret"}`,
		`{"message":{"key":"s3cret"}}`,
	} {
		for _, status := range []int{http.StatusOK, http.StatusBadGateway} {
			s.answer(status, page)
			if _, err := s.check(t); err == nil || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s: want an error without the page, got %v", page, err)
			}
		}
	}
	var echo strings.Builder
	for key, value := range r.secret {
		fmt.Fprintf(&echo, "%s %s ", key, strings.ReplaceAll(value, "%s", s.URL))
	}
	s.answer(http.StatusForbidden, echo.String())
	_, err := s.check(t)
	noSecrets(t, r, s.URL, fmt.Sprint(err))
	if errors.Is(err, reconcile.TerminalError(nil)) {
		t.Errorf("a server's answer only an edit could repair: %v", err)
	}
	s.Close()
	if _, err = s.check(t); err == nil {
		t.Error("nobody is there, and nobody is missed")
	}
	noSecrets(t, r, s.URL, fmt.Sprint(err))
}

// noSecrets looks for the values of the Secret.
func noSecrets(t *testing.T, r recording, address, text string) {
	t.Helper()
	for key, value := range r.secret {
		if value = strings.ReplaceAll(value, "%s", address); len(value) >= 4 && strings.Contains(text, value) {
			t.Errorf("the secret %s is in %s", key, text)
		}
	}
}

func conformPatience(t *testing.T, r recording) {
	s := newTestServer(t, r)
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	s.handle(func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-over:
		case <-req.Context().Done():
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.checker.Check(ctx, s.canary, s.metric); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("want the deadline, got %v", err)
	}
}

func conformRedirect(t *testing.T, r recording) {
	var seen atomic.Pointer[http.Request]
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		seen.Store(req)
		_, _ = io.WriteString(w, r.value)
	}))
	t.Cleanup(other.Close)
	r.spec.Headers = map[string][]string{"X-Own": {"template-header"}}
	s := newTestServer(t, r)
	s.handle(func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, other.URL+"/there", http.StatusTemporaryRedirect)
	})
	_, _ = s.check(t)
	req := seen.Load()
	if req == nil {
		return // not following is as safe
	}
	text := fmt.Sprint(req.Header, req.URL)
	noSecrets(t, r, s.URL, text)
	for _, word := range []string{"Authorization", "google-token", "template-header", "Key", "Token"} {
		if strings.Contains(text, word) {
			t.Errorf("%s went along: %s", word, text)
		}
	}
}

func conformHeaders(t *testing.T, r recording) {
	r.spec.Headers = map[string][]string{"X-Scope": {"one", "two"}}
	s := newTestServer(t, r, "X-Scope")
	for range 3 {
		if _, err := s.check(t); err != nil {
			t.Fatal(err)
		}
	}
	for _, asked := range s.asked {
		if !strings.Contains(asked, "X-Scope: one, two\n") {
			t.Errorf("asked %s", asked)
		}
	}
}

func conformReuse(t *testing.T, r recording) {
	s := newTestServer(t, r)
	measure, err := s.checker.Prepare(t.Context(), s.canary, s.metric)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := measure(t.Context(), 30*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.check(t); err != nil {
		t.Fatal(err)
	}
	if n := s.fresh.Load(); n != 1 {
		t.Errorf("made %d connections", n)
	}
}

func conformSecret(t *testing.T, r recording) {
	for key := range r.secret {
		s := newTestServer(t, r)
		secret := &corev1.Secret{}
		if err := s.checker.client.Get(t.Context(), client.ObjectKey{Namespace: "staging", Name: "login"}, secret); err != nil {
			t.Fatal(err)
		}
		delete(secret.Data, key)
		if err := s.checker.client.(client.Client).Update(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		_, err := s.check(t)
		if err == nil || strings.Contains(err.Error(), "address:") {
			continue // the key was not needed, or the address is for those who have it
		}
		if errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), "spec.provider.secretRef: Secret \"login\" ") {
			t.Errorf("without %s: want to wait for the Secret, got %v", key, err)
		}
	}
	s := newTestServer(t, r)
	s.edit(t, func(m *flaggerv1.MetricTemplate) { m.Spec.Provider.SecretRef = nil })
	_, err := s.check(t)
	if r.optional {
		if err != nil && !strings.Contains(err.Error(), "address:") { // that is for those who have one
			t.Errorf("it needs no Secret, and says %v", err)
		}
		return
	}
	if !errors.Is(err, reconcile.TerminalError(nil)) {
		t.Errorf("without a Secret: want a terminal error, got %v", err)
	}
}

func conformFields(t *testing.T, r recording) {
	cases := map[string]func(*flaggerv1.MetricTemplateProvider){
		"spec.provider.region:":   func(p *flaggerv1.MetricTemplateProvider) { p.Region = "eu west" },
		"spec.provider.jsonPath:": func(p *flaggerv1.MetricTemplateProvider) { p.JSONPath = "{" },
		"spec.provider.address:":  func(p *flaggerv1.MetricTemplateProvider) { p.Address = "user:pass@server:9090" },
		"spec.query:":             nil,
	}
	for want, change := range cases {
		s := newTestServer(t, r)
		s.edit(t, func(m *flaggerv1.MetricTemplate) {
			if change == nil {
				m.Spec.Query = "{{ variables.missing }}"
				return
			}
			change(&m.Spec.Provider)
		})
		_, checked := s.check(t)
		for _, err := range []error{checked, s.checker.Supports(t.Context(), s.canary)} {
			if !errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), "MetricTemplate staging/errors: "+want) {
				t.Errorf("want a terminal error about %s, got %v", want, err)
			}
			if strings.Contains(fmt.Sprint(err), "pass") {
				t.Errorf("the password is in %v", err)
			}
		}
	}
}
