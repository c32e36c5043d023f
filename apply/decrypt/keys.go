// SPDX-License-Identifier: Apache-2.0

package decrypt

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/oauth2"

	"github.com/sluice-cd/sluice/internal/keysize"
)

// Names of keys in a Secret, as Flux has them.
const (
	ageSuffix, pgpSuffix = ".agekey", ".asc"
	vaultToken           = "sops.vault-token"
	awsCredentials       = "sops.aws-kms"
	azureCredentials     = "sops.azure-kv"
	gcpCredentials       = "sops.gcp-kms"
)

// ErrKeys says that a Secret holds keys that cannot be used as they are.
var ErrKeys = errors.New("the keys cannot be used")

// Keys are what a Secret holds to decrypt with.
type Keys struct {
	age   []age.Identity
	pgp   openpgp.EntityList
	vault string
	aws   aws.CredentialsProvider
	azure azcore.TokenCredential
	// azureOwn says that azure is a managed identity, which is the controller's.
	azureOwn bool
	gcp      oauth2.TokenSource
}

// ageOnly are the keys of a Secret that stands for all namespaces: credentials would take
// the place of everybody's own identity.
func ageOnly(name string) bool { return path.Ext(name) == ageSuffix }

// readKeys reads the data of a Secret. Keys of other names are not looked at. Errors name
// keys and quote no values. What asks others for tokens asks them through services.
func readKeys(ctx context.Context, data map[string][]byte, use func(name string) bool, services *Services) (*Keys, error) {
	keys := &Keys{}
	public := "" // a file that has none but public keys of PGP
	for _, name := range slices.Sorted(maps.Keys(data)) {
		if !use(name) {
			continue
		}
		switch err := keys.add(ctx, name, data[name], services); {
		case errors.Is(err, errPublic):
			public = cmp.Or(public, name)
		case err != nil:
			return nil, fmt.Errorf("%w: key '%s' %w", ErrKeys, name, err)
		}
	}
	if public != "" && !keys.any() {
		return nil, fmt.Errorf("%w: key '%s' %w", ErrKeys, public, errPublic)
	}
	return keys, nil
}

// any reports whether there is something to decrypt with.
func (k *Keys) any() bool {
	return len(k.age) > 0 || len(k.pgp) > 0 || k.vault != "" || k.aws != nil || k.azure != nil || k.gcp != nil
}

func (k *Keys) add(ctx context.Context, name string, value []byte, services *Services) (err error) {
	switch {
	case path.Ext(name) == ageSuffix:
		return k.addAge(value)
	case path.Ext(name) == pgpSuffix:
		return k.addPGP(value)
	case name == vaultToken:
		k.vault = strings.TrimSpace(string(value))
	case name == awsCredentials:
		k.aws, err = readAWS(value)
	case name == azureCredentials:
		k.azure, k.azureOwn, err = services.readAzure(value)
	case name == gcpCredentials:
		k.gcp, err = services.readGCP(ctx, value)
	}
	return err
}

// addAge adds the identities of an age key file, the way age-keygen writes it.
func (k *Keys) addAge(value []byte) error {
	identities, err := age.ParseIdentities(bytes.NewReader(value))
	if err != nil {
		return errors.New("has no age identities: write the line AGE-SECRET-KEY-1... of age-keygen")
	}
	k.age = append(k.age, identities...)
	return nil
}

// errPublic is that of keys which decrypt nothing. Beside others they do no harm: `gpg --import` takes
// them, too.
var errPublic = errors.New("has no private key to decrypt with: write what gpg --export-secret-keys --armor prints")

// addPGP adds the private keys of armored keyrings, the way
// `gpg --export-secret-keys --armor` writes them, one after the other.
func (k *Keys) addPGP(value []byte) error {
	usable := false
	for i, block := range armored(value) {
		if i > 0 && !bytes.Contains(block, []byte("-----BEGIN PGP ")) {
			continue // what stands after the last one
		}
		ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(block))
		if err != nil {
			return errors.New("is no armored PGP key: write what gpg --export-secret-keys --armor prints")
		}
		decrypts, err := decryptsWith(ring)
		if err != nil {
			return err
		}
		if decrypts {
			usable = true
			k.pgp = append(k.pgp, ring...)
		}
	}
	if !usable {
		return errPublic
	}
	return nil
}

// armored are the blocks of a file: the library reads one, and people append one to another.
func armored(file []byte) [][]byte {
	const end, dashes = "-----END PGP ", "-----"
	var blocks [][]byte
	for {
		at := bytes.Index(file, []byte(end))
		if at < 0 {
			return append(blocks, file)
		}
		at += len(end)
		if rest := bytes.Index(file[at:], []byte(dashes)); rest >= 0 {
			at += rest + len(dashes)
		} else {
			at = len(file)
		}
		blocks, file = append(blocks, file[:at]), file[at:]
	}
}

// decryptsWith reports whether a keyring has a private key that encrypts.
func decryptsWith(ring openpgp.EntityList) (bool, error) {
	usable := false
	for _, entity := range ring {
		private := []*packet.PrivateKey{entity.PrivateKey}
		for _, sub := range entity.Subkeys {
			private = append(private, sub.PrivateKey)
		}
		for _, key := range private {
			switch {
			case key == nil || !key.PubKeyAlgo.CanEncrypt():
				continue
			case key.Encrypted:
				return false, errors.New("is protected by a passphrase: export it without one")
			}
			if public, ok := key.PublicKey.PublicKey.(*rsa.PublicKey); ok {
				if err := keysize.Check(public); err != nil {
					return false, err
				}
			}
			usable = true
		}
	}
	return usable, nil
}
