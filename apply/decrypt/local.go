// SPDX-License-Identifier: Apache-2.0

package decrypt

import (
	"bytes"
	"errors"
	"io"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/ProtonMail/go-crypto/openpgp"
	pgparmor "github.com/ProtonMail/go-crypto/openpgp/armor"

	"github.com/sluice-cd/sluice/internal/bounded"
)

// maxDataKey is how many bytes a data key may have: it has 32, or as a part of one 33.
const maxDataKey = 1 << 10

// openAge decrypts a data key with the age keys.
func (k *Keys) openAge(ciphertext []byte) ([]byte, error) {
	if len(k.age) == 0 {
		return nil, errors.New("there is no key *" + ageSuffix)
	}
	in, err := age.Decrypt(armor.NewReader(bytes.NewReader(ciphertext)), k.age...)
	if err != nil {
		return nil, errors.New("none of the age keys fits")
	}
	return readKey(in)
}

// openPGP decrypts a data key with the PGP keys.
func (k *Keys) openPGP(ciphertext []byte) ([]byte, error) {
	if len(k.pgp) == 0 {
		return nil, errors.New("there is no key *" + pgpSuffix)
	}
	block, err := pgparmor.Decode(bytes.NewReader(ciphertext))
	if err != nil {
		return nil, errors.New("it is no armored PGP message")
	}
	message, err := openpgp.ReadMessage(block.Body, k.pgp, nil, nil)
	if err != nil {
		return nil, errors.New("none of the PGP keys fits")
	}
	return readKey(message.UnverifiedBody)
}

func readKey(in io.Reader) ([]byte, error) {
	noKey := errors.New("it is no data key")
	key, err := bounded.ReadAll(in, maxDataKey, noKey)
	if err != nil {
		return nil, noKey
	}
	return key, nil
}
