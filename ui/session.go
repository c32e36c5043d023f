// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// sessionKeySize is that of an AES-256 key, in bytes.
const sessionKeySize = 32

// SessionKey is a key for cookies: from what a file holds, or, of nothing, one that ends with the process.
func SessionKey(of []byte) ([]byte, error) {
	switch {
	case len(of) == 0:
		key := make([]byte, sessionKeySize)
		_, err := rand.Read(key)
		return key, err
	case len(of) < sessionKeySize:
		return nil, fmt.Errorf("has %d bytes, and needs %d: make one with openssl rand -out FILE %d", len(of), sessionKeySize, sessionKeySize)
	default:
		return of[:sessionKeySize], nil
	}
}

// session is what the cookie of somebody who signed in says.
type session struct {
	identity
	Until time.Time `json:"e"`
}

// Kinds of cookies: one is never taken for another.
const (
	sessionCookie = "session"
	attemptCookie = "attempt"
)

// maxCookie is what browsers keep of a cookie, in bytes, without its name and attributes.
const maxCookie = 3800

// errSealed means that a cookie is none of ours, or of another key.
var errSealed = errors.New("the cookie cannot be read")

// sealer encrypts what cookies say, so that browsers can neither read nor change it.
type sealer struct{ cipher.AEAD }

func newSealer(key []byte) (sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, fmt.Errorf("the key of sessions: %w", err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	return sealer{gcm}, err
}

func (s sealer) seal(kind string, value any) (string, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	sealed := base64.RawURLEncoding.EncodeToString(s.Seal(nil, nil, text, []byte(kind)))
	if len(sealed) > maxCookie {
		return "", fmt.Errorf("token or groups are too long for a cookie: %d bytes, of which %d are allowed", len(sealed), maxCookie)
	}
	return sealed, nil
}

func (s sealer) open(sealed, kind string, into any) error {
	if len(sealed) > maxCookie {
		return errSealed
	}
	data, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return errSealed
	}
	text, err := s.Open(nil, nil, data, []byte(kind))
	if err != nil || json.Unmarshal(text, into) != nil {
		return errSealed
	}
	return nil
}
