// SPDX-License-Identifier: Apache-2.0

package keysize_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/sluice-cd/sluice/internal/keysize"
	"github.com/sluice-cd/sluice/internal/keysize/keysizetest"
)

// BenchmarkVerify has crypto/rsa refuse a signature, and Check the key before it.
func BenchmarkVerify(b *testing.B) {
	hash := sha256.Sum256(nil)
	for _, bits := range []int{2048, keysize.MaxBits, 1 << 17} {
		key, signature := keysizetest.Key(bits), make([]byte, bits/8)
		signature[0], signature[bits/8-1] = 1, 3
		b.Run(fmt.Sprint(bits), func(b *testing.B) {
			for b.Loop() {
				if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, hash[:], signature); err == nil {
					b.Fatal("it is valid")
				}
			}
		})
		b.Run(fmt.Sprint(bits, "/check"), func(b *testing.B) {
			for b.Loop() {
				if err := keysize.Check(key); (err != nil) != (bits > keysize.MaxBits) {
					b.Fatal(err)
				}
			}
		})
	}
}
