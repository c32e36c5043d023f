package credential

import (
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

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
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
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app"}, Data: map[string][]byte{
		"githubAppID": []byte("7"), "githubAppInstallationID": []byte("42"), "githubAppBaseURL": []byte(api),
		"githubAppPrivateKey": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
	}}
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
			remote, err := Read(t.Context(), reader, &sourcev1.GitRepository{
				ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app"},
				Spec: sourcev1.GitRepositorySpec{
					URL: source.URL, Provider: sourcev1.GitProviderGitHub, SecretRef: &meta.LocalObjectReference{Name: "app"},
				},
			}, Options{})
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
