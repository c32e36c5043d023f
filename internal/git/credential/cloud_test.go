package credential

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-cd/sluice/internal/git"
)

// TestAnIdentityOfAWSSignsForTheRepository takes the identity from the environment,
// as the controller's own is, and needs no server: CodeCommit's passwords are
// signatures.
func TestAnIdentityOfAWSSignsForTheRepository(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "never told")
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_CA_BUNDLE", "") // of the machine, which the library cannot use
	repo := &sourcev1.GitRepository{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app"},
		Spec: sourcev1.GitRepositorySpec{
			URL: "https://git-codecommit.us-east-1.amazonaws.com/v1/repos/app", Provider: sourcev1.GitProviderAWS,
		},
	}
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
		_, _ = fmt.Fprintf(w, `{"access_token":"a token","expires_on":"%d","resource":"x","token_type":"Bearer"}`, time.Now().Add(time.Hour).Unix())
	}))
	t.Cleanup(endpoint.Close)
	t.Setenv("IDENTITY_ENDPOINT", endpoint.URL)
	t.Setenv("IDENTITY_HEADER", "proof")
	repo := &sourcev1.GitRepository{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app"},
		Spec:       sourcev1.GitRepositorySpec{URL: "https://dev.azure.com/org/project/_git/app", Provider: sourcev1.GitProviderAzure},
	}
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
