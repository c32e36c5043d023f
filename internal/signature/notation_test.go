// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/notaryproject/notation-core-go/signature/cose"
	"github.com/notaryproject/notation-core-go/signature/jws"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/registry"
	"github.com/notaryproject/notation-go/signer"
	orasremote "oras.land/oras-go/v2/registry/remote"
)

// authority is a certificate authority with one signer.
type authority struct {
	root  []byte // PEM
	chain []*x509.Certificate
	key   crypto.PrivateKey
}

func newAuthority(t *testing.T) authority { return newAuthorityWith(t, func(*x509.Certificate) {}) }

// newAuthorityWith changes the certificate of the signer before it is issued.
func newAuthorityWith(t *testing.T, change func(leaf *x509.Certificate)) authority {
	t.Helper()
	rootKey, leafKey := ecKey(t), ecKey(t)
	now := time.Now()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{
			CommonName:   "Test Root",
			Organization: []string{"Test"},
			Country:      []string{"CH"},
			Province:     []string{"ZH"},
		},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	root = issue(t, root, root, rootKey, rootKey)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{
			CommonName:   "builder",
			Organization: []string{"Test"},
			Country:      []string{"CH"},
			Province:     []string{"ZH"},
		},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	change(leaf)
	leaf = issue(t, leaf, root, leafKey, rootKey)
	return authority{
		root:  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}),
		chain: []*x509.Certificate{leaf, root},
		key:   leafKey,
	}
}

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

func issue(t *testing.T, cert, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, key.Public(), by)
	must(t, err)
	issued, err := x509.ParseCertificate(der)
	must(t, err)
	return issued
}

// notarize signs an image as notation does.
func (h *host) notarize(image name.Digest, by authority, format string) {
	h.t.Helper()
	repo, err := orasremote.NewRepository(image.Repository.Name())
	must(h.t, err)
	repo.PlainHTTP = true
	s, err := signer.NewGenericSigner(by.key, by.chain)
	must(h.t, err)
	_, err = notation.Sign(h.t.Context(), s, registry.NewRepository(repo), notation.SignOptions{
		SignerSignOptions: notation.SignerSignOptions{SignatureMediaType: format},
		ArtifactReference: image.Name(),
	})
	must(h.t, err)
}

// trustPolicy is a trust policy of one statement.
func trustPolicy(t *testing.T, level string, scopes ...string) []byte {
	t.Helper()
	statement := map[string]any{
		"name":                  "images",
		"registryScopes":        scopes,
		"signatureVerification": map[string]string{"level": level},
		"trustStores":           []string{"ca:anything"},
		"trustedIdentities":     []string{"*"},
	}
	text, err := json.Marshal(map[string]any{"version": "1.0", "trustPolicies": []any{statement}})
	must(t, err)
	return text
}

func newNotary(t *testing.T, files map[string][]byte) (Verifier, error) {
	t.Helper()
	return New(t.Context(), reader(secret(secretName, files)), namespace,
		Spec{Provider: "notation", SecretName: secretName}, Options{})
}

func TestNotationSignaturesCountByTheTrustPolicy(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	tests := map[string]struct {
		level     string
		signedBy  *authority
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
				h.notarize(image, *tc.signedBy, tc.format)
			}
			v, err := newNotary(t, map[string][]byte{trustPolicyKey: trustPolicy(t, tc.level, "*"), "ca.crt": ours.root})
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
	ours := newAuthority(t)
	h := newHost(t, true)
	image, other := h.image(), h.image()
	h.notarize(other, ours, jws.MediaTypeEnvelope)
	h.copyReferrers(other, image)
	v, err := newNotary(t, map[string][]byte{trustPolicyKey: trustPolicy(t, "strict", "*"), "ca.pem": ours.root})
	must(t, err)
	wantRefusal(t, v, image, "content descriptor mismatch")
}

func TestTrustPolicyThatDoesNotCoverTheImageIsRefused(t *testing.T) {
	h := newHost(t, true)
	image := h.image()
	v, err := newNotary(t, map[string][]byte{
		trustPolicyKey: trustPolicy(t, "strict", "registry.example.com/app"),
		"ca.crt":       newAuthority(t).root,
	})
	must(t, err)
	if _, err := v.Verify(t.Context(), image); !errors.Is(err, ErrConfig) {
		t.Fatalf("got %v", err)
	}
}

func TestNotationSecretsThatCannotBeUsedAreRefused(t *testing.T) {
	root := newAuthority(t).root
	strict := trustPolicy(t, "strict", "*")
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
	a, b := newAuthority(t), newAuthority(t)
	got, err := parseCertificates(append(append([]byte("# roots\n"), a.root...), b.root...))
	must(t, err)
	if len(got) != 2 {
		t.Errorf("read %d certificates of 2", len(got))
	}
	if got, err = parseCertificates(a.chain[1].Raw); err != nil || len(got) != 1 {
		t.Errorf("read %d certificates, %v", len(got), err)
	}
}

func TestAuditAsksNoServerThatAStrangersCertificateNames(t *testing.T) {
	for level, want := range map[string]string{"audit": "skip", "strict": ""} {
		policy := parsePolicy(t, trustPolicy(t, level, "*"))
		mendPolicy(policy)
		got := policy.TrustPolicies[0].SignatureVerification.Override["revocation"]
		if string(got) != want {
			t.Errorf("%s: revocation %q, want %q", level, got, want)
		}
	}
}
