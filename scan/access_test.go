package scan

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

func secret(name string, data map[string]string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: name}, Data: map[string][]byte{}}
	for key, value := range data {
		s.Data[key] = []byte(value)
	}
	return s
}

func dockerConfig(name, key, user, password string) *corev1.Secret {
	auth := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	return secret(name, map[string]string{
		corev1.DockerConfigJsonKey: fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, key, auth),
	})
}

func ref(name string) *meta.LocalObjectReference { return &meta.LocalObjectReference{Name: name} }

func withSecrets(secrets ...client.Object) client.Reader {
	return fake.NewClientBuilder().WithObjects(secrets...).Build()
}

// guarded asks for basic authentication as ann with the password pw.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ann" || password != "pw" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func TestReadAccess(t *testing.T) {
	open := newRegistry(t, "1")
	host := serve(t, guarded(open))
	account := &corev1.ServiceAccount{
		ObjectMeta:       metav1.ObjectMeta{Namespace: "apps", Name: "puller"},
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "good"}},
	}
	broken := &corev1.ServiceAccount{
		ObjectMeta:       metav1.ObjectMeta{Namespace: "apps", Name: "broken"},
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "gone"}},
	}
	reader := fake.NewClientBuilder().WithObjects(account, broken,
		dockerConfig("good", host, "ann", "pw"),
		dockerConfig("bad", host, "ann", "wrong"),
		dockerConfig("elsewhere", "ghcr.io", "ann", "pw"),
		secret("empty", nil),
		secret("noise", map[string]string{corev1.DockerConfigJsonKey: "{"}),
	).Build()
	tests := map[string]struct {
		spec imagev1.ImageRepositorySpec
		want error
	}{
		"a Secret":                            {imagev1.ImageRepositorySpec{SecretRef: ref("good")}, nil},
		"a ServiceAccount's pull secret":      {imagev1.ImageRepositorySpec{ServiceAccountName: "puller"}, nil},
		"a Secret of another registry beside": {imagev1.ImageRepositorySpec{SecretRef: ref("elsewhere"), ServiceAccountName: "puller"}, nil},
		"nothing":                             {imagev1.ImageRepositorySpec{}, ErrUnauthorized},
		"a wrong password":                    {imagev1.ImageRepositorySpec{SecretRef: ref("bad")}, ErrUnauthorized},
		"only another registry's Secret":      {imagev1.ImageRepositorySpec{SecretRef: ref("elsewhere")}, ErrUnauthorized},
		"a missing Secret":                    {imagev1.ImageRepositorySpec{SecretRef: ref("gone")}, ErrCredentials},
		"a Secret without credentials":        {imagev1.ImageRepositorySpec{SecretRef: ref("empty")}, ErrCredentials},
		"a Secret that is not JSON":           {imagev1.ImageRepositorySpec{SecretRef: ref("noise")}, ErrCredentials},
		"a missing ServiceAccount":            {imagev1.ImageRepositorySpec{ServiceAccountName: "gone"}, ErrCredentials},
		"a ServiceAccount's missing Secret":   {imagev1.ImageRepositorySpec{ServiceAccountName: "broken"}, ErrCredentials},
		"a certificate Secret without any":    {imagev1.ImageRepositorySpec{CertSecretRef: ref("empty")}, ErrCredentials},
		"a proxy Secret without address":      {imagev1.ImageRepositorySpec{ProxySecretRef: ref("empty")}, ErrCredentials},
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

func list(t *testing.T, reader client.Reader, spec imagev1.ImageRepositorySpec) error {
	t.Helper()
	access, err := ReadAccess(context.Background(), reader, repository(spec))
	if err != nil {
		return err
	}
	_, err = newClient(t).Tags(context.Background(), target(t, spec), access)
	return err
}

func TestATokenServerIsAskedWithTheCredentials(t *testing.T) {
	open := newRegistry(t, "1")
	var realm string
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			guarded(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
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
	reader := fake.NewClientBuilder().WithObjects(dockerConfig("good", host, "ann", "pw"), dockerConfig("bad", host, "ann", "no")).Build()
	spec := imagev1.ImageRepositorySpec{Image: host + "/" + image, SecretRef: &meta.LocalObjectReference{Name: "good"}}
	if err := list(t, reader, spec); err != nil {
		t.Error(err)
	}
	spec.SecretRef.Name = "bad"
	if err := list(t, reader, spec); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("got %v", err)
	}
}

func TestACertificateAuthorityIsTrusted(t *testing.T) {
	server := httptest.NewTLSServer(newRegistry(t, "1"))
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	reader := fake.NewClientBuilder().WithObjects(secret("ca", map[string]string{"ca.crt": string(ca)})).Build()
	spec := imagev1.ImageRepositorySpec{Image: strings.TrimPrefix(server.URL, "https://") + "/" + image}
	if err := list(t, reader, spec); err == nil {
		t.Error("an unknown authority was trusted")
	}
	spec.CertSecretRef = &meta.LocalObjectReference{Name: "ca"}
	if err := list(t, reader, spec); err != nil {
		t.Error(err)
	}
}

// The registry has a name that only the proxy knows, and speaks plain HTTP.
func TestAnInsecureRegistryBehindAProxyTellsDigests(t *testing.T) {
	open := newRegistry(t, "1")
	proxy := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect || r.URL.Host != "registry.example.test" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		open.ServeHTTP(w, r)
	}))
	reader := fake.NewClientBuilder().WithObjects(secret("proxy", map[string]string{"address": "http://" + proxy})).Build()
	spec := imagev1.ImageRepositorySpec{
		Image: "registry.example.test/" + image, Insecure: true,
		ProxySecretRef: &meta.LocalObjectReference{Name: "proxy"},
	}
	access, err := ReadAccess(context.Background(), reader, repository(spec))
	if err != nil {
		t.Fatal(err)
	}
	digest, err := newClient(t).Digest(context.Background(), target(t, spec), access, "1")
	if err != nil || !strings.HasPrefix(digest, "sha256:") {
		t.Errorf("got %q, %v", digest, err)
	}
	if _, err := newClient(t).Digest(context.Background(), target(t, spec), access, "2"); !errors.Is(err, ErrNotFound) {
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
