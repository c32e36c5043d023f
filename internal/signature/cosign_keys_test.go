// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/sigstore/cosign/v3/pkg/oci"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature/payload"

	"github.com/sluice-cd/sluice/internal/signature/signaturetest"
	"github.com/sluice-cd/sluice/test/make"
)

const p256 = protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256

// layouts are the places where cosign leaves signatures, with a registry that
// lists referrers and with one that does not.
var layouts = map[string]struct {
	referrers bool
	put       func(h *host, image name.Digest, k keyPair)
}{
	"tag .sig":                        {false, putTag},
	"tag .sig beside referrers":       {true, putTag},
	"legacy referrer":                 {true, putReferrer},
	"legacy referrer by fallback tag": {false, putReferrer},
	"bundle":                          {true, putBundle},
	"bundle by fallback tag":          {false, putBundle},
}

func putTag(h *host, image name.Digest, k keyPair)      { h.tag(image, k.simple(h.t, image)) }
func putReferrer(h *host, image name.Digest, k keyPair) { h.refer(image, k.simple(h.t, image)) }
func putBundle(h *host, image name.Digest, k keyPair) {
	h.store(image, k.bundle(h.t, signaturetest.Statement(h.t, image, cosignSign)))
}

func TestSignaturesByKeysCountInEveryLayout(t *testing.T) {
	kinds := map[string]protocommon.PublicKeyDetails{
		"ECDSA P-256": p256,
		"ECDSA P-384": protocommon.PublicKeyDetails_PKIX_ECDSA_P384_SHA_384,
		"ed25519":     protocommon.PublicKeyDetails_PKIX_ED25519,
		"RSA 2048":    protocommon.PublicKeyDetails_PKIX_RSA_PKCS1V15_2048_SHA256,
	}
	for layout, tc := range layouts {
		for kind, algorithm := range kinds {
			t.Run(layout+" "+kind, func(t *testing.T) {
				h := newHost(t, tc.referrers)
				k, other := newKey(t, algorithm), newKey(t, p256)
				image := h.image()
				tc.put(h, image, k)
				v := h.byKeys(map[string][]byte{"a.pub": other.pub, "b.pub": k.pub, "README": []byte("not a key")})
				if got := accept(t.Context(), t, v, image).Signer; got != "key b.pub" {
					t.Errorf("signed by %q", got)
				}
			})
		}
	}
}

func TestKeysOnCurvesWithLongHashesMayHaveSignedBySHA256(t *testing.T) {
	h := newHost(t, false)
	image := h.image()
	private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	pub, err := cryptoutils.MarshalPublicKeyToPEM(private.Public())
	must(t, err)
	data, err := payload.Cosign{Image: image}.MarshalJSON()
	must(t, err)
	digest := sha256.Sum256(data)
	sig, err := ecdsa.SignASN1(rand.Reader, private, digest[:])
	must(t, err)
	h.tag(image, simpleSignature(t, data, sig))
	accept(t.Context(), t, h.byKeys(map[string][]byte{"a.pub": pub}), image)
}

func TestSignaturesThatDoNotCount(t *testing.T) {
	k, other := newKey(t, p256), newKey(t, p256)
	s := signaturetest.NewSigstore(t)
	tests := map[string]struct {
		put  func(*host, name.Digest)
		want string
	}{
		"none": {func(*host, name.Digest) {}, "it carries none"},
		"one by another key, tagged": {
			func(h *host, image name.Digest) { putTag(h, image, other) }, "not signed for this image by key prod.pub"},
		"one by another key, as a referrer": {
			func(h *host, image name.Digest) { putReferrer(h, image, other) }, "not signed for this image by key prod.pub"},
		"one by another key, in a bundle": {
			func(h *host, image name.Digest) { putBundle(h, image, other) }, "not signed for this image by key prod.pub"},
		"one of another image, copied": {
			func(h *host, image name.Digest) { h.tag(image, k.simple(t, h.image())) },
			"it is signed by key prod.pub but it is for another image"},
		"one of another image, in a bundle": {
			func(h *host, image name.Digest) {
				h.store(image, k.bundle(t, signaturetest.Statement(t, h.image(), cosignSign)))
			},
			"not signed for this image by key prod.pub"},
		"one whose payload was changed": {
			func(h *host, image name.Digest) {
				foreign, err := payload.Cosign{Image: h.image()}.MarshalJSON()
				must(t, err)
				data, err := payload.Cosign{Image: image}.MarshalJSON()
				must(t, err)
				h.tag(image, simpleSignature(t, data, k.sign(t, foreign)))
			}, "not signed for this image by key prod.pub"},
		"a bundle whose statement was changed": {
			func(h *host, image name.Digest) {
				was, is := signaturetest.Statement(t, h.image(), cosignSign), signaturetest.Statement(t, image, cosignSign)
				text := k.bundle(t, was)
				h.store(image, bytes.ReplaceAll(text, base64Of(was), base64Of(is)))
			}, "not signed for this image by key prod.pub"},
		"a payload that is not JSON": {
			func(h *host, image name.Digest) { h.tag(image, k.over(t, []byte("hello"))) }, "parsing payload"},
		"a payload without a signature": {
			func(h *host, image name.Digest) { h.tag(image, simpleSignature(t, []byte("{}"), nil)) },
			"it has a payload and no signature"},
		"a bundle that is garbage": {
			func(h *host, image name.Digest) { h.store(image, []byte("garbage")) }, "parsing bundle"},
		"a statement that the image has holes": {
			func(h *host, image name.Digest) {
				h.store(image, k.bundle(t, signaturetest.Statement(t, image, "https://cosign.sigstore.dev/attestation/vuln/v1")))
			}, "it is signed by key prod.pub but it is no signature but a statement of type"},
		"one made keyless": {
			func(h *host, image name.Digest) {
				h.store(image, s.Bundle(signaturetest.Statement(t, image, cosignSign), identity))
			},
			"it was made keyless"},
	}
	for title, tc := range tests {
		t.Run(title, func(t *testing.T) {
			h := newHost(t, true)
			image := h.image()
			tc.put(h, image)
			wantRefusal(t, h.byKeys(map[string][]byte{"prod.pub": k.pub}), image, tc.want)
		})
	}
}

func base64Of(data []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(data)) }

func TestOneSignatureThatCountsIsEnough(t *testing.T) {
	k := newKey(t, p256)
	h := newHost(t, true)
	image := h.image()
	putBundle(h, image, newKey(t, p256))
	h.store(image, []byte("garbage"))
	putReferrer(h, image, newKey(t, p256))
	h.tag(image, newKey(t, p256).simple(t, image), k.simple(t, image), newKey(t, p256).simple(t, image))
	got := accept(t.Context(), t, h.byKeys(map[string][]byte{"prod.pub": k.pub}), image)
	if !strings.HasPrefix(got.Signature, "tag sha256-") {
		t.Errorf("found in %q", got.Signature)
	}
}

func TestOnlySoManySignaturesAreLookedAt(t *testing.T) {
	h := newHost(t, false)
	image := h.image()
	k := newKey(t, p256)
	var sigs []oci.Signature
	for i := range maxSignatures + 3 {
		sigs = append(sigs, k.over(t, fmt.Appendf(nil, `{"n":%d}`, i)))
	}
	h.tag(image, sigs...)
	_, err := h.byKeys(map[string][]byte{"prod.pub": k.pub}).Verify(t.Context(), image)
	if !errors.Is(err, ErrUnverified) || !strings.Contains(err.Error(), "none of the 67 found counts") ||
		!strings.Contains(err.Error(), "and 56 like these; 3 were not looked at") || len(err.Error()) > 4096 {
		t.Errorf("%d bytes: %v", len(err.Error()), err)
	}
}

func TestCosignSecretsThatCannotBeUsedAreRefused(t *testing.T) {
	const private = "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nc2VjcmV0\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n"
	tests := map[string]struct {
		files map[string][]byte
		want  string
	}{
		"without keys":       {map[string][]byte{"cosign.key": nil}, "no key ends in .pub"},
		"with garbage":       {map[string][]byte{"a.pub": []byte("c2VjcmV0")}, "a.pub: it is not a public key in PEM"},
		"with a private key": {map[string][]byte{"a.pub": []byte(private)}, "a.pub: it is not a public key in PEM"},
	}
	for title, tc := range tests {
		t.Run(title, func(t *testing.T) {
			_, err := New(t.Context(), reader(make.Secret(namespace, secretName, tc.files)), namespace,
				Spec{Provider: "cosign", SecretName: secretName}, Options{})
			if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want %q", err, tc.want)
			}
			if strings.Contains(err.Error(), "c2VjcmV0") {
				t.Errorf("%v quotes the Secret", err)
			}
		})
	}
}

func wantRefusal(t *testing.T, v Verifier, image name.Digest, texts ...string) {
	t.Helper()
	_, err := v.Verify(t.Context(), image)
	if !errors.Is(err, ErrUnverified) {
		t.Fatalf("got %v", err)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q does not say %q", err, text)
		}
	}
	t.Log(err)
}
