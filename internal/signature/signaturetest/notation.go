// SPDX-License-Identifier: Apache-2.0

package signaturetest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/registry"
	"github.com/notaryproject/notation-go/signer"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	orasremote "oras.land/oras-go/v2/registry/remote"
)

// Authority is a certificate authority with one signer.
type Authority struct {
	// Root is its certificate, as PEM.
	Root []byte
	// Chain are the certificates of the signer and of the root.
	Chain []*x509.Certificate
	key   crypto.PrivateKey // of the signer
}

// NewAuthority is one that nobody trusts yet.
func NewAuthority(t testing.TB) Authority {
	t.Helper()
	return NewAuthorityWith(t, func(*x509.Certificate) {})
}

// NewAuthorityWith changes the certificate of the signer before it is issued.
func NewAuthorityWith(t testing.TB, change func(leaf *x509.Certificate)) Authority {
	t.Helper()
	rootKey, leafKey := ecKey(t), ecKey(t)
	now := clock.RealClock{}.Now()
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
	return Authority{
		Root:  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}),
		Chain: []*x509.Certificate{leaf, root},
		key:   leafKey,
	}
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

func issue(t testing.TB, cert, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, key.Public(), by)
	must(t, err)
	issued, err := x509.ParseCertificate(der)
	must(t, err)
	return issued
}

// Sign signs an image as notation does, in an envelope of a format.
func (a Authority) Sign(t testing.TB, image name.Digest, format string) {
	t.Helper()
	repo, err := orasremote.NewRepository(image.Repository.Name())
	must(t, err)
	repo.PlainHTTP = true
	s, err := signer.NewGenericSigner(a.key, a.Chain)
	must(t, err)
	_, err = notation.Sign(t.Context(), s, registry.NewRepository(repo), notation.SignOptions{
		SignerSignOptions: notation.SignerSignOptions{SignatureMediaType: format},
		ArtifactReference: image.Name(),
	})
	must(t, err)
}

// TrustPolicy is a trust policy of one statement.
func TrustPolicy(t testing.TB, level string, scopes ...string) []byte {
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

// Secret is one named notary, whose strict policy trusts this authority alone.
func (a Authority) Secret(t testing.TB, namespace string) *corev1.Secret {
	t.Helper()
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "notary"},
		Data:       map[string][]byte{"trustpolicy.json": TrustPolicy(t, "strict", "*"), "ca.crt": a.Root},
	}
}
