// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"

	"github.com/google/go-containerregistry/pkg/name"
)

// newCosign trusts keys if a Secret is named, or else identities.
func newCosign(ctx context.Context, req request) (Verifier, error) {
	var j judge
	var err error
	if req.spec.SecretName != "" {
		j, err = readKeys(ctx, req)
	} else {
		j, err = readIdentities(ctx, req)
	}
	if err != nil {
		return nil, err
	}
	return &cosign{judge: j, opts: req.opts}, nil
}

// cosign verifies what `cosign sign` leaves in a registry.
type cosign struct {
	judge judge
	opts  Options
}

// judge decides whether a signature is by who is trusted, and says who that is.
// The error says why not.
type judge interface {
	judge(s signed) (signer string, err error)
}

// Verify implements [Verifier].
func (c *cosign) Verify(ctx context.Context, ref name.Digest) (Evidence, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	var seen findings
	for s, err := range newRepository(ctx, ref, c.opts).cosignSignatures(&seen) {
		if err == nil {
			var signer string
			if signer, err = c.judge.judge(s); err == nil {
				return Evidence{Signer: signer, Signature: s.where}, nil
			}
			err = unreadable{err}
		}
		seen.note(s.where, err)
		if ctx.Err() != nil {
			break
		}
	}
	return Evidence{}, seen.err(ref)
}
