package signature

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
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
	h.store(image, k.bundle(h.t, statement(h.t, image, cosignSign)))
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

func TestSignaturesByOtherKeysDoNotCount(t *testing.T) {
	for layout, tc := range layouts {
		t.Run(layout, func(t *testing.T) {
			h := newHost(t, tc.referrers)
			image := h.image()
			tc.put(h, image, newKey(t, p256))
			v := h.byKeys(map[string][]byte{"prod.pub": newKey(t, p256).pub})
			wantRefusal(t, v, image, "of 1 found none counts", "not signed for this image by key prod.pub")
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
