// SPDX-License-Identifier: Apache-2.0

package decrypt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	"github.com/getsops/sops/v3/keyservice"
	"github.com/getsops/sops/v3/logging"

	"github.com/sluice-cd/sluice/internal/mask"
)

// Bounds of an encrypted file.
const (
	// MaxFile is the most bytes that one has, as in Flux.
	MaxFile = 5 << 20
	// maxKeys is for how many keys its data key may be encrypted.
	maxKeys = 50
)

// ErrDecrypt says that something cannot be decrypted as it is: only another file, another
// key, or a key service that answers can help.
var ErrDecrypt = errors.New("cannot decrypt")

// Decrypter decrypts the files of one build. Its Decrypt is called by one goroutine at a
// time; a build that is given up may still do that while others ask for the mask.
type Decrypter struct {
	keys     *Keys
	services *Services
	who      Requester
	// opened are the data keys that were asked for, by who encrypted them.
	opened map[string]dataKeyResult
	// silent are the key services that did not answer in time, by name. They are not asked again: each file would wait anew
	// for one that is away, although another key opens all of them.
	silent map[string]error
	// logins are those at Vaults, by address.
	logins map[string]vaultLogin

	mu sync.Mutex
	// values are kept up to maxValues, size bytes by now; withheld says that there are more.
	values   map[string]bool
	size     int
	withheld bool
}

// dataKeyResult is what came of asking for a data key.
type dataKeyResult struct {
	plain []byte
	err   error
}

// quiet keeps the library from writing to the process's log.
func quiet() { logging.SetLevel(0) }

// Decrypt returns a file as it was before it was encrypted, in the format that its name
// says, or in its own.
func (d *Decrypter) Decrypt(ctx context.Context, data []byte, name string) (plain []byte, err error) {
	defer func() {
		if r := recover(); r != nil { // the library has some for malformed files, and they quote values
			plain, err = nil, fmt.Errorf("%w: the file is not as SOPS writes it", ErrDecrypt)
		}
	}()
	if len(data) > MaxFile {
		return nil, fmt.Errorf("%w: the file has more than %d bytes", ErrDecrypt, MaxFile)
	}
	from := formatOf(data)
	if from == "" {
		return data, nil
	}
	if from == binary && formatFor(name, from) == jsons {
		from = jsons
	}
	to := formatFor(name, from)
	tree, err := from.store().LoadEncryptedFile(data)
	if err != nil {
		return nil, fmt.Errorf("%w: the %s is not as SOPS writes it", ErrDecrypt, from)
	}
	key, by, err := d.dataKey(ctx, &tree.Metadata)
	if err != nil {
		return nil, err
	}
	before := leavesOf(tree.Branches)
	if _, err := tree.Decrypt(key, aes.NewCipher()); err != nil {
		return nil, unfitting(&tree.Metadata, key, by)
	}
	d.recordSecrets(before, tree.Branches)
	if plain, err = to.store().EmitPlainFile(tree.Branches); err != nil {
		return nil, fmt.Errorf("%w: %s cannot be written as %s: give it another name", ErrDecrypt, from, to)
	}
	return plain, nil
}

// maxValues bounds what is kept of decrypted values, in bytes: they are kept for as long as there is a Kustomization, and
// each is looked for in each error.
const maxValues = 1 << 20

// recordSecrets keeps the texts of a file that were encrypted, so that they can be masked. Those of
// before are the same leaves as they were in the file. One that there is no room for leaves its room to others.
func (d *Decrypter) recordSecrets(before []any, branches sops.TreeBranches) {
	after := leavesOf(branches)
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(after) != len(before) {
		d.withheld = true // nobody knows which of them are secret
		return
	}
	for i, value := range after {
		sealed, _ := before[i].(string)
		text := fmt.Sprint(value)
		if !strings.HasPrefix(sealed, "ENC[") || text == "" || d.values[text] {
			continue
		}
		if d.size+len(text) > maxValues {
			d.withheld = true
			continue
		}
		if d.values == nil {
			d.values = map[string]bool{}
		}
		d.values[text] = true
		d.size += len(text)
	}
}

// leavesOf are the single values of a file, in order.
func leavesOf(branches sops.TreeBranches) []any {
	var leaves []any
	var walk func(any)
	walk = func(value any) {
		switch v := value.(type) {
		case sops.TreeBranch:
			for _, item := range v {
				walk(item.Value)
			}
		case []any:
			for _, item := range v {
				walk(item)
			}
		default:
			leaves = append(leaves, v)
		}
	}
	for _, branch := range branches {
		walk(branch)
	}
	return leaves
}

// Mask hides what was decrypted so far; nil if nothing was. If that is more than is kept of it, it hides all of a text.
func (d *Decrypter) Mask() *mask.Mask {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.withheld:
		return mask.Everything()
	case len(d.values) == 0:
		return nil
	}
	return mask.New(slices.Collect(maps.Keys(d.values))...)
}

// unfitting says why a data key, of which the named keys have told, does not decrypt a file. The code that authenticates
// all values is encrypted with it, too: a key that opens that is the file's.
func unfitting(metadata *sops.Metadata, key []byte, by []string) error {
	if code := metadata.MessageAuthenticationCode; code != "" {
		if _, err := aes.NewCipher().Decrypt(code, key, metadata.LastModified.Format(time.RFC3339)); err != nil {
			return fmt.Errorf("%w: the data key that %s gives is not that of the file: it is not the key that SOPS encrypted it for, "+
				"or the file was changed since", ErrDecrypt, strings.Join(by, " and "))
		}
	}
	return fmt.Errorf("%w: a value is not as SOPS wrote it: encrypt the file again", ErrDecrypt)
}

// dataKey is the key of a file's values, with the names of the keys that gave it.
func (d *Decrypter) dataKey(ctx context.Context, metadata *sops.Metadata) (key []byte, by []string, err error) {
	keys := 0
	for _, group := range metadata.KeyGroups {
		keys += len(group)
	}
	switch {
	case keys == 0:
		return nil, nil, fmt.Errorf("%w: the file names no key", ErrDecrypt)
	case keys > maxKeys:
		return nil, nil, fmt.Errorf("%w: the file is encrypted for %d keys, and may be for %d", ErrDecrypt, keys, maxKeys)
	}
	asked := &keyClient{decrypt: func(req *keyservice.DecryptRequest) ([]byte, error) { return d.open(ctx, req) }}
	key, err = metadata.GetDataKeyWithKeyServices([]keyservice.KeyServiceClient{asked}, sops.DefaultDecryptionOrder)
	switch {
	case ctx.Err() != nil:
		return nil, nil, context.Cause(ctx)
	case err != nil:
		return nil, nil, fmt.Errorf("%w: no key opens it: %s", ErrDecrypt, strings.Join(asked.failures, "; "))
	}
	return key, asked.opened, nil
}

// open decrypts a data key with one of the keys that it is encrypted for, once.
func (d *Decrypter) open(ctx context.Context, req *keyservice.DecryptRequest) ([]byte, error) {
	name := req.Key.String() + "\x00" + string(req.Ciphertext)
	known, ok := d.opened[name]
	if !ok {
		service := serviceOf(req.Key)
		if err := d.silent[service]; err != nil {
			return nil, err
		}
		known.plain, known.err = d.ask(ctx, req)
		d.opened[name] = known
		if errors.Is(known.err, errSilent) {
			d.silent[service] = fmt.Errorf("not asked: at another key of this build %w", known.err)
		}
	}
	return known.plain, known.err
}

// ask decrypts a data key.
func (d *Decrypter) ask(ctx context.Context, req *keyservice.DecryptRequest) ([]byte, error) {
	switch key := req.Key.KeyType.(type) {
	case *keyservice.Key_AgeKey:
		return d.keys.openAge(req.Ciphertext)
	case *keyservice.Key_PgpKey:
		return d.keys.openPGP(req.Ciphertext)
	case *keyservice.Key_VaultKey:
		return d.openVault(ctx, key.VaultKey, req.Ciphertext)
	case *keyservice.Key_KmsKey:
		return d.openAWS(ctx, key.KmsKey, req.Ciphertext)
	case *keyservice.Key_AzureKeyvaultKey:
		return d.openAzure(ctx, key.AzureKeyvaultKey, req.Ciphertext)
	case *keyservice.Key_GcpKmsKey:
		return d.openGCP(ctx, key.GcpKmsKey, req.Ciphertext)
	case *keyservice.Key_HckmsKey:
		return d.openHuawei(ctx, key.HckmsKey, req.Ciphertext)
	}
	return nil, errors.New("this kind of key is not supported")
}
