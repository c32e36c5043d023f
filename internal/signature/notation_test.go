// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"errors"
	"strings"
	"testing"

	"github.com/notaryproject/notation-core-go/signature/cose"
	"github.com/notaryproject/notation-core-go/signature/jws"

	"github.com/sluice-cd/sluice/internal/signature/signaturetest"
	"github.com/sluice-cd/sluice/test/make"
)

func newNotary(t *testing.T, files map[string][]byte) (Verifier, error) {
	t.Helper()
	return New(t.Context(), reader(make.Secret(namespace, secretName, files)), namespace,
		Spec{Provider: "notation", SecretName: secretName}, Options{})
}

func TestNotationSignaturesCountByTheTrustPolicy(t *testing.T) {
	ours, theirs := signaturetest.NewAuthority(t), signaturetest.NewAuthority(t)
	tests := map[string]struct {
		level     string
		signedBy  *signaturetest.Authority
		format    string
		referrers bool

		wantSigner  string
		wantWarning string
		wantRefusal string
	}{
		"strict accepts an envelope in JWS":         {"strict", &ours, jws.MediaTypeEnvelope, true, "CN=builder,O=Test,ST=ZH,C=CH", "", ""},
		"strict accepts an envelope in COSE":        {"strict", &ours, cose.MediaTypeEnvelope, true, "CN=builder,O=Test,ST=ZH,C=CH", "", ""},
		"the fallback tag lists signatures":         {"strict", &ours, jws.MediaTypeEnvelope, false, "CN=builder,O=Test,ST=ZH,C=CH", "", ""},
		"strict refuses another authority":          {"strict", &theirs, jws.MediaTypeEnvelope, true, "", "", "any trusted certificate"},
		"permissive refuses another authority":      {"permissive", &theirs, cose.MediaTypeEnvelope, true, "", "", "any trusted certificate"},
		"strict refuses an image without":           {"strict", nil, "", true, "", "", "it carries none"},
		"audit passes another authority, and warns": {"audit", &theirs, jws.MediaTypeEnvelope, true, "", "authenticity", ""},
		"audit refuses an image without":            {"audit", nil, "", true, "", "", "it carries none"},
		"skip passes an image without, and says so": {"skip", nil, "", true, "", "not verified", ""},
	}
	for title, tc := range tests {
		t.Run(title, func(t *testing.T) {
			h := newHost(t, tc.referrers)
			image := h.image()
			if tc.signedBy != nil {
				tc.signedBy.Sign(t, image, tc.format)
			}
			v, err := newNotary(t, map[string][]byte{trustPolicyKey: signaturetest.TrustPolicy(t, tc.level, "*"), "ca.crt": ours.Root})
			must(t, err)
			if tc.wantRefusal != "" {
				wantRefusal(t, v, image, tc.wantRefusal)
				return
			}
			got := accept(t.Context(), t, v, image)
			if got.Signer != tc.wantSigner {
				t.Errorf("signed by %q, want %q", got.Signer, tc.wantSigner)
			}
			if warning := strings.Join(got.Warnings, "; "); !strings.Contains(warning, tc.wantWarning) || tc.wantWarning == "" && warning != "" {
				t.Errorf("warnings %q, want %q", warning, tc.wantWarning)
			}
		})
	}
}

func TestNotationSignatureOfAnotherImageDoesNotCount(t *testing.T) {
	ours := signaturetest.NewAuthority(t)
	h := newHost(t, true)
	image, other := h.image(), h.image()
	ours.Sign(t, other, jws.MediaTypeEnvelope)
	h.copyReferrers(other, image)
	v, err := newNotary(t, map[string][]byte{trustPolicyKey: signaturetest.TrustPolicy(t, "strict", "*"), "ca.pem": ours.Root})
	must(t, err)
	wantRefusal(t, v, image, "content descriptor mismatch")
}

func TestTrustPolicyThatDoesNotCoverTheImageIsRefused(t *testing.T) {
	h := newHost(t, true)
	image := h.image()
	v, err := newNotary(t, map[string][]byte{
		trustPolicyKey: signaturetest.TrustPolicy(t, "strict", "registry.example.com/app"),
		"ca.crt":       signaturetest.NewAuthority(t).Root,
	})
	must(t, err)
	if _, err := v.Verify(t.Context(), image); !errors.Is(err, ErrConfig) {
		t.Fatalf("got %v", err)
	}
}

func TestNotationSecretsThatCannotBeUsedAreRefused(t *testing.T) {
	root := signaturetest.NewAuthority(t).Root
	strict := signaturetest.TrustPolicy(t, "strict", "*")
	tests := map[string]struct {
		files map[string][]byte
		want  string
	}{
		"without trust policy":   {map[string][]byte{"ca.crt": root}, "it has no key trustpolicy.json"},
		"without certificate":    {map[string][]byte{trustPolicyKey: strict}, "no key with a certificate ends in .crt or .pem"},
		"with a file of garbage": {map[string][]byte{trustPolicyKey: strict, "ca.pem": []byte("garbage")}, "ca.pem: it is not a certificate"},
		"with a private key only": {map[string][]byte{
			trustPolicyKey: strict,
			"ca.pem":       []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
		},
			"ca.pem: it holds no certificate"},
		"with a policy that is not JSON": {map[string][]byte{trustPolicyKey: []byte("{"), "ca.crt": root}, "parsing trustpolicy.json"},
		"with a policy of no version":    {map[string][]byte{trustPolicyKey: []byte("{}"), "ca.crt": root}, "version"},
	}
	for title, tc := range tests {
		t.Run(title, func(t *testing.T) {
			_, err := newNotary(t, tc.files)
			if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestCertificatesInDERAndBundlesAreRead(t *testing.T) {
	a, b := signaturetest.NewAuthority(t), signaturetest.NewAuthority(t)
	got, err := parseCertificates(append(append([]byte("# roots\n"), a.Root...), b.Root...))
	must(t, err)
	if len(got) != 2 {
		t.Errorf("read %d certificates of 2", len(got))
	}
	if got, err = parseCertificates(a.Chain[1].Raw); err != nil || len(got) != 1 {
		t.Errorf("read %d certificates, %v", len(got), err)
	}
}

func TestAuditAsksNoServerThatAStrangersCertificateNames(t *testing.T) {
	for level, want := range map[string]string{"audit": "skip", "strict": ""} {
		policy := parsePolicy(t, signaturetest.TrustPolicy(t, level, "*"))
		mendPolicy(policy)
		got := policy.TrustPolicies[0].SignatureVerification.Override["revocation"]
		if string(got) != want {
			t.Errorf("%s: revocation %q, want %q", level, got, want)
		}
	}
}
