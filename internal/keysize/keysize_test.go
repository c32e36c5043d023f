// SPDX-License-Identifier: Apache-2.0

package keysize_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"testing"

	"github.com/sluice-cd/sluice/internal/keysize"
	"github.com/sluice-cd/sluice/internal/keysize/keysizetest"
)

func TestKeysThatAreTooLargeAreRefused(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private := &rsa.PrivateKey{PublicKey: *keysizetest.Key(20_000), D: big.NewInt(3)}
	for name, tc := range map[string]struct {
		key  any
		want bool
	}{
		"a usual key":           {keysizetest.Key(4096), false},
		"the largest":           {keysizetest.Key(keysize.MaxBits), false},
		"one that is larger":    {keysizetest.Key(keysize.MaxBits + 1), true},
		"a private key":         {private, true},
		"a certificate":         {keysizetest.Certificate(t, keysizetest.Key(1<<20)), true},
		"a usual certificate":   {keysizetest.Certificate(t, keysizetest.Key(4096)), false},
		"a key of another kind": {&curve.PublicKey, false},
		"no key":                {nil, false},
	} {
		if err := keysize.Check(tc.key); errors.Is(err, keysize.ErrTooLarge) != tc.want {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestFilesInPEM(t *testing.T) {
	file := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	small := file("CERTIFICATE", keysizetest.Certificate(t, keysizetest.Key(2048)).Raw)
	large := file("CERTIFICATE", keysizetest.Certificate(t, keysizetest.Key(1<<17)).Raw)
	public, err := x509.MarshalPKIXPublicKey(keysizetest.Key(1 << 18))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		files [][]byte
		want  bool
	}{
		"certificates":                  {[][]byte{append(bytes.Clone(small), small...), small}, false},
		"a large one among them":        {[][]byte{append(bytes.Clone(small), large...)}, true},
		"a large one in another file":   {[][]byte{small, large}, true},
		"a public key":                  {[][]byte{file("PUBLIC KEY", public)}, true},
		"a private key":                 {[][]byte{file("RSA PRIVATE KEY", make([]byte, 40_000))}, true},
		"a private key of a usual size": {[][]byte{file("PRIVATE KEY", make([]byte, 2400))}, false},
		"what is no certificate":        {[][]byte{file("CERTIFICATE", []byte("x"))}, false},
		"what is no PEM":                {[][]byte{[]byte("x"), nil}, false},
	} {
		if err := keysize.CheckPEM(tc.files...); errors.Is(err, keysize.ErrTooLarge) != tc.want {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
