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
	entity := ring[0]
	if entity.PrivateKey.Encrypted {
		if len(passphrase) == 0 {
			return nil, fmt.Errorf("%w: the OpenPGP key needs a passphrase", ErrSigningKey)
		}
		if err := cheapToDecrypt(entity); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSigningKey, err)
		}
		if err := entity.DecryptPrivateKeys(passphrase); err != nil {
			return nil, fmt.Errorf("%w: the passphrase does not fit the OpenPGP key", ErrSigningKey)
		}
	}
	return gpgSigner{entity}, nil
}

type gpgSigner struct{ entity *openpgp.Entity }

func (s gpgSigner) Sign(message io.Reader) ([]byte, error) {
	var signature bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&signature, s.entity, message, nil); err != nil {
		return nil, fmt.Errorf("signing with the OpenPGP key: %w", err)
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
	signed := ssh.Marshal(struct {
		Namespace, Reserved, Hash string
		Digest                    []byte
	}{sshNamespace, "", sshHash, hash.Sum(nil)})
	signature, err := s.sign(append([]byte(sshMagic), signed...))
	if err != nil {
		return nil, fmt.Errorf("signing with the SSH key: %w", err)
	}
	blob := ssh.Marshal(struct {
		Version                   uint32
		Key                       []byte
		Namespace, Reserved, Hash string
		Signature                 []byte
	}{sshVersion, s.key.PublicKey().Marshal(), sshNamespace, "", sshHash, ssh.Marshal(signature)})
	return pem.EncodeToMemory(&pem.Block{Type: sshArmor, Bytes: append([]byte(sshMagic), blob...)}), nil
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
