// SPDX-License-Identifier: Apache-2.0

package git_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ProtonMail/go-crypto/openpgp/s2k"
	"golang.org/x/crypto/ssh"

	"github.com/sluice-cd/sluice/internal/git"
)

// argonKey is an OpenPGP key whose passphrase is derived with Argon2.
func argonKey(t *testing.T, change func(parameters []byte)) []byte {
	t.Helper()
	const passes, threads, memory = 7, 3, 10
	config := &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, AEADConfig: &packet.AEADConfig{},
		S2KConfig: &s2k.Config{S2KMode: s2k.Argon2S2K, Argon2Config: &s2k.Argon2Config{
			NumberOfPasses: passes, DegreeOfParallelism: threads, Memory: 1 << memory}},
	}
	entity, err := openpgp.NewEntity("bot", "", "bot@example.com", config)
	if err != nil {
		t.Fatal(err)
	}
	if err := entity.EncryptPrivateKeys([]byte(passphrase), config); err != nil {
		t.Fatal(err)
	}
	var key bytes.Buffer
	if err := entity.SerializePrivateWithoutSigning(&key, nil); err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(key.Bytes(), []byte{passes, threads, memory})
	if at < 0 {
		t.Fatal("there are no parameters of Argon2")
	}
	change(key.Bytes()[at : at+3])
	return key.Bytes()
}

func TestAnOpenPGPKeyMayNotTakeAsMuchMemoryAsItLikes(t *testing.T) {
	for name, tc := range map[string]struct {
		change func([]byte)
		want   string
	}{
		"little":         {func([]byte) {}, ""},
		"two tebibytes":  {func(p []byte) { p[2] = 31 }, "2^31 KiB of memory"},
		"128 MiB":        {func(p []byte) { p[2] = 17 }, "2^17 KiB of memory"},
		"many passes":    {func(p []byte) { p[0] = 255 }, "255 passes"},
		"another memory": {func(p []byte) { p[2] = 11 }, "the passphrase does not fit"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := git.NewGPGSigner(argonKey(t, tc.change), []byte(passphrase))
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

func TestAnSSHKeyMayNotTakeAsManyRoundsAsItLikes(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := git.NewSSHSigner(pem.EncodeToMemory(block), []byte(passphrase)); err != nil {
		t.Fatal(err)
	}
	usual := []byte{0, 0, 0, 16, 0, 0, 0, 1} // the rounds, and the number of keys
	at := bytes.Index(block.Bytes, usual)
	if at < 0 {
		t.Fatal("there are no rounds")
	}
	copy(block.Bytes[at:], []byte{0xff, 0xff, 0xff, 0xff})
	if _, err := git.NewSSHSigner(pem.EncodeToMemory(block), []byte(passphrase)); err == nil ||
		!strings.Contains(err.Error(), "takes 4294967295 rounds") {
		t.Errorf("error %v", err)
	}
}
