// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/notaryproject/notation-core-go/signature/jws"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/signature/signaturetest"
	builder "github.com/sluice-cd/sluice/test/make"
)

// provided are a verifier of each provider, and how an image gets a signature
// that it accepts. A new provider joins the conformance tests here.
var provided = map[string]func(*testing.T, *host) (Verifier, func(name.Digest)){
	"cosign": func(t *testing.T, h *host) (Verifier, func(name.Digest)) {
		k := newKey(t, p256)
		return h.byKeys(map[string][]byte{"prod.pub": k.pub}), func(image name.Digest) { putTag(h, image, k) }
	},
	"notation": func(t *testing.T, h *host) (Verifier, func(name.Digest)) {
		ours := signaturetest.NewAuthority(t)
		files := map[string][]byte{trustPolicyKey: signaturetest.TrustPolicy(t, "strict", "*"), "ca.crt": ours.Root}
		v, err := New(t.Context(), reader(builder.Secret(namespace, secretName, files)), namespace,
			Spec{Provider: "notation", SecretName: secretName}, Options{Remote: h.opts})
		must(t, err)
		return v, func(image name.Digest) { ours.Sign(t, image, jws.MediaTypeEnvelope) }
	},
}

func TestEveryProviderHasConformanceTests(t *testing.T) {
	for name := range providers {
		if provided[name] == nil {
			t.Errorf("%s has none", name)
		}
	}
}

func TestOutagesAreNotVerdicts(t *testing.T) {
	for provider, provide := range provided {
		for _, code := range []int{401, 403, 429, 500, 503} {
			t.Run(provider+" "+http.StatusText(code), func(t *testing.T) {
				var down atomic.Bool
				h := newHost(t, true, func(next http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if down.Load() {
							http.Error(w, "no", code)
							return
						}
						next.ServeHTTP(w, r)
					})
				})
				h.opts = []remote.Option{remote.WithRetryBackoff(remote.Backoff{Steps: 1})}
				v, put := provide(t, h)
				image := h.image()
				put(image)
				accept(t.Context(), t, v, image)
				down.Store(true)
				wantOutage(t, v, image)
			})
		}
		t.Run(provider+" gone", func(t *testing.T) {
			h := newHost(t, true)
			h.opts = []remote.Option{remote.WithRetryBackoff(remote.Backoff{Steps: 1})}
			v, _ := provide(t, h)
			image := h.image()
			h.server.Close()
			wantOutage(t, v, image)
		})
	}
}

func wantOutage(t *testing.T, v Verifier, image name.Digest) {
	t.Helper()
	_, err := v.Verify(t.Context(), image)
	if err == nil || errors.Is(err, ErrUnverified) || errors.Is(err, ErrConfig) {
		t.Errorf("got %v", err)
	}
}

func TestASignatureThatCountsOutweighsAnOutageOfTheOthers(t *testing.T) {
	h := newHost(t, true, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/referrers/") {
				http.Error(w, "no", http.StatusBadGateway)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	h.opts = []remote.Option{remote.WithRetryBackoff(remote.Backoff{Steps: 1})}
	v, put := provided["cosign"](t, h)
	image := h.image()
	wantOutage(t, v, image)
	put(image)
	accept(t.Context(), t, v, image)
}

func TestRegistriesThatRefuseToListReferrersHaveNone(t *testing.T) {
	for _, code := range []int{400, 404, 405, 406, 501} {
		h := newHost(t, true, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "/referrers/") {
					http.Error(w, "no", code)
					return
				}
				next.ServeHTTP(w, r)
			})
		})
		v, put := provided["cosign"](t, h)
		image := h.image()
		wantRefusal(t, v, image, "it carries none")
		put(image)
		accept(t.Context(), t, v, image)
	}
}

func TestASilentRegistryEndsWithTheTimeout(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer func() { go silent.Close() }()
	image, err := name.NewDigest(strings.TrimPrefix(silent.URL, "http://")+"/app@sha256:"+strings.Repeat("0", 64), name.Insecure)
	must(t, err)
	v, err := New(t.Context(), reader(builder.Secret(namespace, secretName, map[string][]byte{"a.pub": newKey(t, p256).pub})), namespace,
		Spec{Provider: "cosign", SecretName: secretName}, Options{Timeout: 50 * time.Millisecond})
	must(t, err)
	if _, err := v.Verify(t.Context(), image); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUnverified) {
		t.Errorf("got %v", err)
	}
}

func TestCredentialsReachTheRegistry(t *testing.T) {
	for provider, provide := range provided {
		t.Run(provider, func(t *testing.T) {
			var locked atomic.Bool
			h := newHost(t, true, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if user, password, _ := r.BasicAuth(); locked.Load() && (user != "me" || password != "mine") {
						w.Header().Set("WWW-Authenticate", `Basic realm="images"`)
						http.Error(w, "no", http.StatusUnauthorized)
						return
					}
					next.ServeHTTP(w, r)
				})
			})
			h.opts = []remote.Option{remote.WithAuth(&authn.Basic{Username: "me", Password: "mine"})}
			v, put := provide(t, h)
			image := h.image()
			put(image)
			locked.Store(true)
			accept(t.Context(), t, v, image)

			h.opts = []remote.Option{remote.WithAuth(&authn.Basic{Username: "me", Password: "hunter2"})}
			stranger, _ := provide(t, h)
			_, err := stranger.Verify(t.Context(), image)
			if err == nil || errors.Is(err, ErrUnverified) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("with a wrong password: %v", err)
			}
		})
	}
}

func TestAVerifierMayBeUsedByManyAtOnce(t *testing.T) {
	for provider, provide := range provided {
		t.Run(provider, func(t *testing.T) {
			h := newHost(t, true)
			v, put := provide(t, h)
			image := h.image()
			put(image)
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					if _, err := v.Verify(t.Context(), image); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
		})
	}
}

func TestLayersThatAreTooLargeAreNotRead(t *testing.T) {
	h := newHost(t, true)
	image := h.image()
	v, _ := provided["cosign"](t, h)
	h.store(image, []byte(strings.Repeat(" ", maxLayer+1)))
	wantRefusal(t, v, image, "it is too large")
}

func TestDanglingSignaturesAreNoOutage(t *testing.T) {
	h := newHost(t, true)
	image := h.image()
	v, _ := provided["cosign"](t, h)
	subject, err := remote.Head(image)
	must(t, err)
	nowhere := map[string]any{"mediaType": simpleSigningType, "size": 2, "digest": "sha256:" + strings.Repeat("0", 64)}
	h.put(image, map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "subject": subject,
		"config": map[string]any{"mediaType": signatureType, "size": 2, "digest": nowhere["digest"]},
		"layers": []any{nowhere},
	})
	wantRefusal(t, v, image, "the registry does not have it")
}

func TestSpecsThatMakeNoSenseAreTerminal(t *testing.T) {
	who := []CertificateIdentity{{Issuer: "a", Subject: "b"}}
	tests := map[string]struct {
		spec Spec
		want string
	}{
		"an unknown provider":            {Spec{Provider: "gpg"}, `provider "gpg" is unknown, there are cosign, notation`},
		"keys and identities":            {Spec{Provider: "cosign", SecretName: "a", Identities: who}, "matchOIDCIdentity"},
		"keys and a root":                {Spec{Provider: "cosign", SecretName: "a", TrustedRootSecretName: "b"}, "trustedRootSecretRef"},
		"notation without a Secret":      {Spec{Provider: "notation"}, "needs secretRef"},
		"notation and identities":        {Spec{Provider: "notation", SecretName: "a", Identities: who}, "matchOIDCIdentity"},
		"notation and a trusted root":    {Spec{Provider: "notation", SecretName: "a", TrustedRootSecretName: "b"}, "trustedRootSecretRef"},
		"keyless without a public root":  {Spec{Provider: "cosign", Identities: who}, "public Sigstore root is not available"},
		"keyless by whomever, therefore": {Spec{Provider: "cosign"}, "matchOIDCIdentity must say"},
	}
	for title, tc := range tests {
		t.Run(title, func(t *testing.T) {
			_, err := New(t.Context(), reader(), namespace, tc.spec, Options{})
			if !errors.Is(err, ErrConfig) || !errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestASpecHasAllThatAnObjectNames(t *testing.T) {
	ref := func(name string) *meta.LocalObjectReference { return &meta.LocalObjectReference{Name: name} }
	want := Spec{Provider: "cosign", SecretName: "keys", TrustedRootSecretName: "root",
		Identities: []CertificateIdentity{{Issuer: "i", Subject: "s"}}}
	oci := SpecOf("cosign", ref("keys"), ref("root"), []sourcev1.OIDCIdentityMatch{{Issuer: "i", Subject: "s"}})
	policy := SpecOf("cosign", ref("keys"), ref("root"), []imagev1.OIDCIdentityMatch{{Issuer: "i", Subject: "s"}})
	if diff := cmp.Diff([]Spec{want, want}, []Spec{oci, policy}); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Spec{Provider: "notation"}, SpecOf[imagev1.OIDCIdentityMatch]("notation", nil, nil, nil)); diff != "" {
		t.Error(diff)
	}
}

func TestAMissingSecretIsConfigurationAndASilentAPIServerIsNot(t *testing.T) {
	spec := Spec{Provider: "cosign", SecretName: secretName}
	_, err := New(t.Context(), reader(), namespace, spec, Options{})
	if !errors.Is(err, ErrConfig) || errors.Is(err, reconcile.TerminalError(nil)) {
		t.Errorf("a missing Secret: %v", err)
	}
	silent := interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return errors.New("connection refused")
		},
	})
	_, err = New(t.Context(), silent, namespace, spec, Options{})
	if err == nil || errors.Is(err, ErrConfig) {
		t.Errorf("a silent API server: %v", err)
	}
}
