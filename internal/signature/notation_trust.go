// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"

	"github.com/sluice-cd/sluice/internal/keysize"
)

// trustPolicyKey is the key of a Secret with notation's trust policy.
const trustPolicyKey = "trustpolicy.json"

// trust is what notation reads from its directory elsewhere: the trust policy,
// and a trust store, which has the same certificates under every name.
type trust struct {
	policy *trustpolicy.Document
	certs  []*x509.Certificate
}

// readTrust reads the trust policy and all certificates of the Secret.
func readTrust(ctx context.Context, req request) (*trust, error) {
	name := req.spec.SecretName
	data, err := req.secrets.get(ctx, name)
	if err != nil {
		return nil, err
	}
	text, ok := data[trustPolicyKey]
	if !ok {
		return nil, req.secrets.refuse(name, "it has no key %s", trustPolicyKey)
	}
	t := &trust{policy: &trustpolicy.Document{}}
	if err := json.Unmarshal(text, t.policy); err != nil {
		return nil, req.secrets.refuse(name, "parsing %s: %v", trustPolicyKey, err)
	}
	mendPolicy(t.policy)
	for _, file := range withSuffix(data, ".crt", ".pem") {
		certs, err := parseCertificates(data[file])
		if err != nil {
			return nil, req.secrets.refuse(name, "%s: %v", file, err)
		}
		t.certs = append(t.certs, certs...)
	}
	if len(t.certs) == 0 {
		return nil, req.secrets.refuse(name, "no key with a certificate ends in .crt or .pem")
	}
	return t, nil
}

// GetCertificates implements notation's trust store.
func (t *trust) GetCertificates(context.Context, truststore.Type, string) ([]*x509.Certificate, error) {
	return t.certs, nil
}

// parseCertificates reads all of a file in PEM, or the one in DER.
func parseCertificates(data []byte) ([]*x509.Certificate, error) {
	if !bytes.Contains(data, []byte("-----BEGIN")) {
		cert, err := x509.ParseCertificate(data)
		if err != nil {
			return nil, errors.New("it is not a certificate in PEM or DER")
		}
		if err := keysize.Check(cert); err != nil {
			return nil, err
		}
		return []*x509.Certificate{cert}, nil
	}
	var all []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" { // perhaps a key: of no use, and not to be quoted
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(all)+1, err)
		}
		if err := keysize.Check(cert); err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(all)+1, err)
		}
		all = append(all, cert)
	}
	if len(all) == 0 {
		return nil, errors.New("it holds no certificate")
	}
	return all, nil
}

// mendPolicy changes two things. A statement that skips verification must not
// name what to trust, which is harmless and often left there. And a statement
// that trusts nobody in particular must not have the servers asked that a
// certificate names for its revocation: the certificate may be anybody's.
func mendPolicy(policy *trustpolicy.Document) {
	for i := range policy.TrustPolicies {
		statement := &policy.TrustPolicies[i]
		level, err := statement.SignatureVerification.GetVerificationLevel()
		if err != nil {
			continue // notation says what is wrong
		}
		if statement.SignatureVerification.VerificationLevel == trustpolicy.LevelSkip.Name {
			statement.TrustStores, statement.TrustedIdentities = nil, nil
			continue
		}
		if level.Enforcement[trustpolicy.TypeAuthenticity] == trustpolicy.ActionEnforce {
			continue
		}
		if statement.SignatureVerification.Override == nil {
			statement.SignatureVerification.Override = map[trustpolicy.ValidationType]trustpolicy.ValidationAction{}
		}
		statement.SignatureVerification.Override[trustpolicy.TypeRevocation] = trustpolicy.ActionSkip
	}
}
