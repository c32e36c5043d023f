// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"

	"github.com/google/go-containerregistry/pkg/name"
)

// newCosign trusts keys if a Secret is named, or else identities.
func newCosign(ctx context.Context, req request) (Verifier, error) {
	var t trustedSigners
	var err error
	if req.spec.SecretName != "" {
		t, err = readKeys(ctx, req)
	} else {
		t, err = readIdentities(ctx, req)
	}
	if err != nil {
		return nil, err
	}
	c := &cosign{trusted: t, opts: req.opts}
	if req.spec.trustsAnybody() {
		c.warnings = []string{"anybody with a certificate may have signed: matchOIDCIdentity names nobody"}
	}
	return c, nil
}

// cosign verifies what `cosign sign` leaves in a registry.
type cosign struct {
	trusted trustedSigners
	opts    Options
	// warnings are those of all evidence.
	warnings []string
}

// trustedSigners are the keys or the identities that are trusted. signerOf returns which of
// them made a signature, or an error if none did.
type trustedSigners interface {
	signerOf(s signed) (signer string, err error)
}

// Verify implements [Verifier].
func (c *cosign) Verify(ctx context.Context, ref name.Digest) (Evidence, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	var seen findings
	for s, err := range newRepository(ctx, ref, c.opts).cosignSignatures(&seen) {
		if err == nil {
			var signer string
			if signer, err = c.trusted.signerOf(s); err == nil {
				return Evidence{Signer: signer, Signature: s.location, Warnings: c.warnings}, nil
			}
			err = unreadable{err}
		}
		seen.add(s.location, err)
		if ctx.Err() != nil {
			break
		}
	}
	return Evidence{}, seen.err(ref)
}
