// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/sluice-cd/sluice/internal/keysize"
	"github.com/sluice-cd/sluice/internal/keysize/keysizetest"
)

// Whoever reads a key of 65,000 bits verifies every signature in it, which takes seconds.
func TestSigningKeysThatAreTooLargeAreRefused(t *testing.T) {
	var large, armored bytes.Buffer
	if err := packet.NewRSAPublicKey(time.Unix(0, 0), keysizetest.Key(65_000)).Serialize(&large); err != nil {
		t.Fatal(err)
	}
	to, err := armor.Encode(&armored, "PGP PRIVATE KEY BLOCK", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = to.Write(large.Bytes())
	if err = errors.Join(err, to.Close()); err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string][]byte{"binary": large.Bytes(), "armored": armored.Bytes()} {
		if _, err := NewGPGSigner(key, nil); !errors.Is(err, keysize.ErrTooLarge) || !errors.Is(err, ErrSigningKey) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestCertificatesOfKeysThatAreTooLargeAreRefused(t *testing.T) {
	ca := keysizetest.PEM(t, keysizetest.Key(1<<17))
	if _, err := (Auth{CA: ca}).tls(); !errors.Is(err, keysize.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	if _, err := parseIdentity(ca, nil); !errors.Is(err, keysize.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}
