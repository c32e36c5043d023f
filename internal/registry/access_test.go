// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-cd/sluice/internal/registry/registrytest"
)

func TestReadAccess(t *testing.T) {
	open := registrytest.New(t, "1")
	host := registrytest.Serve(t, registrytest.Guarded(open))
	account := &corev1.ServiceAccount{
		ObjectMeta:       metav1.ObjectMeta{Namespace: "apps", Name: "puller"},
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "good"}},
	}
	broken := &corev1.ServiceAccount{
		ObjectMeta:       metav1.ObjectMeta{Namespace: "apps", Name: "broken"},
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "gone"}},
	}
	reader := fake.NewClientBuilder().WithObjects(account, broken,
		registrytest.DockerConfig("good", host, "ann", "pw"),
		registrytest.DockerConfig("bad", host, "ann", "wrong"),
		registrytest.DockerConfig("elsewhere", "ghcr.io", "ann", "pw"),
		registrytest.Secret("empty", nil),
		registrytest.Secret("noise", map[string]string{corev1.DockerConfigJsonKey: "{"}),
	).Build()
	tests := map[string]struct {
		spec Spec
		want error
	}{
		"a Secret":                            {Spec{SecretRef: "good"}, nil},
		"a ServiceAccount's pull secret":      {Spec{ServiceAccountName: "puller"}, nil},
		"a Secret of another registry beside": {Spec{SecretRef: "elsewhere", ServiceAccountName: "puller"}, nil},
		"nothing":                             {Spec{}, ErrUnauthorized},
		"a wrong password":                    {Spec{SecretRef: "bad"}, ErrUnauthorized},
		"only another registry's Secret":      {Spec{SecretRef: "elsewhere"}, ErrUnauthorized},
		"a missing Secret":                    {Spec{SecretRef: "gone"}, ErrCredentials},
		"a Secret without credentials":        {Spec{SecretRef: "empty"}, ErrCredentials},
		"a Secret that is not JSON":           {Spec{SecretRef: "noise"}, ErrCredentials},
		"a missing ServiceAccount":            {Spec{ServiceAccountName: "gone"}, ErrCredentials},
		"a ServiceAccount's missing Secret":   {Spec{ServiceAccountName: "broken"}, ErrCredentials},
		"a certificate Secret without any":    {Spec{CertSecretRef: "empty"}, ErrCredentials},
		"a proxy Secret without address":      {Spec{ProxySecretRef: "empty"}, ErrCredentials},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.spec.Image = host + "/" + image
			if err := list(t, reader, tc.spec); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

func TestATokenServerIsAskedWithTheCredentials(t *testing.T) {
	open := registrytest.New(t, "1")
	var realm string
	host := registrytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			registrytest.Guarded(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(`{"token":"let-me-in"}`))
			})).ServeHTTP(w, r)
		case r.Header.Get("Authorization") == "Bearer let-me-in":
			open.ServeHTTP(w, r)
		default:
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="test"`, realm))
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	realm = host
	reader := fake.NewClientBuilder().WithObjects(registrytest.DockerConfig("good", host, "ann", "pw"),
		registrytest.DockerConfig("bad", host, "ann", "no")).Build()
	spec := Spec{Image: host + "/" + image, SecretRef: "good"}
	if err := list(t, reader, spec); err != nil {
		t.Error(err)
	}
	spec.SecretRef = "bad"
	if err := list(t, reader, spec); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("got %v", err)
	}
}

func TestACertificateAuthorityIsTrusted(t *testing.T) {
	server := httptest.NewTLSServer(registrytest.New(t, "1"))
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	reader := fake.NewClientBuilder().WithObjects(registrytest.Secret("ca", map[string]string{"ca.crt": string(ca)})).Build()
	spec := Spec{Image: strings.TrimPrefix(server.URL, "https://") + "/" + image}
	if err := list(t, reader, spec); err == nil {
		t.Error("an unknown authority was trusted")
	}
	spec.CertSecretRef = "ca"
	if err := list(t, reader, spec); err != nil {
		t.Error(err)
	}
}

// A registry with a certificate of its own could not be reached with insecure, as it can in Flux. Whoever asks without that
// must not get the connections, nor the session, of who does.
func TestAnUnknownAuthorityIsTrustedOnlyByWhomThatIsWantedBy(t *testing.T) {
	server := httptest.NewTLSServer(registrytest.New(t, "1"))
	t.Cleanup(server.Close)
	client := newClient(t)
	ask := func(change func(*Spec)) error {
		spec := Spec{Image: strings.TrimPrefix(server.URL, "https://") + "/" + image, Insecure: true, TrustAny: true}
		change(&spec)
		foreign := registrytest.Secret("ca", map[string]string{"ca.crt": string(pem.EncodeToMemory(
			&pem.Block{Type: "CERTIFICATE", Bytes: other(t).Raw}))})
		access, err := ReadAccess(t.Context(), registrytest.Reader(foreign), named(spec))
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Digest(t.Context(), imageOf(t, spec, access), "1")
		return err
	}
	if err := ask(func(*Spec) {}); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Spec){
		"without":           func(s *Spec) { s.TrustAny = false },
		"with an authority": func(s *Spec) { s.CertSecretRef = "ca" },
	} {
		if err := ask(change); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// other is a certificate that no server has.
func other(t *testing.T) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// The registry has a name that only the proxy knows, and speaks plain HTTP.
func TestAnInsecureRegistryBehindAProxyTellsDigests(t *testing.T) {
	open := registrytest.New(t, "1")
	proxy := registrytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect || r.URL.Host != "registry.example.test" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		open.ServeHTTP(w, r)
	}))
	reader := fake.NewClientBuilder().WithObjects(registrytest.Secret("proxy", map[string]string{"address": "http://" + proxy})).Build()
	spec := Spec{
		Image: "registry.example.test/" + image, Insecure: true,
		ProxySecretRef: "proxy",
	}
	access, err := ReadAccess(context.Background(), reader, named(spec))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := newClient(t).Digest(context.Background(), imageOf(t, spec, access), "1")
	if err != nil || !strings.HasPrefix(digest, "sha256:") {
		t.Errorf("got %q, %v", digest, err)
	}
	if _, err := newClient(t).Digest(context.Background(), imageOf(t, spec, access), "2"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestKeychain(t *testing.T) {
	config := `{"auths":{
		"https://index.docker.io/v1/": {"username":"hub","password":"p"},
		"ghcr.io": {"username":"all","password":"p"},
		"ghcr.io/team": {"username":"team","password":"p"},
		"*.azurecr.io": {"username":"glob","password":"p"},
		"one.azurecr.io": {"username":"one","password":"p"},
		"registry:5000/v2/": {"username":"port","password":"p"},
		"helper.example.com": {}
	}}`
	tests := map[string]string{
		"alpine":                  "hub",
		"docker.io/team/app":      "hub",
		"ghcr.io/other/app":       "all",
		"ghcr.io/team/app":        "team",
		"two.azurecr.io/app":      "glob",
		"one.azurecr.io/app":      "one",
		"a.two.azurecr.io/app":    "",
		"registry:5000/app":       "port",
		"registry:5001/app":       "",
		"helper.example.com/app":  "",
		"azurecr.io/app":          "",
		"ghcr.io.evil.com/team/a": "",
	}
	keys, err := parseDockerConfig([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	for image, want := range tests {
		t.Run(image, func(t *testing.T) {
			repo, err := name.NewRepository(image)
			if err != nil {
				t.Fatal(err)
			}
			auth, err := authn.Resolve(context.Background(), keys, repo)
			if err != nil {
				t.Fatal(err)
			}
			got, err := authn.Authorization(context.Background(), auth)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got.Username); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzDockerConfig(f *testing.F) {
	f.Add([]byte(`{"auths":{"https://ghcr.io/v1/x":{"auth":"YTpi"}}}`))
	f.Add([]byte(`{"ghcr.io":{"username":"a"}}`))
	f.Add([]byte(`{"auths":{"[":{"auth":"x"}}}`))
	repo, err := name.NewRepository("ghcr.io/team/app")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func([]byte) (keychain, error){parseDockerConfig, parseDockerAuths} {
			keys, err := parse(data)
			if err != nil {
				continue
			}
			if _, err := keys.Resolve(repo); err != nil {
				t.Error(err)
			}
		}
	})
}

// An object that names registries in several places said spec.secretRef of each, which it does not have.
func TestErrorsNameTheFieldOfTheObject(t *testing.T) {
	reader := fake.NewClientBuilder().Build()
	const field = "spec.stages[production].write.tag"
	for name, tc := range map[string]struct {
		spec Spec
		want string
	}{
		"credentials":        {Spec{SecretRef: "gone"}, field + ".secretRef: "},
		"a service account":  {Spec{ServiceAccountName: "gone"}, field + ".serviceAccountName: "},
		"certificates":       {Spec{CertSecretRef: "gone"}, field + ".certSecretRef: "},
		"a proxy":            {Spec{ProxySecretRef: "gone"}, field + ".proxySecretRef: "},
		"no field of theirs": {Spec{SecretRef: "gone"}, ": spec.secretRef: "},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.HasPrefix(tc.want, field) {
				tc.spec.Field = field
			}
			tc.spec.Namespace = "apps"
			_, err := ReadAccess(t.Context(), reader, tc.spec)
			if !errors.Is(err, ErrCredentials) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
	repository, err := ParseRepository("example.com/app")
	if err != nil {
		t.Fatal(err)
	}
	if got := (Access{field: field}).Refused(repository); !strings.Contains(got, "set "+field+".secretRef to") {
		t.Errorf("got %s", got)
	}
}
