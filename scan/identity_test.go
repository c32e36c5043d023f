package scan

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/auth"
	"github.com/fluxcd/pkg/cache"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/identity"
)

// identified is a client that can use the identity of a cloud, of which there is
// none here.
func identified(t *testing.T) *Client {
	t.Helper()
	metrics, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := cache.NewTokenCache(10)
	if err != nil {
		t.Fatal(err)
	}
	accounts := fake.NewClientBuilder().WithObjects(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "plain"}}).Build()
	return NewClient(clock.RealClock{}, metrics, WithIdentity(Identity{Client: accounts, Tokens: tokens}))
}

// objectLevel turns the feature gate on for one test.
func objectLevel(t *testing.T) {
	t.Helper()
	auth.EnableObjectLevelWorkloadIdentity()
	t.Cleanup(auth.DisableObjectLevelWorkloadIdentity)
}

func TestAServiceAccountInACloudNeedsTheFeatureGate(t *testing.T) {
	tests := map[string]struct {
		spec imagev1.ImageRepositorySpec
		gate bool
		want error
	}{
		"with the gate off it is refused":                {imagev1.ImageRepositorySpec{Provider: "aws", ServiceAccountName: "app"}, false, ErrFeatureGate},
		"with the gate on it is used":                    {imagev1.ImageRepositorySpec{Provider: "aws", ServiceAccountName: "app"}, true, nil},
		"without one the controller's identity is used":  {imagev1.ImageRepositorySpec{Provider: "aws"}, false, nil},
		"with generic it only has pull secrets":          {imagev1.ImageRepositorySpec{Provider: "generic", ServiceAccountName: "app"}, false, nil},
		"an object from before the default is a generic": {imagev1.ImageRepositorySpec{ServiceAccountName: "app"}, false, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.gate {
				objectLevel(t)
			}
			tc.spec.Image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app"
			if err := CheckProvider(repository(tc.spec)); !errors.Is(err, tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAListingInACloudBelongsToTheIdentity(t *testing.T) {
	hosts := map[string]string{"aws": "123456789012.dkr.ecr.eu-west-1.amazonaws.com", "generic": "123456789012.dkr.ecr.eu-west-1.amazonaws.com", "azure": "one.azurecr.io"}
	spec := func(provider, account string) imagev1.ImageRepositorySpec {
		return imagev1.ImageRepositorySpec{Image: hosts[provider] + "/app", Provider: provider, ServiceAccountName: account}
	}
	objectLevel(t)
	ids := map[string]string{}
	for name, spec := range map[string]imagev1.ImageRepositorySpec{
		"controller": spec("aws", ""), "one": spec("aws", "one"), "two": spec("aws", "two"), "generic": spec("generic", ""), "azure": spec("azure", ""),
	} {
		access, err := identified(t).Access(context.Background(), withSecrets(), repository(spec))
		if err != nil {
			t.Fatal(err)
		}
		id := access.id(target(t, spec)).access
		if other, ok := ids[id]; ok {
			t.Errorf("%s and %s share a listing", name, other)
		}
		ids[id] = name
	}
}

// A Secret beside a provider is not even read, as in Flux.
func TestAProviderIgnoresSecrets(t *testing.T) {
	objectLevel(t)
	spec := imagev1.ImageRepositorySpec{Image: "gcr.io/app", Provider: "gcp", SecretRef: ref("missing"), ServiceAccountName: "plain"}
	access, err := identified(t).Access(context.Background(), withSecrets(), repository(spec))
	if err != nil || access.cloud == nil {
		t.Errorf("got %+v, %v", access, err)
	}
	spec.ProxySecretRef = ref("missing")
	if _, err := identified(t).Access(context.Background(), withSecrets(), repository(spec)); !errors.Is(err, ErrCredentials) {
		t.Errorf("a missing proxy Secret: %v", err)
	}
}

// There is no cloud to give any credentials: the account is missing, or has no
// annotation that says what it is in the cloud.
func TestACloudThatGivesNothingIsACredentialsProblem(t *testing.T) {
	objectLevel(t)
	tests := map[string]struct{ account, want string }{
		"an account that is not there":     {"gone", `"gone" not found`},
		"an account without an annotation": {"plain", "azure.workload.identity"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			spec := imagev1.ImageRepositorySpec{Image: "one.azurecr.io/" + image, Provider: "azure", ServiceAccountName: tc.account}
			access, err := identified(t).Access(context.Background(), withSecrets(), repository(spec))
			if err != nil {
				t.Fatal(err)
			}
			_, err = access.cloud.AuthorizationContext(context.Background())
			if !errors.Is(err, ErrCredentials) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Whoever may write an ImageRepository must not see the token of the controller:
// neither on the way, nor at a proxy, nor at a host with a name like the cloud's.
func TestTheIdentityOfTheControllerGoesNowhereElse(t *testing.T) {
	const ecr, gcr = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app", "europe-docker.pkg.dev/project/app"
	tests := map[string]struct {
		spec imagev1.ImageRepositorySpec
		gate bool
		want string // empty: it is used
	}{
		"to the cloud":                             {imagev1.ImageRepositorySpec{Image: gcr, Provider: "gcp"}, false, ""},
		"without encryption":                       {imagev1.ImageRepositorySpec{Image: gcr, Provider: "gcp", Insecure: true}, false, "spec.insecure"},
		"through a proxy of the object's":          {imagev1.ImageRepositorySpec{Image: gcr, Provider: "gcp", ProxySecretRef: ref("proxy")}, false, "spec.proxySecretRef"},
		"past an authority of the object's":        {imagev1.ImageRepositorySpec{Image: ecr, Provider: "aws", CertSecretRef: ref("ca")}, false, "spec.certSecretRef"},
		"to a host that begins like the cloud's":   {imagev1.ImageRepositorySpec{Image: "123456789012.dkr.ecr.eu-west-1.amazonaws.com.example.com/app", Provider: "aws"}, false, "example.com is none"},
		"to another cloud":                         {imagev1.ImageRepositorySpec{Image: ecr, Provider: "azure"}, false, "is none"},
		"to a registry at home":                    {imagev1.ImageRepositorySpec{Image: "127.0.0.1:5000/app", Provider: "azure"}, false, "over https only"},
		"an account's, through a proxy of its own": {imagev1.ImageRepositorySpec{Image: ecr, Provider: "aws", ServiceAccountName: "plain", ProxySecretRef: ref("proxy")}, true, ""},
		"an account's, without encryption":         {imagev1.ImageRepositorySpec{Image: ecr, Provider: "aws", ServiceAccountName: "plain", Insecure: true}, true, "spec.insecure"},
		"an account's, to somebody else":           {imagev1.ImageRepositorySpec{Image: "registry.example.com/app", Provider: "aws", ServiceAccountName: "plain"}, true, "is none"},
		"the controller's with the gate on":        {imagev1.ImageRepositorySpec{Image: ecr, Provider: "aws", ProxySecretRef: ref("proxy")}, true, "spec.proxySecretRef"},
	}
	secrets := withSecrets(secret("proxy", map[string]string{"address": "http://proxy.example.com:3128"}))
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.gate {
				objectLevel(t)
			}
			_, err := identified(t).Access(context.Background(), secrets, repository(tc.spec))
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, identity.ErrRefused) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// image-reflector-controller reads a variable that it never fills when both
// references name one Secret, and says "secret '/' not found".
func TestOneSecretForCredentialsAndCertificates(t *testing.T) {
	server := httptest.NewTLSServer(guarded(newRegistry(t, "1")))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "https://")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for title, key := range map[string]string{"the names of kubernetes.io/tls": "ca.crt", "the names of old": "caFile"} {
		t.Run(title, func(t *testing.T) {
			both := dockerConfig("both", host, "ann", "pw")
			both.Data[key] = ca
			spec := imagev1.ImageRepositorySpec{Image: host + "/" + image, SecretRef: ref("both"), CertSecretRef: ref("both")}
			if err := list(t, withSecrets(both), spec); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestListingsOfOtherRoutesHaveAClockOfTheirOwn(t *testing.T) {
	proxy := secret("proxy", map[string]string{"address": "http://127.0.0.1:1"})
	spec := imagev1.ImageRepositorySpec{Image: "ghcr.io/team/app"}
	plain, err := ReadAccess(context.Background(), withSecrets(), repository(spec))
	if err != nil {
		t.Fatal(err)
	}
	spec.ProxySecretRef = ref("proxy")
	routed, err := ReadAccess(context.Background(), withSecrets(proxy), repository(spec))
	if err != nil {
		t.Fatal(err)
	}
	to := target(t, spec)
	if diff := cmp.Diff("ghcr.io/team/app", plain.id(to).image); diff != "" {
		t.Error(diff)
	}
	if got := routed.id(to).image; !strings.HasPrefix(got, "ghcr.io/team/app#") {
		t.Errorf("got %s", got)
	}
}

// Neither a name nor a byte on disk holds what a Secret does.
func TestNoCredentialIsOnDisk(t *testing.T) {
	host := serve(t, guarded(newRegistry(t, "1")))
	spec := imagev1.ImageRepositorySpec{Image: host + "/" + image, SecretRef: ref("good")}
	access, err := ReadAccess(context.Background(), withSecrets(dockerConfig("good", host, "ann", "pw")), repository(spec))
	if err != nil {
		t.Fatal(err)
	}
	s := kept(t, t.TempDir(), start)
	got, err := patient(t, s).Scan(context.Background(), Ask{Key: object("app"), Target: target(t, spec), Access: access})
	if err != nil {
		t.Fatal(err)
	}
	data, _, err := read(s.disk.path(nameOf(got.list.id)))
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"ann", "pw", "YW5uOnB3"} {
		if strings.Contains(string(data)+s.disk.path(nameOf(got.list.id)), word) {
			t.Errorf("%q is on disk", word)
		}
	}
}

func TestWhatARegistrySendsIsCounted(t *testing.T) {
	client := newClient(t)
	host := serve(t, body(`{"tags":["1"]}`, nil))
	if _, err := client.Tags(context.Background(), target(t, imagev1.ImageRepositorySpec{Image: host + "/" + image}), Access{}); err != nil {
		t.Fatal(err)
	}
	for name, counter := range map[string]prometheus.Counter{
		"bytes": client.metrics.bytes.WithLabelValues(host), "scans": client.metrics.scans.WithLabelValues(host, outcomeListed),
	} {
		if value(t, counter) == 0 {
			t.Errorf("%s were not counted", name)
		}
	}
	if observed := testutil.CollectAndCount(client.metrics.seconds); observed != 1 {
		t.Errorf("the time of the scan is in %d series", observed)
	}
}
