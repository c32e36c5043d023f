// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"testing"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/sluice-cd/sluice/internal/signature/signaturetest"
)

const anyDigest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

// allTrustedSigners are what every parsed signature is verified by: whatever a registry
// serves, nothing may panic and nothing may count.
func allTrustedSigners(f *testing.F) []trustedSigners {
	f.Helper()
	t := &testing.T{}
	k, err := parseKeys("a.pub", newKey(t, p256).pub)
	if err != nil {
		f.Fatal(err)
	}
	trusted, err := root.NewTrustedRootFromJSON(signaturetest.NewSigstore(t).Trusted(signaturetest.Whole))
	if err != nil {
		f.Fatal(err)
	}
	v, err := rootVerifier(trusted)
	if err != nil {
		f.Fatal(err)
	}
	policy, err := identityPolicy([]CertificateIdentity{{Issuer: ".*", Subject: ".*"}})
	if err != nil {
		f.Fatal(err)
	}
	return []trustedSigners{k, identities{verifier: v, policy: policy}}
}

func FuzzBundle(f *testing.F) {
	all := allTrustedSigners(f)
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"a"}},` +
		`"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AAAA"}]}}`))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"a"},` +
		`"tlogEntries":[{}]},` +
		`"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"AAAA"},"signature":"AAAA"}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseBundle(data, anyDigest)
		if err != nil {
			return
		}
		for _, j := range all {
			if who, err := j.signerOf(s); err == nil {
				t.Errorf("counts as signed by %s", who)
			}
		}
	})
}

func FuzzSimpleSigning(f *testing.F) {
	all := allTrustedSigners(f)
	f.Add([]byte(`{"critical":{"image":{"docker-manifest-digest":"`+anyDigest+`"}}}`), "AAAA", "", "", "")
	f.Add([]byte(`{}`), "AAAA", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		`{"Payload":{"body":"e30=","logID":"00"}}`, `{"SignedRFC3161Timestamp":"AAAA"}`)
	f.Fuzz(func(t *testing.T, payload []byte, sig, cert, proof, stamp string) {
		s, err := parseSimpleSigning(payload, map[string]string{
			annotationSignature: sig, annotationCertificate: cert, annotationRekor: proof, annotationTimestamp: stamp,
		}, anyDigest)
		if err != nil {
			return
		}
		_ = claimsDigest(payload, anyDigest)
		_, _ = s.byCert.TlogEntries()
		for _, j := range all {
			if who, err := j.signerOf(s); err == nil {
				t.Errorf("counts as signed by %s", who)
			}
		}
	})
}

func FuzzTrust(f *testing.F) {
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add([]byte{0x30, 0x03})
	f.Fuzz(func(t *testing.T, data []byte) {
		if k, err := parseKeys("a.pub", data); (err == nil) != (len(k) > 0) {
			t.Errorf("%d keys, %v", len(k), err)
		}
		if certs, err := parseCertificates(data); (err == nil) != (len(certs) > 0) {
			t.Errorf("%d certificates, %v", len(certs), err)
		}
	})
}

func FuzzReason(f *testing.F) {
	f.Add("two\nlines")
	f.Add("\xff\xfe")
	f.Fuzz(func(t *testing.T, text string) {
		got := oneLine(text)
		if len(got) > maxReason {
			t.Errorf("%d bytes", len(got))
		}
		for _, r := range got {
			if r < ' ' {
				t.Errorf("%q has control characters", got)
			}
		}
	})
}
