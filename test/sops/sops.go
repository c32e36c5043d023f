// SPDX-License-Identifier: Apache-2.0

// Package sops encrypts files for tests, as the command of SOPS does.
package sops

import (
	"bytes"
	"crypto/rand"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/cmd/sops/formats"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/keys"
	"github.com/getsops/sops/v3/stores/dotenv"
	"github.com/getsops/sops/v3/stores/ini"
	"github.com/getsops/sops/v3/stores/json"
	"github.com/getsops/sops/v3/stores/yaml"
)

// File is what is encrypted.
type File struct {
	// Name says the format, by its extension.
	Name string
	// Regex says which values are encrypted, by their names; "" is all.
	Regex string
	Plain string
}

// DataKey returns a new data key.
func DataKey() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	return key
}

// Encrypt encrypts a file with a data key, which is in the file as each of the master keys
// has it.
func Encrypt(t testing.TB, file File, dataKey []byte, masters ...keys.MasterKey) []byte {
	t.Helper()
	store := storeOf(file.Name)
	branches, err := store.LoadPlainFile([]byte(file.Plain))
	if err != nil {
		t.Fatal(err)
	}
	tree := sops.Tree{Branches: branches, Metadata: sops.Metadata{
		KeyGroups: []sops.KeyGroup{masters}, EncryptedRegex: file.Regex, Version: "3.13.3", LastModified: time.Unix(1_700_000_000, 0).UTC(),
	}}
	if file.Regex == "" {
		tree.Metadata.UnencryptedSuffix = sops.DefaultUnencryptedSuffix
	}
	cipher := aes.NewCipher()
	mac, err := tree.Encrypt(dataKey, cipher)
	if err != nil {
		t.Fatal(err)
	}
	tree.Metadata.MessageAuthenticationCode, err = cipher.Encrypt(mac, dataKey, tree.Metadata.LastModified.Format(time.RFC3339))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := store.EmitEncryptedFile(tree)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func storeOf(name string) sops.Store {
	stores := config.NewStoresConfig()
	switch formats.FormatForPath(name) {
	case formats.Yaml:
		return yaml.NewStore(&stores.YAML)
	case formats.Json:
		return json.NewStore(&stores.JSON)
	case formats.Dotenv:
		return dotenv.NewStore(&stores.Dotenv)
	case formats.Ini:
		return ini.NewStore(&stores.INI)
	case formats.Binary:
	}
	return json.NewBinaryStore(&stores.JSONBinary)
}

// AgeKey is a new age key, as a Secret has it.
type AgeKey struct{ identity *age.X25519Identity }

// NewAgeKey makes one.
func NewAgeKey(t testing.TB) AgeKey {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return AgeKey{identity}
}

// Private is the key file.
func (k AgeKey) Private() []byte {
	return []byte("# public key: " + k.identity.Recipient().String() + "\n" + k.identity.String() + "\n")
}

// Master has a data key encrypted for the key.
func (k AgeKey) Master(t testing.TB, dataKey []byte) keys.MasterKey {
	t.Helper()
	var sealed bytes.Buffer
	armored := armor.NewWriter(&sealed)
	in, err := age.Encrypt(armored, k.identity.Recipient())
	if err == nil {
		_, err = in.Write(dataKey)
	}
	if err == nil {
		err = in.Close()
	}
	if err == nil {
		err = armored.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return &sopsage.MasterKey{Recipient: k.identity.Recipient().String(), EncryptedKey: sealed.String()}
}

// Encrypt encrypts a file for the key.
func (k AgeKey) Encrypt(t testing.TB, file File) []byte {
	t.Helper()
	key := DataKey()
	return Encrypt(t, file, key, k.Master(t, key))
}
