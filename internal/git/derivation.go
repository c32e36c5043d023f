// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"golang.org/x/crypto/ssh"
)

// How much work a password may be made to take. The key says how much: it is a
// Secret of whoever made the object, and what it asks for is done at each run, cannot
// be interrupted, and may be terabytes of memory.
const (
	maxRounds       = 1024 // of bcrypt in SSH keys, where ssh-keygen takes 24
	maxArgonMemory  = 16   // of Argon2 in OpenPGP keys: 2^16 KiB
	maxArgonPasses  = 16
	maxArgonThreads = 16
)

// cheapToOpen refuses an SSH key whose password takes more rounds than it may.
func cheapToOpen(identity []byte) error {
	block, _ := pem.Decode(identity)
	if block == nil || block.Type != "OPENSSH PRIVATE KEY" {
		return nil // older forms derive their keys in no time
	}
	var key struct {
		Cipher, Derivation string
		Options            []byte
		Rest               []byte `ssh:"rest"`
	}
	var options struct {
		Salt   []byte
		Rounds uint32
		Rest   []byte `ssh:"rest"`
	}
	content, ok := bytes.CutPrefix(block.Bytes, []byte("openssh-key-v1\x00"))
	if !ok || ssh.Unmarshal(content, &key) != nil || ssh.Unmarshal(key.Options, &options) != nil {
		return nil // it has no password, or is no key
	}
	if options.Rounds > maxRounds {
		return fmt.Errorf("the password of the SSH key takes %d rounds, and may take %d: set it anew with ssh-keygen -p -a 24",
			options.Rounds, maxRounds)
	}
	return nil
}

// cheapDerivation refuses a part of an OpenPGP key whose passphrase takes more than it
// may. How the key is derived from the passphrase stands behind the public
// key, in the form of RFC 9580, section 5.5.3. Only Argon2 can ask for much.
func cheapDerivation(key *packet.PrivateKey) error {
	private, err := body(key.Serialize)
	if err != nil {
		return err
	}
	public, err := body(key.PublicKey.Serialize)
	if err != nil || len(private) < len(public) {
		return fmt.Errorf("the OpenPGP key cannot be read: %w", err)
	}
	rest := private[len(public):]
	const (
		aead   = 253
		argon2 = 4
		salt   = 16
	)
	at := 2 // usage and cipher
	if key.Version >= 5 {
		at++ // how many bytes follow
	}
	if rest[0] == aead {
		at++ // its mode
	}
	if key.Version >= 6 {
		at++ // how many bytes the derivation has
	}
	if len(rest) < at+1+salt+3 || rest[at] != argon2 {
		return nil
	}
	passes, threads, memory := rest[at+1+salt], rest[at+2+salt], rest[at+3+salt]
	if memory > maxArgonMemory || passes > maxArgonPasses || threads > maxArgonThreads {
		return fmt.Errorf("the passphrase of the OpenPGP key takes 2^%d KiB of memory, %d passes and %d threads, and may take 2^%d, %d and %d",
			memory, passes, threads, maxArgonMemory, maxArgonPasses, maxArgonThreads)
	}
	return nil
}

// body is the content of the packet that a key is written as.
func body(serialize func(io.Writer) error) ([]byte, error) {
	var written bytes.Buffer
	if err := serialize(&written); err != nil {
		return nil, err
	}
	read, err := packet.NewOpaqueReader(&written).Next()
	if err != nil {
		return nil, err
	}
	return read.Contents, nil
}
