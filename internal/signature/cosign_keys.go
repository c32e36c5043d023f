// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/sluice-cd/sluice/internal/keysize"
)

// keySuffix marks the keys of a Secret that hold public keys.
const keySuffix = ".pub"

// keys trusts signatures by any of some public keys. They need no proof of a
// transparency log: who holds the key is who is trusted.
type keys []key

type key struct {
	name     string
	verifier *verify.Verifier
}

// readKeys reads every public key of the Secret.
func readKeys(ctx context.Context, req request) (keys, error) {
	if len(req.spec.Identities) > 0 {
		return nil, refuseSpec("matchOIDCIdentity is for keyless signatures and secretRef for keys: remove one")
	}
	if req.spec.TrustedRootSecretName != "" {
		return nil, refuseSpec("trustedRootSecretRef is for keyless signatures and secretRef for keys: remove one")
	}
	name := req.spec.SecretName
	data, err := req.secrets.get(ctx, name)
	if err != nil {
		return nil, err
	}
	var all keys
	for _, file := range withSuffix(data, keySuffix) {
		found, err := parseKeys(file, data[file])
		if err != nil {
			return nil, req.secrets.refuse(name, "%s: %v", file, err)
		}
		all = append(all, found...)
	}
	if len(all) == 0 {
		return nil, req.secrets.refuse(name, "no key ends in %s", keySuffix)
	}
	return all, nil
}

// parseKeys reads the PEM blocks of a file. Errors do not quote it: somebody may
// have taken the private key.
func parseKeys(file string, data []byte) (keys, error) {
	var all keys
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		public, err := cryptoutils.UnmarshalPEMToPublicKey(pem.EncodeToMemory(block))
		if err != nil {
			return nil, errors.New("it is not a public key in PEM")
		}
		if err := keysize.Check(public); err != nil {
			return nil, err
		}
		verifiers, err := keyVerifiers(public)
		if err != nil {
			return nil, err
		}
		for _, v := range verifiers {
			all = append(all, key{name: file, verifier: v})
		}
	}
	if len(all) == 0 {
		return nil, errors.New("it is not a public key in PEM")
	}
	return all, nil
}

// keyVerifiers returns the ways a key may have signed. Clients before cosign 3
// hash by SHA-256 whatever the key; later ones hash by the size of the curve.
func keyVerifiers(public crypto.PublicKey) ([]*verify.Verifier, error) {
	hashes := []crypto.Hash{crypto.SHA256}
	if ec, ok := public.(*ecdsa.PublicKey); ok {
		switch ec.Curve {
		case elliptic.P384():
			hashes = append(hashes, crypto.SHA384)
		case elliptic.P521():
			hashes = append(hashes, crypto.SHA512)
		}
	}
	var all []*verify.Verifier
	for _, hash := range hashes {
		v, err := keyVerifier(public, hash)
		if err != nil {
			return nil, fmt.Errorf("keys of this kind are not supported: %w", err)
		}
		all = append(all, v)
	}
	return all, nil
}

func keyVerifier(public crypto.PublicKey, hash crypto.Hash) (*verify.Verifier, error) {
	v, err := signature.LoadVerifier(public, hash)
	if err != nil {
		return nil, err
	}
	forever := root.NewExpiringKey(v, time.Time{}, time.Time{})
	trusted := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) { return forever, nil })
	return verify.NewVerifier(trusted, verify.WithNoObserverTimestamps())
}

func (k keys) signerOf(s signed) (string, error) {
	if content, err := s.byKey.VerificationContent(); err != nil {
		return "", err
	} else if content.Certificate() != nil {
		return "", errors.New("it was made keyless, with a certificate")
	}
	for _, one := range k {
		result, err := one.verifier.Verify(s.byKey, verify.NewPolicy(s.artifact(), verify.WithKey()))
		if err != nil {
			continue
		}
		if err := s.claim(result); err != nil {
			return "", fmt.Errorf("it is signed by key %s but %w", one.name, err)
		}
		return "key " + one.name, nil
	}
	return "", fmt.Errorf("it is not signed for this image by %s", k)
}

// String names the keys: "key a.pub, b.pub".
func (k keys) String() string {
	var names []string
	for _, one := range k {
		if len(names) == 0 || names[len(names)-1] != one.name {
			names = append(names, one.name)
		}
	}
	return "key " + strings.Join(names, ", ")
}
