// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"net/http"
	"time"

	"github.com/notaryproject/notation-core-go/revocation"
	"github.com/notaryproject/notation-core-go/revocation/crl"
	"github.com/notaryproject/notation-core-go/revocation/purpose"
	"github.com/notaryproject/notation-go/verifier"

	"github.com/sluice-cd/sluice/internal/outbound"
)

// Whether a certificate is revoked is asked at the addresses in it: by OCSP (RFC 6960),
// or else in a list (CRL, RFC 5280). Whoever signs an image writes them, so they are
// reached as all addresses of users are.
const (
	ocspTimeout = 2 * time.Second
	crlTimeout  = 5 * time.Second
	// maxRevocation is the longest answer in bytes. Lists of public authorities for the
	// signing of code have some hundred kilobytes.
	maxRevocation = 8 << 20
)

// revocationOptions have the certificates of signers and of timestamps looked up
// through the guard.
func revocationOptions(guard *outbound.Guard) (verifier.VerifierOptions, error) {
	transport := guard.Transport()
	transport.DisableKeepAlives = true // nobody would close them
	lists, err := crl.NewHTTPFetcher(revocationClient(transport, crlTimeout))
	if err != nil {
		return verifier.VerifierOptions{}, err
	}
	of := func(chains purpose.Purpose) (revocation.Validator, error) {
		return revocation.NewWithOptions(revocation.Options{
			OCSPHTTPClient: revocationClient(transport, ocspTimeout),
			CRLFetcher:     lists, CertChainPurpose: chains,
		})
	}
	signers, err := of(purpose.CodeSigning)
	if err != nil {
		return verifier.VerifierOptions{}, err
	}
	timestamps, err := of(purpose.Timestamping)
	return verifier.VerifierOptions{RevocationCodeSigningValidator: signers, RevocationTimestampingValidator: timestamps}, err
}

func revocationClient(transport http.RoundTripper, timeout time.Duration) *http.Client {
	return outbound.NewClient(transport, outbound.Rules{
		Redirects: outbound.AnyServer, Timeout: timeout,
		Limits: outbound.Limits{Bytes: maxRevocation, What: "what tells whether a certificate is revoked"},
	})
}
