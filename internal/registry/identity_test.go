// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/auth"
	"github.com/fluxcd/pkg/cache"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-cd/sluice/internal/identity"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/registry/registrytest"
)

// identified is a client that can use the identity of a cloud, of which there is
// none here.
func identified(t *testing.T) *Client {
	t.Helper()
	tokens, err := cache.NewTokenCache(10)
	if err != nil {
		t.Fatal(err)
	}
	plain := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "plain"}}
	accounts := fake.NewClientBuilder().WithObjects(plain).Build()
	return newClient(t, WithCloudIdentity(CloudIdentity{Client: accounts, Tokens: tokens}))
}

// objectLevel turns the feature gate on for one test.
func objectLevel(t *testing.T) {
	t.Helper()
	auth.EnableObjectLevelWorkloadIdentity()
	t.Cleanup(auth.DisableObjectLevelWorkloadIdentity)
}

func TestAServiceAccountInACloudNeedsTheFeatureGate(t *testing.T) {
	tests := map[string]struct {
		spec Spec
		gate bool
		want error
	}{
		"with the gate off it is refused":                {Spec{Provider: "aws", ServiceAccountName: "app"}, false, ErrFeatureGate},
		"with the gate on it is used":                    {Spec{Provider: "aws", ServiceAccountName: "app"}, true, nil},
		"without one the controller's identity is used":  {Spec{Provider: "aws"}, false, nil},
		"with generic it only has pull secrets":          {Spec{Provider: "generic", ServiceAccountName: "app"}, false, nil},
		"an object from before the default is a generic": {Spec{ServiceAccountName: "app"}, false, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.gate {
				objectLevel(t)
			}
			tc.spec.Image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app"
			if err := CheckProvider(named(tc.spec)); !errors.Is(err, tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAListingInACloudBelongsToTheIdentity(t *testing.T) {
	hosts := map[string]string{
		"aws":     "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
		"generic": "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
		"azure":   "one.azurecr.io",
	}
	spec := func(provider, account string) Spec {
		return Spec{Image: hosts[provider] + "/app", Provider: provider, ServiceAccountName: account}
	}
	objectLevel(t)
	ids := map[string]string{}
	for name, spec := range map[string]Spec{
		"controller": spec("aws", ""), "one": spec("aws", "one"),
		"two": spec("aws", "two"), "generic": spec("generic", ""), "azure": spec("azure", ""),
	} {
		access, err := identified(t).Access(context.Background(), registrytest.Reader(), named(spec))
		if err != nil {
			t.Fatal(err)
		}
		id := imageOf(t, spec, access).ID().Access
		if other, ok := ids[id]; ok {
			t.Errorf("%s and %s share a listing", name, other)
		}
		ids[id] = name
	}
}

// A Secret beside a provider is not even read, as in Flux.
func TestAProviderIgnoresSecrets(t *testing.T) {
	objectLevel(t)
	spec := Spec{Image: "gcr.io/app", Provider: "gcp", SecretRef: "missing", ServiceAccountName: "plain"}
	access, err := identified(t).Access(context.Background(), registrytest.Reader(), named(spec))
	if err != nil || access.cloud == nil {
		t.Errorf("got %+v, %v", access, err)
	}
	spec.ProxySecretRef = "missing"
	if _, err := identified(t).Access(context.Background(), registrytest.Reader(), named(spec)); !errors.Is(err, ErrCredentials) {
		t.Errorf("a missing proxy Secret: %v", err)
	}
}

// An OCIRepository's pull secrets come before its provider, as in Flux; the identity of a cloud took
// their place, or the feature gate was asked for.
func TestPullSecretsComeBeforeTheProviderOfAnOCIRepository(t *testing.T) {
	account := func(name string, pullSecrets ...string) *corev1.ServiceAccount {
		a := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: name}}
		for _, secret := range pullSecrets {
			a.ImagePullSecrets = append(a.ImagePullSecrets, corev1.LocalObjectReference{Name: secret})
		}
		return a
	}
	pull := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "pull"},
		Data:       map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths": {"gcr.io": {"username": "a", "password": "b"}}}`)},
	}
	reader := registrytest.Reader(pull, account("plain"), account("app", "pull"), account("broken", "gone"))
	for name, tc := range map[string]struct {
		account    string
		gate       bool
		want       error
		keys       int
		fromClouds bool
	}{
		"without the gate":                {account: "app", keys: 1},
		"with the gate":                   {account: "app", gate: true, keys: 1},
		"an account that has none":        {account: "plain", gate: true, fromClouds: true},
		"the same without the gate":       {account: "plain", want: ErrFeatureGate},
		"an account that is not there":    {account: "gone", want: ErrCredentials},
		"a pull secret that is not there": {account: "broken", gate: true, want: ErrCredentials},
		"no account":                      {fromClouds: true},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.gate {
				objectLevel(t)
			}
			spec := named(Spec{Image: "gcr.io/app", Provider: "gcp", ServiceAccountName: tc.account, PullSecretsFirst: true})
			if err := CheckProvider(spec); err != nil {
				t.Errorf("is refused before the account was read: %v", err)
			}
			access, err := identified(t).Access(context.Background(), reader, spec)
			if !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if len(access.keychain) != tc.keys || (access.cloud != nil) != tc.fromClouds {
				t.Errorf("got %+v", access)
			}
		})
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
			spec := Spec{Image: "one.azurecr.io/" + image, Provider: "azure", ServiceAccountName: tc.account}
			access, err := identified(t).Access(context.Background(), registrytest.Reader(), named(spec))
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
		spec Spec
		gate bool
		want string // empty: it is used
	}{
		"to the cloud":                      {Spec{Image: gcr, Provider: "gcp"}, false, ""},
		"without encryption":                {Spec{Image: gcr, Provider: "gcp", Insecure: true}, false, "spec.insecure"},
		"through a proxy of the object's":   {Spec{Image: gcr, Provider: "gcp", ProxySecretRef: "proxy"}, false, "spec.proxySecretRef"},
		"past an authority of the object's": {Spec{Image: ecr, Provider: "aws", CertSecretRef: "ca"}, false, "spec.certSecretRef"},
		"to a host that begins like the cloud's": {
			Spec{Image: "123456789012.dkr.ecr.eu-west-1.amazonaws.com.example.com/app", Provider: "aws"},
			false,
			"example.com is none",
		},
		"to another cloud":      {Spec{Image: ecr, Provider: "azure"}, false, "is none"},
		"to a registry at home": {Spec{Image: "127.0.0.1:5000/app", Provider: "azure"}, false, "over https only"},
		"an account's, through a proxy of its own": {
			Spec{Image: ecr, Provider: "aws", ServiceAccountName: "plain", ProxySecretRef: "proxy"},
			true,
			"",
		},
		"an account's, without encryption": {
			Spec{Image: ecr, Provider: "aws", ServiceAccountName: "plain", Insecure: true},
			true,
			"spec.insecure",
		},
		"an account's, to somebody else": {
			Spec{Image: "registry.example.com/app", Provider: "aws", ServiceAccountName: "plain"},
			true,
			"is none",
		},
		"the controller's with the gate on": {Spec{Image: ecr, Provider: "aws", ProxySecretRef: "proxy"}, true, "spec.proxySecretRef"},
	}
	secrets := registrytest.Reader(registrytest.Secret("proxy", map[string]string{"address": "http://proxy.example.com:3128"}))
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.gate {
				objectLevel(t)
			}
			_, err := identified(t).Access(context.Background(), secrets, named(tc.spec))
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
	server := httptest.NewTLSServer(registrytest.Guarded(registrytest.New(t, "1")))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "https://")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for title, key := range map[string]string{"the names of kubernetes.io/tls": "ca.crt", "the names of old": "caFile"} {
		t.Run(title, func(t *testing.T) {
			both := registrytest.DockerConfig("both", host, "ann", "pw")
			both.Data[key] = ca
			spec := Spec{Image: host + "/" + image, SecretRef: "both", CertSecretRef: "both"}
			if err := list(t, registrytest.Reader(both), spec); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestListingsOfOtherRoutesHaveAClockOfTheirOwn(t *testing.T) {
	proxy := registrytest.Secret("proxy", map[string]string{"address": "http://127.0.0.1:1"})
	spec := Spec{Image: "ghcr.io/team/app"}
	plain, err := ReadAccess(context.Background(), registrytest.Reader(), named(spec))
	if err != nil {
		t.Fatal(err)
	}
	spec.ProxySecretRef = "proxy"
	routed, err := ReadAccess(context.Background(), registrytest.Reader(proxy), named(spec))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("ghcr.io/team/app", imageOf(t, spec, plain).ID().Image); diff != "" {
		t.Error(diff)
	}
	if got := imageOf(t, spec, routed).ID().Image; !strings.HasPrefix(got, "ghcr.io/team/app#") {
		t.Errorf("got %s", got)
	}
}

// The library that gets the credentials of a cloud dials the proxy itself: one by a name that
// leads to the controller's own loopback addresses was reached.
func TestCredentialsAreNotAskedForThroughAProxyAtAForbiddenAddress(t *testing.T) {
	c := &cloud{provider: "gcp", image: "gcr.io/acme/app", guard: outbound.NewGuard(nil), proxy: &url.URL{Scheme: "http", Host: "localhost:1"}}
	if _, err := c.AuthorizationContext(t.Context()); !errors.Is(err, outbound.ErrForbiddenAddress) {
		t.Errorf("got %v", err)
	}
}
