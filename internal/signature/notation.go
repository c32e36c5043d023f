// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	_ "github.com/notaryproject/notation-core-go/signature/cose" // the two formats of envelopes
	_ "github.com/notaryproject/notation-core-go/signature/jws"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/registry"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// notary verifies what `notation sign` leaves in a registry, by a trust policy:
// https://github.com/notaryproject/specifications/blob/main/specs/trust-store-trust-policy.md
type notary struct {
	policy   *trustpolicy.Document
	verifier notation.Verifier
	opts     Options
}

// newNotation trusts the certificates and obeys the trust policy of a Secret.
func newNotation(ctx context.Context, req request) (Verifier, error) {
	switch spec := req.spec; {
	case spec.SecretName == "":
		return nil, refuseSpec("provider notation needs secretRef")
	case len(spec.Identities) > 0:
		return nil, refuseSpec("matchOIDCIdentity is for provider cosign: say whom to trust in %s", trustPolicyKey)
	case spec.TrustedRootSecretName != "":
		return nil, refuseSpec("trustedRootSecretRef is for provider cosign: put certificates into secretRef")
	}
	trust, err := readTrust(ctx, req)
	if err != nil {
		return nil, err
	}
	revocations, err := revocationOptions(req.opts.Guard)
	if err != nil {
		return nil, err
	}
	v, err := verifier.NewWithOptions(trust.policy, trust, nil, revocations)
	if err != nil {
		return nil, req.secrets.refuse(req.spec.SecretName, "%s: %v", trustPolicyKey, err)
	}
	return &notary{policy: trust.policy, verifier: v, opts: req.opts}, nil
}

// Verify implements [Verifier].
func (n *notary) Verify(ctx context.Context, ref name.Digest) (Evidence, error) {
	statement, err := n.policy.GetApplicableTrustPolicy(ref.Name())
	if err != nil {
		return Evidence{}, fmt.Errorf("%w: %s: %w", ErrConfig, trustPolicyKey, err)
	}
	if statement.SignatureVerification.VerificationLevel == trustpolicy.LevelSkip.Name {
		return Evidence{Warnings: []string{fmt.Sprintf("not verified, as statement %q of %s wants", statement.Name, trustPolicyKey)}}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, n.opts.Timeout)
	defer cancel()
	repo := newRepository(ctx, ref, n.opts)
	image, err := remote.Get(ref, repo.opts...) // a signature is over its type and size too
	if err != nil {
		return Evidence{}, fmt.Errorf("reading %s: %w", ref, err)
	}
	return n.search(ctx, repo, image.Descriptor)
}

// search looks at the signatures of the image until one counts.
func (n *notary) search(ctx context.Context, repo repository, image v1.Descriptor) (Evidence, error) {
	var seen findings
	list, err := repo.referrers()
	if err != nil {
		return Evidence{}, err
	}
	remaining := maxSignatures
	for _, desc := range list {
		if desc.ArtifactType != registry.ArtifactTypeNotation && !slices.Contains(vagueTypes, desc.ArtifactType) {
			continue
		}
		if remaining--; remaining < 0 {
			seen.skipped++
			continue
		}
		where := "referrer " + abbreviate(desc.Digest)
		envelope, err := repo.notationSignature(desc.Digest)
		if errors.Is(err, errOther) {
			continue
		}
		if err == nil {
			var evidence Evidence
			if evidence, err = n.verifyEnvelope(ctx, repo.ref, image, envelope); err == nil {
				evidence.Signature = where
				return evidence, nil
			}
		}
		seen.add(where, err)
		if ctx.Err() != nil {
			break
		}
	}
	return Evidence{}, seen.err(repo.ref)
}

// envelope is a signature of notation, in one of two formats.
type envelope struct {
	mediaType string
	data      []byte
}

// errOther means that a referrer is something else than a signature.
var errOther = errors.New("it is no signature")

func (r repository) notationSignature(digest v1.Hash) (envelope, error) {
	m, err := r.manifest(r.ref.Context().Digest(digest.String()))
	if err != nil {
		return envelope{}, err
	}
	if m.kind() != registry.ArtifactTypeNotation {
		return envelope{}, errOther
	}
	if len(m.Layers) != 1 {
		return envelope{}, unreadable{fmt.Errorf("it has %d layers instead of one", len(m.Layers))}
	}
	data, err := r.layer(m.Layers[0])
	return envelope{mediaType: string(m.Layers[0].MediaType), data: data}, err
}

// verifyEnvelope verifies a signature by the trust policy. What the policy only wants
// logged becomes a warning.
func (n *notary) verifyEnvelope(ctx context.Context, ref name.Digest, image v1.Descriptor, e envelope) (Evidence, error) {
	if err := e.checkSizes(); err != nil {
		return Evidence{}, unreadable{err}
	}
	desc := ocispec.Descriptor{MediaType: string(image.MediaType), Digest: digest.Digest(image.Digest.String()), Size: image.Size}
	outcome, err := n.verifier.Verify(ctx, desc, e.data, notation.VerifierVerifyOptions{
		ArtifactReference:  ref.Name(),
		SignatureMediaType: e.mediaType,
	})
	chain := certificates(outcome)
	switch {
	case err != nil && len(chain) > 0:
		return Evidence{}, unreadable{fmt.Errorf("it claims to be by %s: %w", chain[0].Subject, err)}
	case err != nil:
		return Evidence{}, unreadable{err}
	}
	var evidence Evidence
	trusted := true
	for _, check := range outcome.VerificationResults {
		if check.Error == nil {
			continue
		}
		evidence.Warnings = append(evidence.Warnings, oneLine(fmt.Sprintf("%s: %v", check.Type, check.Error)))
		trusted = trusted && check.Type != trustpolicy.TypeAuthenticity
	}
	if trusted && len(chain) > 0 {
		evidence.Signer = chain[0].Subject.String()
	}
	return evidence, nil
}

// certificates is the chain in a signature, of the signer first.
func certificates(outcome *notation.VerificationOutcome) []*x509.Certificate {
	if outcome == nil || outcome.EnvelopeContent == nil {
		return nil
	}
	return outcome.EnvelopeContent.SignerInfo.CertificateChain
}
