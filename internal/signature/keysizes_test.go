// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"testing"

	"github.com/digitorus/pkcs7"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	notationcose "github.com/notaryproject/notation-core-go/signature/cose"
	"github.com/notaryproject/notation-core-go/signature/jws"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/veraison/go-cose"

	"github.com/sluice-cd/sluice/internal/keysize"
	"github.com/sluice-cd/sluice/internal/keysize/keysizetest"
	"github.com/sluice-cd/sluice/internal/signature/signaturetest"
)

// large is a certificate whose key takes a minute and a half for one signature.
func large(t *testing.T) *x509.Certificate {
	return keysizetest.Certificate(t, keysizetest.Key(1<<20))
}

// token is one of a timestamping authority with a key of so many bits.
func token(t *testing.T, bits int) []byte {
	t.Helper()
	data, err := pkcs7.DegenerateCertificate(keysizetest.Certificate(t, keysizetest.Key(bits)).Raw)
	must(t, err)
	return data
}

func TestEnvelopesWithKeysThatAreTooLargeAreRefused(t *testing.T) {
	inJWS := func(timestamp []byte, chain ...*x509.Certificate) envelope {
		header := map[string]any{"x5c": rawOf(chain), notaryTimestamp: timestamp}
		data, err := json.Marshal(map[string]any{"payload": "e30", "protected": "e30", "signature": "", "header": header})
		must(t, err)
		return envelope{mediaType: jws.MediaTypeEnvelope, data: data}
	}
	inCOSE := func(timestamp []byte, chain ...*x509.Certificate) envelope {
		message := cose.NewSign1Message()
		message.Headers.Protected.SetAlgorithm(cose.AlgorithmPS256)
		message.Payload, message.Signature = []byte("{}"), []byte("x")
		var list []any
		for _, der := range rawOf(chain) {
			list = append(list, der)
		}
		message.Headers.Unprotected[cose.HeaderLabelX5Chain] = list
		if timestamp != nil {
			message.Headers.Unprotected[notaryTimestamp] = timestamp
		}
		data, err := message.MarshalCBOR()
		must(t, err)
		return envelope{mediaType: notationcose.MediaTypeEnvelope, data: data}
	}
	small := keysizetest.Certificate(t, keysizetest.Key(2048))
	for title, tc := range map[string]struct {
		e    envelope
		want bool
	}{
		"usual keys in JWS":           {inJWS(token(t, 2048), small, small), false},
		"a large signer in JWS":       {inJWS(nil, large(t), small), true},
		"a large authority in JWS":    {inJWS(nil, small, large(t)), true},
		"a large timestamp in JWS":    {inJWS(token(t, 1<<17), small), true},
		"usual keys in COSE":          {inCOSE(token(t, 2048), small, small), false},
		"a large signer in COSE":      {inCOSE(nil, large(t), small), true},
		"a large authority in COSE":   {inCOSE(nil, small, large(t)), true},
		"a large timestamp in COSE":   {inCOSE(token(t, 1<<17), small), true},
		"what is no envelope, in JWS": {envelope{mediaType: jws.MediaTypeEnvelope, data: []byte("x")}, false},
		"what is no envelope at all":  {envelope{mediaType: notationcose.MediaTypeEnvelope, data: []byte("x")}, false},
	} {
		if err := tc.e.checkSizes(); errors.Is(err, keysize.ErrTooLarge) != tc.want || !tc.want && err != nil {
			t.Errorf("%s: got %v", title, err)
		}
		if !tc.want {
			continue
		}
		if _, err := (&notary{}).verifyEnvelope(t.Context(), name.Digest{}, v1.Descriptor{}, tc.e); !errors.Is(err, keysize.ErrTooLarge) {
			t.Errorf("%s: the envelope was verified: %v", title, err)
		}
	}
}

// Each two bytes of it are a level of nesting.
func TestATimestampThatNestsWithoutEndIsNotRead(t *testing.T) {
	nested := bytes.Repeat([]byte{0x30, 0x80}, 2<<20)
	if err := checkToken(nested); !errors.Is(err, errTimestamp) {
		t.Errorf("a token: got %v", err)
	}
	if err := checkTimestamps([][]byte{nested}); !errors.Is(err, errTimestamp) {
		t.Errorf("a response: got %v", err)
	}
	if err := checkToken(nested[:maxTimestamp]); err == nil || errors.Is(err, errTimestamp) {
		t.Errorf("the longest token: got %v", err)
	}
}

func rawOf(chain []*x509.Certificate) [][]byte {
	var all [][]byte
	for _, cert := range chain {
		all = append(all, cert.Raw)
	}
	return all
}

func TestSignersWithKeysThatAreTooLargeAreRefused(t *testing.T) {
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: large(t).Raw})
	s := &simpleSigning{annotations: map[string]string{annotationCertificate: string(certificate)}}
	if _, err := (identities{}).signerOf(signed{byCert: s}); !errors.Is(err, keysize.ErrTooLarge) {
		t.Errorf("a certificate: got %v", err)
	}
	response, err := asn1.Marshal(struct{ Status, Token asn1.RawValue }{
		asn1.RawValue{FullBytes: []byte{0x30, 3, 2, 1, 0}}, asn1.RawValue{FullBytes: token(t, 1<<17)},
	})
	must(t, err)
	if err := checkTimestamps([][]byte{response}); !errors.Is(err, keysize.ErrTooLarge) {
		t.Errorf("a timestamp: got %v", err)
	}
	public, err := x509.MarshalPKIXPublicKey(keysizetest.Key(1 << 20))
	must(t, err)
	if _, err := parseKeys("a.pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})); !errors.Is(err, keysize.ErrTooLarge) {
		t.Errorf("a key of a Secret: got %v", err)
	}
	for _, file := range [][]byte{certificate, large(t).Raw} {
		if _, err := parseCertificates(file); !errors.Is(err, keysize.ErrTooLarge) {
			t.Errorf("a certificate of a Secret: got %v", err)
		}
	}
}

func TestARootWithAKeyThatIsTooLargeIsRefused(t *testing.T) {
	s := signaturetest.NewSigstore(t)
	for name, change := range map[string]func(*signaturetest.RootParts){
		"a log": func(p *signaturetest.RootParts) {
			for _, log := range p.Signatures {
				log.PublicKey = keysizetest.Key(1 << 20)
			}
		},
		"a timestamping authority": func(p *signaturetest.RootParts) {
			p.Timestamps = append(p.Timestamps, &root.SigstoreTimestampingAuthority{Root: large(t), Leaf: large(t)})
		},
	} {
		parts := signaturetest.RootParts{Signatures: s.Logs(s.RekorLogs()), Timestamps: s.TimestampingAuthorities()}
		change(&parts)
		trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01,
			s.FulcioCertificateAuthorities(), parts.Certificates, parts.Timestamps, parts.Signatures)
		must(t, err)
		if err := checkRoot(trusted); !errors.Is(err, keysize.ErrTooLarge) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	issuers := []root.CertificateAuthority{&root.FulcioCertificateAuthority{Root: large(t)}}
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01, issuers, nil, nil, nil)
	must(t, err)
	if err := checkRoot(trusted); !errors.Is(err, keysize.ErrTooLarge) {
		t.Errorf("an issuer: got %v", err)
	}
	// What is read from a Secret has the same types.
	read, err := root.NewTrustedRootFromJSON(s.Trusted(signaturetest.Whole))
	must(t, err)
	for _, authority := range read.FulcioCertificateAuthorities() {
		if _, ok := authority.(*root.FulcioCertificateAuthority); !ok {
			t.Errorf("an issuer is a %T", authority)
		}
	}
	for _, authority := range read.TimestampingAuthorities() {
		if _, ok := authority.(*root.SigstoreTimestampingAuthority); !ok {
			t.Errorf("a timestamping authority is a %T", authority)
		}
	}
}
