// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"bytes"
	"compress/flate"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sluice-cd/sluice/internal/bounded"
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

// signInCookie is what the cookie of somebody who signed in says.
type signInCookie struct {
	identity
	Until time.Time `json:"e"`
}

// Kinds of cookies: one is never taken for another.
const (
	sessionCookie = "session"
	attemptCookie = "attempt"
)

const (
	// maxCookie is what browsers keep of a cookie, in bytes, without its name and attributes.
	maxCookie = 3800
	// cookieParts are the cookies that a session may take; an attempt takes one. Proxies take headers of 8 kB, nginx for example.
	cookieParts = 2
	// maxSession bounds what a session says, in bytes.
	maxSession = 64 << 10
)

// errSealed means that a cookie is none of ours, or of another key.
var errSealed = errors.New("the cookie cannot be read")

// sealer encrypts what cookies say, so that browsers can neither read nor change it. It is compressed before, since the groups
// of a person may be many; nothing in it is chosen by somebody else than it is about, who could guess the rest by its length.
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
	var text bytes.Buffer
	zip, err := flate.NewWriter(&text, flate.BestCompression)
	if err != nil {
		return "", err
	}
	if err := errors.Join(json.NewEncoder(zip).Encode(value), zip.Close()); err != nil {
		return "", err
	}
	sealed := base64.RawURLEncoding.EncodeToString(s.Seal(nil, nil, text.Bytes(), []byte(kind)))
	most := maxCookie
	if kind == sessionCookie {
		most *= cookieParts
	}
	if len(sealed) > most {
		return "", fmt.Errorf("what has to be kept of this is too long for a cookie, %d bytes, of which %d are allowed: "+
			"have the provider tell of fewer groups, or use a shorter token", len(sealed), most)
	}
	return sealed, nil
}

func (s sealer) open(sealed, kind string, into any) error {
	if len(sealed) > cookieParts*maxCookie {
		return errSealed
	}
	data, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return errSealed
	}
	zipped, err := s.Open(nil, nil, data, []byte(kind))
	if err != nil {
		return errSealed
	}
	text, err := bounded.ReadAll(flate.NewReader(bytes.NewReader(zipped)), maxSession, errSealed)
	if err != nil || json.Unmarshal(text, into) != nil {
		return errSealed
	}
	return nil
}

// partOf names the cookie of a part, from 0 on.
func partOf(name string, part int) string {
	if part == 0 {
		return name
	}
	return fmt.Sprintf("%s-%d", name, part+1)
}

// cookieValue joins the parts of a cookie that a request brings; "" is none.
func cookieValue(r *http.Request, name string) string {
	value := ""
	for part := range cookieParts {
		cookie, err := r.Cookie(partOf(name, part))
		if err != nil {
			break
		}
		value += cookie.Value
	}
	return value
}
