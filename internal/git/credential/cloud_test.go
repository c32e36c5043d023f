package credential

import (
	"regexp"
	"strings"
	"testing"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
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
