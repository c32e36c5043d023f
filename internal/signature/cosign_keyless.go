// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"errors"
	"fmt"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/sluice-cd/sluice/internal/keysize"
	"github.com/sluice-cd/sluice/internal/pattern"
)

// trustedRootKey is the key of a Secret with a Sigstore trusted root.
const trustedRootKey = "trusted_root.json"

// identities trusts signatures with a certificate of some identity.
type identities struct {
	verifier *verify.Verifier
	policy   []verify.PolicyOption
}

// readIdentities reads whose certificates count, and the root that issues them.
func readIdentities(ctx context.Context, req request) (identities, error) {
	policy := []verify.PolicyOption{verify.WithoutIdentitiesUnsafe()}
	if !req.spec.trustsAnybody() {
		var err error
		if policy, err = identityPolicy(req.spec.Identities); err != nil {
			return identities{}, err
		}
	}
	trusted, err := trustedRoot(ctx, req)
	if err != nil {
		return identities{}, err
	}
	verifier, err := rootVerifier(trusted)
	if err != nil {
		return identities{}, fmt.Errorf("%w: trusted root: %w", ErrConfig, err)
	}
	return identities{verifier: verifier, policy: policy}, nil
}

// maxIdentities is how many identities may count: each is tried for each signature.
const maxIdentities = 100

// trustsAnybody reports whether keyless signatures count whoever made them.
func (s Spec) trustsAnybody() bool {
	return s.AnyIdentity && s.SecretName == "" && len(s.Identities) == 0
}

// identityPolicy demands that one of the identities matches. None at all would
// trust everybody who can log in anywhere.
func identityPolicy(wanted []CertificateIdentity) ([]verify.PolicyOption, error) {
	if len(wanted) == 0 {
		return nil, refuseSpec("without secretRef signatures are keyless, and matchOIDCIdentity must say whose count")
	}
	if len(wanted) > maxIdentities {
		return nil, refuseSpec("matchOIDCIdentity has %d entries, and may have %d; a regular expression may match several",
			len(wanted), maxIdentities)
	}
	policy := make([]verify.PolicyOption, 0, len(wanted))
	for i, one := range wanted {
		if one.Issuer == "" || one.Subject == "" {
			return nil, refuseSpec("matchOIDCIdentity[%d] needs an issuer and a subject", i)
		}
		for _, expression := range []string{one.Issuer, one.Subject} {
			if _, err := pattern.Compile(expression); err != nil {
				return nil, refuseSpec("matchOIDCIdentity[%d]: %w", i, err)
			}
		}
		identity, err := verify.NewShortCertificateIdentity("", one.Issuer, "", one.Subject)
		if err != nil {
			return nil, refuseSpec("matchOIDCIdentity[%d]: %w", i, err)
		}
		policy = append(policy, verify.WithCertificateIdentity(identity))
	}
	return policy, nil
}

// trustedRoot is that of the Secret, or the public one.
func trustedRoot(ctx context.Context, req request) (root.TrustedMaterial, error) {
	name := req.spec.TrustedRootSecretName
	if name == "" {
		if req.opts.PublicGood == nil {
			return nil, refuseSpec("the public Sigstore root is not available here: set secretRef or trustedRootSecretRef")
		}
		return req.opts.PublicGood.Root(ctx)
	}
	data, err := req.secrets.get(ctx, name)
	if err != nil {
		return nil, err
	}
	text, ok := data[trustedRootKey]
	if !ok {
		return nil, req.secrets.refuse(name, "it has no key %s", trustedRootKey)
	}
	trusted, err := root.NewTrustedRootFromJSON(text)
	if err != nil {
		return nil, req.secrets.refuse(name, "parsing %s: %v", trustedRootKey, err)
	}
	if err := checkRoot(trusted); err != nil {
		return nil, req.secrets.refuse(name, "%s: %v", trustedRootKey, err)
	}
	return trusted, nil
}

// rootVerifier demands every proof that the root can check: that the certificate
// was published (CT log), that the signature was (Rekor), and when it was made,
// by Rekor or by a timestamping authority. Nothing is looked up: the proofs lie
// with the signature.
func rootVerifier(trusted root.TrustedMaterial) (*verify.Verifier, error) {
	if len(trusted.FulcioCertificateAuthorities()) == 0 {
		return nil, errors.New("it has no certificate authority")
	}
	if len(trusted.RekorLogs()) == 0 && len(trusted.TimestampingAuthorities()) == 0 {
		return nil, errors.New("it has neither a transparency log nor a timestamping authority to tell when a signature was made")
	}
	demands := []verify.VerifierOption{verify.WithObserverTimestamps(1)}
	if len(trusted.CTLogs()) > 0 {
		demands = append(demands, verify.WithSignedCertificateTimestamps(1))
	}
	if len(trusted.RekorLogs()) > 0 {
		demands = append(demands, verify.WithTransparencyLog(1))
	}
	return verify.NewVerifier(trusted, demands...)
}

func (i identities) signerOf(s signed) (string, error) {
	content, err := s.byCert.VerificationContent()
	if err != nil {
		return "", err
	}
	if content.Certificate() == nil {
		return "", errors.New("it has no certificate, so it was made with a key")
	}
	if err := keysize.Check(content.Certificate()); err != nil {
		return "", err
	}
	timestamps, err := s.byCert.Timestamps()
	if err == nil {
		err = checkTimestamps(timestamps)
	}
	if err != nil {
		return "", fmt.Errorf("reading its timestamps: %w", err)
	}
	summary, err := certificate.SummarizeCertificate(content.Certificate())
	if err != nil {
		return "", fmt.Errorf("reading certificate: %w", err)
	}
	result, err := i.verifier.Verify(s.byCert, verify.NewPolicy(s.artifact(), i.policy...))
	var other *verify.ErrNoMatchingCertificateIdentity
	switch {
	case errors.As(err, &other):
		return "", fmt.Errorf("it is by %s, whom matchOIDCIdentity does not name", subject(summary))
	case err != nil:
		return "", fmt.Errorf("it claims to be by %s: %w", subject(summary), err)
	}
	if err := s.claim(result); err != nil {
		return "", fmt.Errorf("it is by %s but %w", subject(summary), err)
	}
	return subject(summary), nil
}

// subject is who a certificate is for. It is true only once verified.
func subject(c certificate.Summary) string {
	return fmt.Sprintf("%s (%s)", c.SubjectAlternativeName, c.Issuer)
}
