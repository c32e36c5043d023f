// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/cel"
)

func TestAFilterThatExceedsItsBudgetEndsAndIsReported(t *testing.T) {
	w := newTestServer(t, func(r *notificationv1.Receiver) { r.Spec.ResourceFilter = `req.s.replace("a", req.s) == "b"` })
	var reported error
	w.hooks.TooExpensive = func(_ *notificationv1.Receiver, err error) { reported = err }
	code := w.post(request{body: `{"s":"` + strings.Repeat("a", maxBody-100) + `"}`}.with("Content-Type", "application/json"))
	if code != http.StatusInternalServerError || !errors.Is(reported, cel.ErrTooExpensive) || w.requested() != "" {
		t.Errorf("answered %d, reported %v", code, reported)
	}
}

func TestAnswersDiscloseNothingAboutObjects(t *testing.T) {
	for name, filter := range map[string]string{
		"a filter that fails for some objects": `res.metadata.labels.team == "a" ? 1/0 > 0 : false`,
		"a filter that passes none":            `res.metadata.labels.team != "a"`,
		"a filter that reads the last-applied annotation": `res.metadata.annotations` +
			`["kubectl.kubernetes.io/last-applied-configuration"].contains("hunter2")`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newTestServer(t, func(r *notificationv1.Receiver) { r.Spec.ResourceFilter = filter })
			repo := &sourcev1.GitRepository{}
			if err := w.api.Get(t.Context(), client.ObjectKey{Namespace: "ours", Name: "repo"}, repo); err != nil {
				t.Fatal(err)
			}
			repo.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: `{"data":"hunter2"}`}
			if err := w.api.Update(t.Context(), repo); err != nil {
				t.Fatal(err)
			}
			if code := w.post(request{body: "{}"}); code != http.StatusOK || w.answer != "" || w.requested() != "" {
				t.Errorf("answered %d %q, requested %q", code, w.answer, w.requested())
			}
		})
	}
}

// unread is a body that must not be read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body is read")
	return 0, io.EOF
}

func TestATokenIsVerifiedBeforeTheBodyIsRead(t *testing.T) {
	for _, kind := range []string{"gitlab", "harbor", "gcr", "generic-oidc"} {
		t.Run(kind, func(t *testing.T) {
			w := newTestServer(t, func(r *notificationv1.Receiver) {
				r.Spec.Type = kind
				if kind == notificationv1.GenericOIDCReceiver {
					r.Spec.SecretRef = nil
				}
			})
			answer := httptest.NewRecorder()
			w.hooks.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, w.path, unread{t}))
			if answer.Code != http.StatusBadRequest {
				t.Errorf("answered %d", answer.Code)
			}
		})
	}
}

func TestForgedRequestsDoNotUseUpTheRateLimitOfGenuineOnes(t *testing.T) {
	w := newTestServer(t, func(r *notificationv1.Receiver) { r.Spec.Type = notificationv1.GitLabReceiver })
	for range burst + 50 {
		if code := w.post(request{}); code != http.StatusBadRequest {
			t.Fatalf("answered %d", code)
		}
	}
	if code := w.post(request{}.with("X-Gitlab-Token", secretToken)); code != http.StatusOK {
		t.Errorf("answered %d", code)
	}
}

func TestBodiesAreBoundedTogether(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(*notificationv1.Receiver)
		hold int64
		size int
		want int
	}{
		"one that fits": {size: maxBody, want: http.StatusOK},
		"one that is longer than an event of its sender": {
			edit: func(r *notificationv1.Receiver) { r.Spec.Type = notificationv1.DockerHubReceiver },
			size: maxEvent + 1, want: http.StatusRequestEntityTooLarge,
		},
		"one for which others leave no room": {hold: maxTotalBodies/2 - firstChunk, size: maxBody, want: http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTestServer(t, tc.edit)
			if tc.hold > 0 {
				grant, err := w.hooks.bodies.Acquire(t.Context(), "ours", tc.hold)
				if err != nil {
					t.Fatal(err)
				}
				defer grant.Release()
			}
			if code := w.post(request{body: strings.Repeat("x", tc.size)}); code != tc.want {
				t.Errorf("answered %d, want %d", code, tc.want)
			}
		})
	}
}

func TestABodyThatFiltersAskAboutIsCountedAsWhatItBecomes(t *testing.T) {
	w := newTestServer(t, func(r *notificationv1.Receiver) { r.Spec.ResourceFilter = "true" })
	w.hooks.Memory = budget.New(2 * memoryPerParsedByte * 1000)
	ask := func(size int) int {
		return w.post(request{body: `{"a":"` + strings.Repeat("x", size) + `"}`}.with("Content-Type", "application/json"))
	}
	if code := ask(900); code != http.StatusOK {
		t.Errorf("answered %d", code)
	}
	if code := ask(1100); code != http.StatusServiceUnavailable {
		t.Errorf("one that is too large is answered %d", code)
	}
}

func TestErrorsRepeatNothingThatAnIssuerAnswers(t *testing.T) {
	const page = "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI"
	for name, tc := range map[string]struct {
		status int
		keys   func(issuer, internal string) string
	}{
		"a page in place of keys": {
			status: http.StatusOK,
			keys:   func(issuer, _ string) string { return issuer + "/page" },
		},
		"a refusal in place of keys": {
			status: http.StatusForbidden,
			keys:   func(issuer, _ string) string { return issuer + "/page" },
		},
		"keys at another server": {
			status: http.StatusOK,
			keys:   func(_, internal string) string { return internal + "/page" },
		},
		"keys at another server, over HTTP": {
			status: http.StatusOK,
			keys:   func(_, internal string) string { return strings.Replace(internal, "https", "http", 1) },
		},
		"keys behind a redirect to another server": {
			status: http.StatusOK,
			keys:   func(issuer, _ string) string { return issuer + "/elsewhere" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			asked := false
			internal := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked = true
				_, _ = io.WriteString(w, page)
			}))
			defer internal.Close()
			mux := http.NewServeMux()
			evil := httptest.NewTLSServer(mux)
			defer evil.Close()
			mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
				_ = json.NewEncoder(w).Encode(map[string]any{"issuer": evil.URL, "jwks_uri": tc.keys(evil.URL, internal.URL),
					"authorization_endpoint": evil.URL, "token_endpoint": evil.URL, "id_token_signing_alg_values_supported": []string{"RS256"}})
			})
			mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, page)
			})
			mux.HandleFunc("/elsewhere", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, internal.URL, http.StatusFound) })
			w := newTestServer(t, func(r *notificationv1.Receiver) {
				r.Spec.Type, r.Spec.SecretRef = notificationv1.GenericOIDCReceiver, nil
				r.Spec.OIDCProviders = []notificationv1.OIDCProvider{{
					IssuerURL: evil.URL, Audience: "sluice",
					Validations: []notificationv1.OIDCValidation{{Expression: `true`, Message: "x"}},
				}}
			})
			code := w.post(request{}.with("Authorization", newIssuer(t).token(t, map[string]any{"iss": evil.URL})))
			if code != http.StatusBadRequest || strings.Contains(w.answer, "SECRET") || asked {
				t.Errorf("answered %d %q, and the other server was asked: %t", code, w.answer, asked)
			}
		})
	}
}

func TestWhereTheKeysOfAnIssuerMayBe(t *testing.T) {
	for _, tc := range []struct {
		issuer, keys string
		want         bool
	}{
		{"https://token.actions.githubusercontent.com", "https://token.actions.githubusercontent.com/.well-known/jwks", true},
		{"https://accounts.google.com", "https://www.googleapis.com/oauth2/v3/certs", true},
		{"https://sts.windows.net/id/", "https://login.microsoftonline.com/common/discovery/keys", true},
		{"https://auth.example.com", "https://keys.example.com/jwks", true},
		{"https://auth.example.com", "http://auth.example.com/jwks", false},
		{"https://auth.example.com", "https://auth.example.com:8443/jwks", false},
		{"https://auth.example.com", "https://user:password@auth.example.com/jwks", false},
		{"https://auth.example.com", "https://example.org/jwks", false},
		{"https://one.github.io", "https://two.github.io/jwks", false},
		{"https://issuer.internal", "https://10.0.0.1/jwks", false},
		{"https://10.0.0.2", "https://10.0.0.1/jwks", false},
		{"https://kubernetes.default.svc.cluster.local", "https://vault.vault.svc.cluster.local/jwks", false},
		{"https://evil.example.com", "https://www.googleapis.com/jwks", false},
	} {
		issuer, err := url.Parse(tc.issuer)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := url.Parse(tc.keys)
		if err != nil {
			t.Fatal(err)
		}
		if got := keysMayBeAt(issuer, keys); got != tc.want {
			t.Errorf("keys of %s at %s: got %t", tc.issuer, tc.keys, got)
		}
	}
}

func TestANamespaceWhoseExpressionsTakeLongKeepsNobodyElseWaiting(t *testing.T) {
	programs := newPrograms()
	if err := programs.slots.Acquire(t.Context(), "busy"); err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	e := expression{text: "true", boolean: true}
	if _, err := programs.get(soon, "busy", e); !errors.Is(err, errBusy) {
		t.Errorf("a second one of the namespace: %v", err)
	}
	other, err := programs.get(t.Context(), "other", e)
	if err != nil {
		t.Fatal(err)
	}
	if passes, err := other.passes(t.Context(), nil); err != nil || !passes {
		t.Errorf("another namespace: %v, %v", passes, err)
	}
}

func TestExpressionsInUseOutliveThoseOfDeletedReceivers(t *testing.T) {
	programs := newPrograms()
	get := func(text string) *cel.Program {
		t.Helper()
		p, err := programs.get(t.Context(), "ns", expression{text: text})
		if err != nil {
			t.Fatal(err)
		}
		return p.Program
	}
	used, unused := get("-1"), get("-2")
	for i := range maxPrograms {
		get(fmt.Sprint(i))
		if get("-1") != used {
			t.Fatalf("an expression in use is compiled again after %d others", i)
		}
	}
	if _, n := programs.known.Usage(); n != maxPrograms {
		t.Errorf("%d expressions are kept, want %d", n, maxPrograms)
	}
	if get("-2") == unused {
		t.Error("the expression that was used longest ago is kept")
	}
}

func TestTheReceiversOfANamespaceShareItsRateLimit(t *testing.T) {
	limits := newLimits(clock.RealClock{})
	admitted := 0
	for i := range 10 * burst * namespaceFactor {
		if limits.limiter(namespaceKey("ours")).Allow() && limits.limiter(receiverKey(fmt.Sprint(i))).Allow() {
			admitted++
		}
	}
	if admitted > burst*namespaceFactor+requestsPerSecond*namespaceFactor {
		t.Errorf("%d requests were admitted at once", admitted)
	}
}
