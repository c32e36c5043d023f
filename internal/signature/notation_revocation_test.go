// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/notaryproject/notation-core-go/signature/jws"

	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/signature/signaturetest"
	builder "github.com/sluice-cd/sluice/test/make"
)

// A certificate says where its revocation is looked up, and whoever signs an image writes
// the certificate.
func TestACertificateLeadsToNoForbiddenAddress(t *testing.T) {
	for name, set := range map[string]func(leaf *x509.Certificate, address string){
		"by OCSP":   func(leaf *x509.Certificate, address string) { leaf.OCSPServer = []string{address} },
		"by a list": func(leaf *x509.Certificate, address string) { leaf.CRLDistributionPoints = []string{address} },
	} {
		for _, allowed := range []bool{false, true} {
			asked := false
			inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
			signer := signaturetest.NewAuthorityWith(t, func(leaf *x509.Certificate) { set(leaf, inside.URL) })
			h := newHost(t, true)
			image := h.image()
			signer.Sign(t, image, jws.MediaTypeEnvelope)
			guard := outbound.NewGuard(nil)
			if allowed {
				guard = outbound.NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
			}
			files := map[string][]byte{trustPolicyKey: signaturetest.TrustPolicy(t, "strict", "*"), "ca.pem": signer.Root}
			v, err := New(t.Context(), reader(builder.Secret(namespace, secretName, files)), namespace,
				Spec{Provider: "notation", SecretName: secretName}, Options{Guard: guard})
			must(t, err)
			if _, err := v.Verify(t.Context(), image); err == nil {
				t.Errorf("%s, allowed %v: a certificate counts whose revocation nobody knows", name, allowed)
			}
			inside.Close()
			if asked != allowed {
				t.Errorf("%s, allowed %v: the server was asked: %v", name, allowed, asked)
			}
		}
	}
}

func TestAnAnswerAboutRevocationsIsBounded(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		chunk := make([]byte, 1<<20)
		for range 2 * maxRevocation >> 20 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	resp, err := revocationClient(http.DefaultTransport, time.Minute).Get(server.URL)
	must(t, err)
	defer resp.Body.Close()
	read, err := io.Copy(io.Discard, resp.Body)
	if read != maxRevocation || !errors.Is(err, outbound.ErrTooLarge) {
		t.Errorf("read %d bytes, %v", read, err)
	}
}
