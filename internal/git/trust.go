// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"golang.org/x/crypto/ssh"

	"github.com/sluice-cd/sluice/internal/keysize"
)

var (
	// ErrTrustedKeys means that the keys of those who may sign cannot be read, or that
	// there are none.
	ErrTrustedKeys = errors.New("unusable public keys")
	// ErrSignature means that an object carries no signature by one of the keys.
	ErrSignature = errors.New("no valid signature by a trusted key")
)

// TrustedKeys are the public keys of those whose signatures count.
type TrustedKeys struct {
	pgp openpgp.EntityList
	ssh []ssh.PublicKey
}

// maxTrustedKeys bounds how many keys of one kind a signature is compared with.
const maxTrustedKeys = 1000

// ReadTrustedKeys reads keys by the name of their file: *.asc are keys of OpenPGP,
// armored, and *.sshpub those of SSH, one a line as in authorized_keys. Files with other
// names are keys of OpenPGP if they have an armored one, as Flux has it, and else left alone.
// Errors name files.
func ReadTrustedKeys(files map[string][]byte) (TrustedKeys, error) {
	var keys TrustedKeys
	for _, name := range slices.Sorted(maps.Keys(files)) {
		var err error
		switch {
		case strings.HasSuffix(name, ".sshpub"):
			err = keys.addSSH(files[name])
		case strings.HasSuffix(name, ".asc"), bytes.Contains(files[name], []byte(pgpKeyBegin)):
			err = keys.addPGP(files[name])
		}
		if err != nil {
			return TrustedKeys{}, fmt.Errorf("%w: '%s': %w", ErrTrustedKeys, name, err)
		}
	}
	if len(keys.pgp)+len(keys.ssh) == 0 {
		return TrustedKeys{}, fmt.Errorf("%w: there is none named *.asc (OpenPGP) or *.sshpub (SSH)", ErrTrustedKeys)
	}
	return keys, nil
}

func (k *TrustedKeys) addPGP(file []byte) error {
	// The library reads one block, and people append one to another.
	blocks := bytes.SplitAfter(file, []byte(pgpKeyEnd))
	if len(blocks) > maxTrustedKeys {
		return fmt.Errorf("more than %d keys", maxTrustedKeys)
	}
	for i, block := range blocks {
		if i > 0 && len(bytes.TrimSpace(block)) == 0 {
			continue
		}
		if err := checkOpenPGP(block); err != nil {
			return err
		}
		ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(block))
		if err != nil {
			return fmt.Errorf("reading the armored OpenPGP key: %w", err)
		}
		k.pgp = append(k.pgp, ring...)
	}
	return nil
}

// The first and the last line of an armored public key.
const (
	pgpKeyBegin = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	pgpKeyEnd   = "-----END PGP PUBLIC KEY BLOCK-----"
)

func (k *TrustedKeys) addSSH(file []byte) error {
	for rest := bytes.TrimSpace(file); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		if len(k.ssh) >= maxTrustedKeys {
			return fmt.Errorf("more than %d keys", maxTrustedKeys)
		}
		key, _, options, after, err := ssh.ParseAuthorizedKey(rest)
		if err != nil {
			return errors.New("it is no public SSH key, such as ssh-ed25519 AAAA...")
		}
		if len(options) > 0 {
			return errors.New("options before an SSH key mean nothing here: leave them out")
		}
		if public, ok := key.(ssh.CryptoPublicKey); ok {
			if err := keysize.Check(public.CryptoPublicKey()); err != nil {
				return err
			}
		}
		k.ssh, rest = append(k.ssh, key), after
	}
	return nil
}

// Verify returns who signed: the long id of an OpenPGP key, or the SHA-256 fingerprint of
// one of SSH. The error is an ErrSignature unless one of the keys did.
func (k TrustedKeys) Verify(s Signed) (signer string, err error) {
	switch {
	case len(s.Signature) == 0:
		return "", fmt.Errorf("%w: it is not signed", ErrSignature)
	case bytes.HasPrefix(s.Signature, []byte("-----BEGIN "+sshArmor+"-----")):
		signer, err = k.verifySSH(s)
	case len(k.pgp) == 0:
		return "", fmt.Errorf("%w: it is signed with OpenPGP, and no OpenPGP key is trusted", ErrSignature)
	default:
		var entity *openpgp.Entity
		entity, err = openpgp.CheckArmoredDetachedSignature(k.pgp, bytes.NewReader(s.Payload), bytes.NewReader(s.Signature), nil)
		if err == nil {
			signer = entity.PrimaryKey.KeyIdString()
		}
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return signer, nil
}

// sshHashes are what OpenSSH signs with.
var sshHashes = map[string]func() hash.Hash{"sha256": sha256.New, "sha512": sha512.New}

// verifySSH checks a signature as OpenSSH's PROTOCOL.sshsig has it.
func (k TrustedKeys) verifySSH(s Signed) (string, error) {
	block, _ := pem.Decode(s.Signature)
	if block == nil || !bytes.HasPrefix(block.Bytes, []byte(sshMagic)) {
		return "", errors.New("the SSH signature is malformed")
	}
	var blob sshBlob
	if err := ssh.Unmarshal(block.Bytes[len(sshMagic):], &blob); err != nil {
		return "", errors.New("the SSH signature is malformed")
	}
	newHash, known := sshHashes[blob.Hash]
	var signature ssh.Signature
	switch {
	case blob.Version != sshVersion:
		return "", fmt.Errorf("version %d of SSH signatures is unknown", blob.Version)
	case blob.Namespace != sshNamespace:
		return "", fmt.Errorf("the SSH signature was made for %q, not for %s", shortened(blob.Namespace), sshNamespace)
	case !known:
		return "", fmt.Errorf("the hash %q of an SSH signature is unknown", shortened(blob.Hash))
	case ssh.Unmarshal(blob.Signature, &signature) != nil:
		return "", errors.New("the SSH signature is malformed")
	case signature.Format == ssh.KeyAlgoRSA:
		return "", errors.New("it is signed with SHA-1, which counts no more")
	}
	for _, key := range k.ssh {
		if !bytes.Equal(key.Marshal(), blob.Key) {
			continue
		}
		digest := newHash()
		digest.Write(s.Payload)
		if err := key.Verify(sshSigned(blob.Hash, digest.Sum(nil)), &signature); err != nil {
			return "", errors.New("the SSH signature does not fit")
		}
		return ssh.FingerprintSHA256(key), nil
	}
	return "", errors.New("it is signed with an SSH key that is not trusted")
}
