// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bytes"
	"crypto/rand"
	"crypto/sha512"
	"encoding/pem"
	"errors"
	"fmt"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"golang.org/x/crypto/ssh"
)

// Signer signs commits. It gets the commit object without the signature and
// returns the text of the gpgsig header.
type Signer interface {
	Sign(message io.Reader) ([]byte, error)
}

// ErrSigningKey means that a signing key cannot be read: the wrong format, or
// the wrong passphrase, or none where one is needed.
var ErrSigningKey = errors.New("unusable signing key")

// NewGPGSigner reads an OpenPGP private key, armored or binary, and decrypts it
// if it is encrypted.
func NewGPGSigner(key, passphrase []byte) (Signer, error) {
	if err := checkOpenPGP(key); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSigningKey, err)
	}
	ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(key))
	if err != nil {
		ring, err = openpgp.ReadKeyRing(bytes.NewReader(key))
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: reading the OpenPGP key: %w", ErrSigningKey, err)
	case len(ring) != 1:
		return nil, fmt.Errorf("%w: %d OpenPGP keys where one is needed", ErrSigningKey, len(ring))
	case ring[0].PrivateKey == nil:
		return nil, fmt.Errorf("%w: the OpenPGP key is a public one", ErrSigningKey)
	}
	id, err := openedKey(ring[0], passphrase)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSigningKey, err)
	}
	return gpgSigner{ring[0], id}, nil
}

// openedKey chooses the part of a key that signs, and decrypts it: the newest subkey
// that may sign and is there, or else the primary key. A part that is not there has a
// stub in its place (gnu-dummy), which says nothing of whether the others are encrypted.
func openedKey(entity *openpgp.Entity, passphrase []byte) (id uint64, err error) {
	var chosen *openpgp.Key
	mayBeThere := false
	now := (*packet.Config)(nil).Now()
	consider := func(key packet.PublicKey) {
		found, ok := entity.SigningKeyById(now, key.KeyId)
		if !ok {
			return
		}
		mayBeThere = true
		if found.PrivateKey == nil || found.PrivateKey.Dummy() {
			return
		}
		if chosen == nil || found.SelfSignature.CreationTime.After(chosen.SelfSignature.CreationTime) {
			chosen = &found
		}
	}
	for _, subkey := range entity.Subkeys {
		consider(*subkey.PublicKey)
	}
	if chosen == nil {
		consider(*entity.PrimaryKey)
	}
	if chosen == nil {
		return 0, unsigning(mayBeThere)
	}
	if err := opened(chosen.PrivateKey, passphrase); err != nil {
		return 0, err
	}
	return chosen.PublicKey.KeyId, nil
}

// unsigning says why a key has no part that signs: it may be elsewhere.
func unsigning(elsewhere bool) error {
	if elsewhere {
		return errors.New("the OpenPGP key has only a stub where its signing key should be: export that, too (gpg --export-secret-subkeys)")
	}
	return errors.New("the OpenPGP key has no part that may sign: none is made for it, or it has expired or was revoked")
}

// opened decrypts a key unless it is open.
func opened(key *packet.PrivateKey, passphrase []byte) error {
	if !key.Encrypted {
		return nil
	}
	if len(passphrase) == 0 {
		return errors.New("the OpenPGP key needs a passphrase")
	}
	if err := cheapDerivation(key); err != nil {
		return err
	}
	if err := key.Decrypt(passphrase); err != nil {
		return errors.New("the passphrase does not fit the OpenPGP key")
	}
	return nil
}

type gpgSigner struct {
	entity *openpgp.Entity
	key    uint64
}

func (s gpgSigner) Sign(message io.Reader) ([]byte, error) {
	var signature bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&signature, s.entity, message, &packet.Config{SigningKeyId: s.key}); err != nil {
		return nil, fmt.Errorf("%w: signing with the OpenPGP key: %w", ErrSigningKey, err)
	}
	return append(signature.Bytes(), '\n'), nil
}

// NewSSHSigner reads an SSH private key and decrypts it if it is encrypted.
func NewSSHSigner(identity, passphrase []byte) (Signer, error) {
	key, err := parseIdentity(identity, passphrase)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSigningKey, err)
	}
	return sshSigner{key}, nil
}

type sshSigner struct{ key ssh.Signer }

// Parts of an SSH signature, as OpenSSH's PROTOCOL.sshsig defines it.
const (
	sshMagic     = "SSHSIG"
	sshVersion   = 1
	sshNamespace = "git"
	sshHash      = "sha512"
	sshArmor     = "SSH SIGNATURE"
)

func (s sshSigner) Sign(message io.Reader) ([]byte, error) {
	hash := sha512.New()
	if _, err := io.Copy(hash, message); err != nil {
		return nil, err
	}
	signature, err := s.sign(sshSigned(sshHash, hash.Sum(nil)))
	if err != nil {
		return nil, fmt.Errorf("signing with the SSH key: %w", err)
	}
	blob := ssh.Marshal(sshBlob{sshVersion, s.key.PublicKey().Marshal(), sshNamespace, "", sshHash, ssh.Marshal(signature)})
	return pem.EncodeToMemory(&pem.Block{Type: sshArmor, Bytes: append([]byte(sshMagic), blob...)}), nil
}

// sshBlob is an SSH signature after its magic.
type sshBlob struct {
	Version                   uint32
	Key                       []byte
	Namespace, Reserved, Hash string
	Signature                 []byte
}

// sshSigned is what is signed in the place of a message with a digest.
func sshSigned(hash string, digest []byte) []byte {
	return append([]byte(sshMagic), ssh.Marshal(struct {
		Namespace, Reserved, Hash string
		Digest                    []byte
	}{sshNamespace, "", hash, digest})...)
}

// sign signs with SHA-2 where the key leaves a choice: OpenSSH refuses RSA
// signatures with SHA-1.
func (s sshSigner) sign(data []byte) (*ssh.Signature, error) {
	if s.key.PublicKey().Type() != ssh.KeyAlgoRSA {
		return s.key.Sign(rand.Reader, data)
	}
	rsa, ok := s.key.(ssh.AlgorithmSigner)
	if !ok {
		return nil, errors.New("the RSA key cannot sign with SHA-2")
	}
	return rsa.SignWithAlgorithm(rand.Reader, data, ssh.KeyAlgoRSASHA512)
}
