// SPDX-License-Identifier: Apache-2.0

package gitserver

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// WriteKeys makes a key for the server and one for its client, as files in the
// format of ssh-keygen(1), unless they are there.
func WriteKeys(host, client string) error {
	for _, name := range []string{host, client} {
		if _, err := os.Stat(name); err == nil {
			continue
		}
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		block, err := ssh.MarshalPrivateKey(key, "playground")
		if err != nil {
			return fmt.Errorf("encoding SSH key: %w", err)
		}
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// WriteKnownHosts writes the line by which a client knows the server again.
func WriteKnownHosts(name, host, address string) error {
	key, err := ReadKey(host)
	if err != nil {
		return err
	}
	line := knownhosts.Line([]string{address}, key.PublicKey()) + "\n"
	return os.WriteFile(name, []byte(line), 0o644)
}

// ReadKey reads a private key.
func ReadKey(name string) (ssh.Signer, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("reading SSH key %s: %w", name, err)
	}
	return key, nil
}
