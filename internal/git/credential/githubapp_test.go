// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/test/make"
)

// newGitHub answers as GitHub's API does when an App asks for a token of one of
// its installations.
func newGitHub(t *testing.T, token string) *httptest.Server {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/app/installations/42/access_tokens") ||
			!strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ey") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"token":%q,"expires_at":%q}`, token, time.Now().Add(time.Hour).Format(time.RFC3339))
	}))
	t.Cleanup(api.Close)
	return api
}

func appSecret(t *testing.T, api string) *corev1.Secret {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return make.Secret("apps", "app", map[string]string{
		"githubAppID": "7", "githubAppInstallationID": "42", "githubAppBaseURL": api,
		"githubAppPrivateKey": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
	})
}

func TestWhatAnAPIAnswersToAnAppIsNotTold(t *testing.T) {
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		says   string
	}{
		"a refusal": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprint(w, `{"message":"s3cr3t"}`)
		}, "status 403 Forbidden"},
		"a page":     {func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "s3cr3t") }, "something else than expected"},
		"no token":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"x":"s3cr3t"}`) }, "gave no token"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/s3cr3t", http.StatusFound) }, "status 302 Found"},
	} {
		t.Run(name, func(t *testing.T) {
			api := httptest.NewServer(tc.answer)
			defer api.Close()
			_, err := tokenOf(t, appSecret(t, api.URL), Options{})
			if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := tokenOf(t, appSecret(t, newGitHub(t, "t").URL), Options{
		Guard: outbound.NewGuard(nil),
	}); !errors.Is(err, outbound.ErrForbiddenAddress) {
		t.Errorf("an API at a loopback address: %v", err)
	}
}

// byApp makes a GitRepository use a GitHub App.
func byApp(r *sourcev1.GitRepository) { r.Spec.Provider = sourcev1.GitProviderGitHub }

// tokenOf reads the credentials of a GitRepository with the Secret of an App.
func tokenOf(t *testing.T, secret *corev1.Secret, opts Options) (git.Token, error) {
	t.Helper()
	repo := make.GitRepository("apps", "app", make.WithSecret(secret.Name), byApp)
	remote, err := Read(t.Context(), fake.NewClientBuilder().WithObjects(secret).Build(), repo, opts)
	if err != nil {
		return git.Token{}, err
	}
	return remote.Auth.Tokens.Get(t.Context())
}

func TestTheDataOfAnApp(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.Path {
		case "GET /users/me/installation":
			_, _ = fmt.Fprint(w, `{"id":42}`)
		case "POST /app/installations/42/access_tokens", "POST /below/app/installations/42/access_tokens":
			_, _ = fmt.Fprintf(w, `{"token":"t","expires_at":%q}`, time.Now().Add(time.Hour).Format(time.RFC3339))
		default:
			http.NotFound(w, r)
		}
	}))
	defer api.Close()
	for name, tc := range map[string]struct {
		change map[string]string
		says   string // empty: a token is made
	}{
		"an installation":  {nil, ""},
		"the owner of one": {map[string]string{"githubAppInstallationID": "", "githubAppInstallationOwner": "me"}, ""},
		"an owner without one": {
			map[string]string{"githubAppInstallationID": "", "githubAppInstallationOwner": "you"},
			"finding the installation of you",
		},
		"an API at a path": {map[string]string{"githubAppBaseURL": api.URL + "/below/"}, ""},
		"neither": {
			map[string]string{"githubAppInstallationID": ""},
			"either 'githubAppInstallationID' or 'githubAppInstallationOwner'",
		},
		"both": {
			map[string]string{"githubAppInstallationOwner": "me"},
			"either 'githubAppInstallationID' or 'githubAppInstallationOwner'",
		},
		"a name for a number":     {map[string]string{"githubAppID": "x"}, "'githubAppID' is no number"},
		"an installation by path": {map[string]string{"githubAppInstallationID": "42/../43"}, "'githubAppInstallationID' is no number"},
		"a key that is too large": {
			map[string]string{
				"githubAppPrivateKey": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: bytes.Repeat([]byte{1}, 1<<16)})),
			},
			"'githubAppPrivateKey': the key is too large",
		},
		"no key":                     {map[string]string{"githubAppPrivateKey": "x"}, "'githubAppPrivateKey' is no RSA key in PEM"},
		"a URL that is none":         {map[string]string{"githubAppBaseURL": "git.example.com"}, "'githubAppBaseURL' is no URL"},
		"a URL of another scheme":    {map[string]string{"githubAppBaseURL": "file:///etc"}, "'githubAppBaseURL' is no URL"},
		"an owner that is a path":    {map[string]string{"githubAppInstallationID": "", "githubAppInstallationOwner": "../../x"}, "status 404"},
		"an authority that is none ": {map[string]string{"ca.crt": "x"}, "'ca.crt' holds no PEM certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			secret := appSecret(t, api.URL)
			for key, value := range tc.change {
				secret.Data[key] = []byte(value)
			}
			token, err := tokenOf(t, secret, Options{})
			if tc.says == "" {
				if err != nil || token.Password != "t" {
					t.Errorf("got %v, %v", token, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAGitHubAppReadsWithTheTokenOfItsInstallation(t *testing.T) {
	for name, tc := range map[string]struct {
		accepted string // by the Git server
		want     error
	}{
		"the server takes the token":    {"ghs_token", nil},
		"the server takes only another": {"ghs_other", git.ErrUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			server := gitserver.New(t, gitserver.WithBasicAuth("x-access-token", tc.accepted))
			source := server.Repo("app")
			head := source.Commit("main", gitserver.Files{"a.yaml": "a: 1\n"})
			reader := fake.NewClientBuilder().WithObjects(appSecret(t, newGitHub(t, "ghs_token").URL)).Build()
			repo := make.GitRepository("apps", "app", make.WithSecret("app"), byApp, func(r *sourcev1.GitRepository) { r.Spec.URL = source.URL })
			remote, err := Read(t.Context(), reader, repo, Options{})
			if err != nil {
				t.Fatal(err)
			}
			mirror, err := git.NewMirrors(t.TempDir(), clock.RealClock{}).Get(t.Context(), remote)
			if err != nil {
				t.Fatal(err)
			}
			got, err := mirror.Select(t.Context(), git.Reference{Branch: "main"})
			if !errors.Is(err, tc.want) || (tc.want == nil && got.Commit.String() != head) {
				t.Errorf("got %v, %v", got, err)
			}
			if err != nil && strings.Contains(err.Error(), "ghs_token") {
				t.Errorf("the error tells the token: %v", err)
			}
		})
	}
}
