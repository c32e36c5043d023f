// SPDX-License-Identifier: Apache-2.0

// Package keysize refuses keys that are larger than anybody's.
//
// The time that a signature takes to be verified grows with the square of the size of
// an RSA key, and nothing in Go's libraries bounds it but for the certificates of TLS
// servers: a millisecond for a usual key, and a minute and a half for one of a million
// bits, whose certificate has 130 KB. Nobody can interrupt it. Keys come with the
// signatures of images, from the issuers of tokens and in Secrets, so whoever reads a
// key from there has it checked before anything is done with it.
//
// crypto/rsa refuses keys that are too small, and crypto/tls those of servers that are too
// large; no library that is used here has a bound for all others. A key of 131,072 bits takes
// 820 ms to verify with, 24,000 times as long as one of 2,048 and 117 times as long as the
// largest that is let through, and to refuse it takes less than a microsecond.
//
//	go test -run xxx -bench Verify ./internal/keysize
package keysize

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

const (
	// MaxBits of an RSA key, as OpenSSH has it.
	MaxBits = 16384
	// maxBytes of any other part of a PEM file than a certificate. A private key of
	// MaxBits has 9 KiB.
	maxBytes = 16 << 10
)

// ErrTooLarge means that a key is larger than MaxBits.
var ErrTooLarge = errors.New("the key is too large")

// Check returns an [ErrTooLarge] for a key, or the certificate of one, that is too
// large. Keys of other kinds than RSA have the size of their curve.
func Check(key any) error {
	switch k := key.(type) {
	case *x509.Certificate:
		return Check(k.PublicKey)
	case *rsa.PrivateKey:
		return Check(&k.PublicKey)
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits > MaxBits {
			return fmt.Errorf("%w: it has %d bits, and may have %d", ErrTooLarge, bits, MaxBits)
		}
	}
	return nil
}

// CheckAll is Check for a list of certificates.
func CheckAll(certificates []*x509.Certificate) error {
	for _, cert := range certificates {
		if err := Check(cert); err != nil {
			return err
		}
	}
	return nil
}

// CheckPEM returns an [ErrTooLarge] if a file in PEM has the certificate of a key that
// is too large, or such a key. What cannot be parsed is not judged.
func CheckPEM(files ...[]byte) error {
	for _, file := range files {
		for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
			if block.Type != "CERTIFICATE" {
				if len(block.Bytes) > maxBytes {
					return fmt.Errorf("%w: it has %d bytes in PEM, and may have %d", ErrTooLarge, len(block.Bytes), maxBytes)
				}
				continue
			}
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				continue // whoever uses it says so
			}
			if err := Check(cert); err != nil {
				return err
			}
		}
	}
	return nil
}
