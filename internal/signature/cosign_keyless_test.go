// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/signature/signaturetest"
	"github.com/sluice-cd/sluice/test/make"
)

var release = CertificateIdentity{
	Issuer:  `^https://token\.actions\.githubusercontent\.com$`,
	Subject: `^https://github\.com/team/app/.*@refs/heads/main$`,
}

func TestKeylessSignaturesCountInEveryLayout(t *testing.T) {
	s := signaturetest.NewSigstore(t)
	tests := map[string]func(*host, name.Digest){
		"tag .sig":        func(h *host, image name.Digest) { h.tag(image, s.Simple(image, identity)) },
		"legacy referrer": func(h *host, image name.Digest) { h.refer(image, s.Simple(image, identity)) },
		"bundle": func(h *host, image name.Digest) {
			h.store(image, s.Bundle(signaturetest.Statement(t, image, cosignSign), identity))
		},
		"bundle with Rekor 2": func(h *host, image name.Digest) {
			h.store(image, s.BundleV2(signaturetest.Statement(t, image, cosignSign), identity))
		},
		"provenance": func(h *host, image name.Digest) {
			h.store(image, s.Bundle(signaturetest.Statement(t, image, "https://slsa.dev/provenance/v1"), identity))
		},
	}
	for title, put := range tests {
		t.Run(title, func(t *testing.T) {
			h := newHost(t, true)
			image := h.image()
			put(h, image)
			other := CertificateIdentity{Issuer: "^https://accounts.example.com$", Subject: "ceo"}
			v, err := keyless(t, s.Trusted(signaturetest.Whole), other, release)
			must(t, err)
			if got, want := accept(t.Context(), t, v, image).Signer, identity+" ("+issuer+")"; got != want {
				t.Errorf("signed by %q, want %q", got, want)
			}
		})
	}
}

func TestKeylessSignaturesThatDoNotCount(t *testing.T) {
	s, foreign := signaturetest.NewSigstore(t), signaturetest.NewSigstore(t)
	k := newKey(t, p256)
	tests := map[string]struct {
		put    func(*host, name.Digest)
		change func(*signaturetest.RootParts)
		want   string
	}{
		"one by somebody else, in a bundle": {
			put: func(h *host, image name.Digest) {
				h.store(image, s.Bundle(signaturetest.Statement(t, image, cosignSign), "mallory@example.com"))
			},
			want: "it is by mallory@example.com (" + issuer + "), whom matchOIDCIdentity does not name",
		},
		"one by somebody else, in the layout before": {
			put:  func(h *host, image name.Digest) { h.tag(image, s.Simple(image, "mallory@example.com")) },
			want: "it is by mallory@example.com (" + issuer + "), whom matchOIDCIdentity does not name",
		},
		"one of another Sigstore, in a bundle": {
			put: func(h *host, image name.Digest) {
				h.store(image, foreign.Bundle(signaturetest.Statement(t, image, cosignSign), identity))
			},
			want: "not enough verified log entries",
		},
		"one of another Sigstore, in the layout before": {
			put:  func(h *host, image name.Digest) { h.tag(image, foreign.Simple(image, identity)) },
			want: "not enough verified log entries",
		},
		"one without a published certificate, where the root has a log of those": {
			put:    func(h *host, image name.Digest) { h.tag(image, s.Simple(image, identity)) },
			change: func(p *signaturetest.RootParts) { p.Certificates = s.Logs(s.CTLogs()) },
			want:   "signed certificate timestamp",
		},
		"one with a payload for another image": {
			put:  func(h *host, image name.Digest) { h.tag(image, s.Simple(h.image(), identity)) },
			want: "it is for another image",
		},
		"one with a statement about another image": {
			put: func(h *host, image name.Digest) {
				h.store(image, s.Bundle(signaturetest.Statement(t, h.image(), cosignSign), identity))
			},
			want: "does not match any digest in statement",
		},
		"a statement that is no signature": {
			put: func(h *host, image name.Digest) {
				h.store(image, s.Bundle(signaturetest.Statement(t, image, "https://cosign.sigstore.dev/attestation/vuln/v1"), identity))
			},
			want: "no signature but a statement of type",
		},
		"one by a key, in a bundle": {
			put:  func(h *host, image name.Digest) { putBundle(h, image, k) },
			want: "it was made with a key",
		},
		"one by a key, in the layout before": {
			put:  func(h *host, image name.Digest) { putTag(h, image, k) },
			want: "it was made with a key",
		},
	}
	for title, tc := range tests {
		t.Run(title, func(t *testing.T) {
			h := newHost(t, true)
			image := h.image()
			tc.put(h, image)
			if tc.change == nil {
				tc.change = signaturetest.Whole
			}
			v, err := keyless(t, s.Trusted(tc.change), release)
			must(t, err)
			wantRefusal(t, v, image, tc.want)
		})
	}
}

func TestARootMayDoWithoutATransparencyLogIfItHasTimestamps(t *testing.T) {
	s := signaturetest.NewSigstore(t)
	h := newHost(t, true)
	image := h.image()
	h.store(image, s.BundleV2(signaturetest.Statement(t, image, cosignSign), identity))
	v, err := keyless(t, s.Trusted(func(p *signaturetest.RootParts) { p.Signatures = nil }), release)
	must(t, err)
	accept(t.Context(), t, v, image)
}

// Whoever leaves matchOIDCIdentity out was refused where source-controller lets anybody count.
func TestAnybodyCountsOnlyWhereThatIsWantedAndATrustedRootIssuedTheCertificate(t *testing.T) {
	s, foreign := signaturetest.NewSigstore(t), signaturetest.NewSigstore(t)
	secret := make.Secret(namespace, rootName, map[string][]byte{trustedRootKey: s.Trusted(signaturetest.Whole)})
	anybody := func(wanted ...CertificateIdentity) Verifier {
		v, err := New(t.Context(), reader(secret), namespace, Spec{
			Provider: "cosign", Identities: wanted, AnyIdentity: true, TrustedRootSecretName: rootName,
		}, Options{})
		must(t, err)
		return v
	}
	h := newHost(t, true)
	image := h.image()
	h.tag(image, foreign.Simple(image, identity))
	wantRefusal(t, anybody(), image, "not enough verified log entries")
	image = h.image()
	h.tag(image, s.Simple(image, "mallory@example.com"))
	wantRefusal(t, anybody(release), image, "whom matchOIDCIdentity does not name")
	got := accept(t.Context(), t, anybody(), image).String()
	want := "signed by mallory@example.com (" + issuer + "); anybody with a certificate may have signed: matchOIDCIdentity names nobody"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestKeylessSpecsThatCannotBeUsedAreRefused(t *testing.T) {
	s := signaturetest.NewSigstore(t)
	tests := map[string]struct {
		change     func(*signaturetest.RootParts)
		identities []CertificateIdentity
		terminal   bool
		want       string
	}{
		"no identity":           {signaturetest.Whole, nil, true, "matchOIDCIdentity must say whose count"},
		"an empty subject":      {signaturetest.Whole, []CertificateIdentity{{Issuer: "x"}}, true, "matchOIDCIdentity[0] needs"},
		"no regular expression": {signaturetest.Whole, []CertificateIdentity{release, {Issuer: "x", Subject: "("}}, true, "matchOIDCIdentity[1]"},
		"an expression without an end": {
			signaturetest.Whole, []CertificateIdentity{{Issuer: "x", Subject: strings.Repeat("(x?){1000}", 100)}}, true,
			"matchOIDCIdentity[0]: the regular expression is too large",
		},
		"more identities than may count": {
			signaturetest.Whole, slices.Repeat([]CertificateIdentity{release}, maxIdentities+1), true, "matchOIDCIdentity has 101 entries",
		},
		"a root without any time": {
			func(p *signaturetest.RootParts) { p.Signatures, p.Timestamps = nil, nil },
			[]CertificateIdentity{release},
			false,
			"neither a transparency log nor",
		},
	}
	for title, tc := range tests {
		t.Run(title, func(t *testing.T) {
			_, err := keyless(t, s.Trusted(tc.change), tc.identities...)
			if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if got := errors.Is(err, reconcile.TerminalError(nil)); got != tc.terminal {
				t.Errorf("terminal %v, want %v", got, tc.terminal)
			}
		})
	}
	_, err := keyless(t, []byte(`{"mediaType":"application/json"}`), release)
	if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "parsing trusted_root.json") {
		t.Errorf("a root of another type: %v", err)
	}
	_, err = New(t.Context(), reader(), namespace, Spec{Provider: "cosign", Identities: []CertificateIdentity{release}}, Options{})
	if !errors.Is(err, ErrConfig) {
		t.Errorf("no public root: %v", err)
	}
}

// keyless verifies by identities of a Sigstore with this trusted root.
func keyless(t *testing.T, trusted []byte, wanted ...CertificateIdentity) (Verifier, error) {
	t.Helper()
	return New(t.Context(), reader(make.Secret(namespace, rootName, map[string][]byte{trustedRootKey: trusted})), namespace,
		Spec{Provider: "cosign", Identities: wanted, TrustedRootSecretName: rootName}, Options{})
}
