// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/digitorus/pkcs7"
	notationcose "github.com/notaryproject/notation-core-go/signature/cose"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/veraison/go-cose"

	"github.com/sluice-cd/sluice/internal/keysize"
)

// A signature brings certificates, whose keys the libraries use before they look whether
// anybody trusts them. Everybody who may push to a repository may add a signature, so
// their sizes are looked at first; see the keysize package.

// notaryTimestamp is the name of the header that has the token of a timestamping
// authority, in both formats.
const notaryTimestamp = "io.cncf.notary.timestampSignature"

// checkSizes refuses an envelope with a key that is too large. What cannot be read here
// the library cannot read either.
func (e envelope) checkSizes() error {
	chain, timestamp := e.unprotected()
	for _, der := range chain {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			break // the library reads no further
		}
		if err := keysize.Check(cert); err != nil {
			return err
		}
	}
	if len(timestamp) == 0 {
		return nil
	}
	return checkToken(timestamp)
}

// maxTimestamp is the longest token of a timestamping authority in bytes; they have
// some kilobytes. What reads them calls itself for each level of nesting, of which every
// two bytes can be one: a token of four megabytes would overflow the stack, which ends
// the process.
const maxTimestamp = 64 << 10

// errTimestamp is a token that is longer.
var errTimestamp = fmt.Errorf("its timestamp has more than %d bytes", maxTimestamp)

// checkToken refuses a token that is too long, that cannot be read, or that has the
// certificate of a key that is too large.
func checkToken(token []byte) error {
	if len(token) > maxTimestamp {
		return errTimestamp
	}
	parsed, err := pkcs7.Parse(token)
	if err != nil {
		return fmt.Errorf("reading its timestamp: %w", err)
	}
	return keysize.CheckAll(parsed.Certificates)
}

// unprotected returns the certificates and the timestamp in the header of an envelope.
func (e envelope) unprotected() (chain [][]byte, timestamp []byte) {
	if e.mediaType != notationcose.MediaTypeEnvelope {
		var signed struct {
			Header struct {
				Chain     [][]byte `json:"x5c"`
				Timestamp []byte   `json:"io.cncf.notary.timestampSignature"`
			} `json:"header"`
		}
		_ = json.Unmarshal(e.data, &signed) // as far as it can be read
		return signed.Header.Chain, signed.Header.Timestamp
	}
	var signed cose.Sign1Message
	if signed.UnmarshalCBOR(e.data) != nil {
		return nil, nil
	}
	timestamp, _ = signed.Headers.Unprotected[notaryTimestamp].([]byte)
	list, _ := signed.Headers.Unprotected[cose.HeaderLabelX5Chain].([]any)
	for _, item := range list {
		der, _ := item.([]byte)
		chain = append(chain, der)
	}
	return chain, timestamp
}

// checkTimestamps refuses responses of timestamping authorities (RFC 3161) that are too
// long, or have the certificate of a key that is too large. Others need not count: there
// may be the time of a log.
func checkTimestamps(responses [][]byte) error {
	for _, response := range responses {
		if len(response) > maxTimestamp {
			return errTimestamp
		}
		var parts struct {
			Status asn1.RawValue
			Token  asn1.RawValue `asn1:"optional"`
		}
		if _, err := asn1.Unmarshal(response, &parts); err != nil {
			continue // the library reads it likewise
		}
		if err := checkToken(parts.Token.FullBytes); errors.Is(err, errTimestamp) || errors.Is(err, keysize.ErrTooLarge) {
			return err
		}
	}
	return nil
}

// checkRoot refuses a trusted root with a key that is too large.
func checkRoot(trusted *root.TrustedRoot) error {
	var certs []*x509.Certificate
	for _, authority := range trusted.FulcioCertificateAuthorities() {
		if of, ok := authority.(*root.FulcioCertificateAuthority); ok {
			certs = append(append(certs, of.Root), of.Intermediates...)
		}
	}
	for _, authority := range trusted.TimestampingAuthorities() {
		if of, ok := authority.(*root.SigstoreTimestampingAuthority); ok {
			certs = append(append(certs, of.Root, of.Leaf), of.Intermediates...)
		}
	}
	for _, cert := range certs {
		if cert == nil {
			continue
		}
		if err := keysize.Check(cert); err != nil {
			return err
		}
	}
	for _, logs := range []map[string]*root.TransparencyLog{trusted.RekorLogs(), trusted.CTLogs()} {
		for _, log := range logs {
			if err := keysize.Check(log.PublicKey); err != nil {
				return err
			}
		}
	}
	return nil
}
