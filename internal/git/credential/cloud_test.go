// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/test/make"
)

// in makes a GitRepository one of a cloud.
func in(cloud, url string) func(*sourcev1.GitRepository) {
	return func(r *sourcev1.GitRepository) { r.Spec.Provider, r.Spec.URL = cloud, url }
}

// TestAnIdentityOfAWSSignsForTheRepository takes the identity from the environment,
// as the controller's own is, and needs no server: CodeCommit's passwords are
// signatures.
func TestAnIdentityOfAWSSignsForTheRepository(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "never told")
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_CA_BUNDLE", "") // of the machine, which the library cannot use
	repo := make.GitRepository("apps", "app", in(sourcev1.GitProviderAWS, "https://git-codecommit.us-east-1.amazonaws.com/v1/repos/app"))
	remote, err := Read(t.Context(), fake.NewClientBuilder().Build(), repo, Options{})
	if err != nil {
		t.Fatal(err)
	}
	token, err := remote.Auth.Tokens.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(token.Username, "AKIDEXAMPLE") || token.Bearer != "" ||
		!regexp.MustCompile(`^\d{8}T\d{6}Z[0-9a-f]{64}$`).MatchString(token.Password) {
		t.Errorf("user %q, password %q", token.Username, token.Password)
	}
	other := repo.DeepCopy()
	other.Namespace = "others"
	theirs, err := Read(t.Context(), fake.NewClientBuilder().Build(), other, Options{})
	if err != nil || theirs.ID() == remote.ID() {
		t.Errorf("two namespaces share a mirror: %v", err)
	}
}

// TestAnIdentityOfAzureBearsATokenForTheRepository gets it from a managed identity's
// endpoint, which is the test's own. The resource is that of Azure DevOps.
func TestAnIdentityOfAzureBearsATokenForTheRepository(t *testing.T) {
	var asked []string
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("X-Identity-Header"), r.URL.Query().Get("resource"))
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"a token","expires_on":"%d","resource":"x","token_type":"Bearer"}`,
			time.Now().Add(time.Hour).Unix())
	}))
	t.Cleanup(endpoint.Close)
	t.Setenv("IDENTITY_ENDPOINT", endpoint.URL)
	t.Setenv("IDENTITY_HEADER", "proof")
	repo := make.GitRepository("apps", "app", in(sourcev1.GitProviderAzure, "https://dev.azure.com/org/project/_git/app"))
	remote, err := Read(t.Context(), fake.NewClientBuilder().Build(), repo, Options{})
	if err != nil {
		t.Fatal(err)
	}
	token, err := remote.Auth.Tokens.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(git.Token{Bearer: "a token"}, token); diff != "" {
		t.Errorf("token (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"proof", "499b84ac-1321-427f-aa17-267ca6975798"}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// TestAnIdentityIsSentToItsCloudOnly asks of whoever could read the token: the
// server, those on the way to it, and the proxy.
func TestAnIdentityIsSentToItsCloudOnly(t *testing.T) {
	reader := fake.NewClientBuilder().WithObjects(
		make.Secret("apps", "proxy", map[string]string{"address": "http://proxy.example.com:3128"}),
		make.Secret("apps", "authority", map[string]string{"ca.crt": "some"}),
		make.Secret("apps", "former-authority", map[string]string{"caFile": "some"}),
		make.Secret("apps", "user", map[string]string{"username": "u", "password": "p"}),
	).Build()
	const azure, aws = "https://dev.azure.com/org/project/_git/app", "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/app"
	for name, tc := range map[string]struct {
		provider, url, proxy, secret string
		want                         string // empty: nothing is wrong
	}{
		"Azure DevOps":                      {"azure", azure, "", "", ""},
		"Azure DevOps with a user's Secret": {"azure", azure, "", "user", ""},
		"its older hosts":                   {"azure", "https://org.visualstudio.com/project/_git/app", "", "", ""},
		"CodeCommit":                        {"aws", aws, "", "", ""},
		"a server of anybody's":             {"azure", "https://git.example.com/app.git", "", "", "git.example.com is none"},
		"AWS at a server of anybody's":      {"aws", "https://git-codecommit.eu-west-1.amazonaws.com.example.com/app", "", "", "is none"},
		"one cloud's at another":            {"aws", azure, "", "", "is none"},
		"unencrypted":                       {"azure", "http://dev.azure.com/org/project/_git/app", "", "", "over https only"},
		"by SSH":                            {"azure", "ssh://git@ssh.dev.azure.com/v3/org/project/app", "", "", "over https only"},
		"another port":                      {"azure", "https://dev.azure.com:8443/org/project/_git/app", "", "", "is none"},
		"the cloud's name as a user's":      {"azure", "https://dev.azure.com@git.example.com/app", "", "", "git.example.com is none"},
		"through a proxy of the object's":   {"azure", azure, "proxy", "", "spec.proxySecretRef"},
		"AWS through that proxy":            {"aws", aws, "proxy", "", "spec.proxySecretRef"},
		"with an authority of the object's": {"azure", azure, "", "authority", "ca.crt of spec.secretRef"},
		"with its former key":               {"azure", azure, "", "former-authority", "ca.crt of spec.secretRef"},
		"a URL that is none":                {"azure", "https://dev.azure.com:org/app", "", "", "cannot be parsed"},
		"a cloud without Git":               {"gcp", "https://source.developers.google.com/p/x/r/y", "", "", `unknown spec.provider "gcp"`},
	} {
		t.Run(name, func(t *testing.T) {
			repo := make.GitRepository("apps", "app", in(tc.provider, tc.url))
			if tc.proxy != "" {
				repo.Spec.ProxySecretRef = &meta.LocalObjectReference{Name: tc.proxy}
			}
			if tc.secret != "" {
				repo.Spec.SecretRef = &meta.LocalObjectReference{Name: tc.secret}
			}
			_, err := Read(t.Context(), reader, repo, Options{})
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, ErrProvider) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
