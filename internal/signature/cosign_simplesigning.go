// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	commonv1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	rekorv1 "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// The annotations of a layer where cosign, before bundles, kept what belongs to
// the payload in it.
const (
	annotationSignature   = "dev.cosignproject.cosign/signature"
	annotationCertificate = "dev.sigstore.cosign/certificate"
	annotationRekor       = "dev.sigstore.cosign/bundle"
	annotationTimestamp   = "dev.sigstore.cosign/rfc3161timestamp"
)

// parseSimpleSigning reads a signature as cosign wrote them before version 3:
// the layer is a payload that names the image, its annotations have the rest.
func parseSimpleSigning(payload []byte, annotations map[string]string, imageDigest string) (signed, error) {
	sig, err := base64.StdEncoding.DecodeString(annotations[annotationSignature])
	if err != nil || len(sig) == 0 {
		return signed{}, unreadable{errors.New("it has a payload and no signature")}
	}
	s := &simpleSigning{payload: payload, signature: sig, annotations: annotations}
	return signed{
		byKey:    &keySimpleSigning{s},
		byCert:   s,
		artifact: func() verify.ArtifactPolicyOption { return verify.WithArtifact(bytes.NewReader(payload)) },
		claim:    func(*verify.VerificationResult) error { return claimsDigest(payload, imageDigest) },
	}, nil
}

// claimsDigest checks that a signed payload is about this image. Without this,
// a signature of any other image could be copied here.
func claimsDigest(payload []byte, imageDigest string) error {
	var p struct {
		Critical struct {
			Image struct {
				Digest string `json:"docker-manifest-digest"`
			} `json:"image"`
		} `json:"critical"`
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return fmt.Errorf("parsing payload: %w", err)
	}
	if p.Critical.Image.Digest != imageDigest {
		return fmt.Errorf("it is for another image, %q", p.Critical.Image.Digest)
	}
	return nil
}

// simpleSigning shows the layout before bundles to sigstore-go as a signature
// with a certificate. The certificates of the chain are not read: a root brings
// its own.
type simpleSigning struct {
	verify.BaseSignedEntity
	payload, signature []byte
	annotations        map[string]string
}

// Version makes sigstore-go accept what clients of that time signed: any curve
// with SHA-256.
func (s *simpleSigning) Version() (string, error) { return "v0.1", nil }

func (s *simpleSigning) SignatureContent() (verify.SignatureContent, error) {
	digest := sha256.Sum256(s.payload)
	return bundle.NewMessageSignature(digest[:], "SHA2_256", s.signature), nil
}

func (s *simpleSigning) VerificationContent() (verify.VerificationContent, error) {
	block, _ := pem.Decode([]byte(s.annotations[annotationCertificate]))
	if block == nil {
		return nil, errors.New("it has no certificate, so it was made with a key")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parsing certificate: %w", err)
	}
	return bundle.NewCertificate(cert), nil
}

// TlogEntries returns the proof of the transparency log, if there is one.
func (s *simpleSigning) TlogEntries() ([]*tlog.Entry, error) {
	text, ok := s.annotations[annotationRekor]
	if !ok {
		return nil, nil
	}
	var proof rekorProof
	if err := json.Unmarshal([]byte(text), &proof); err != nil {
		return nil, fmt.Errorf("parsing proof of the transparency log: %w", err)
	}
	entry, err := proof.entry()
	if err != nil {
		return nil, fmt.Errorf("parsing proof of the transparency log: %w", err)
	}
	return []*tlog.Entry{entry}, nil
}

// rekorProof is the promise of Rekor to publish an entry, as cosign keeps it.
type rekorProof struct {
	SignedEntryTimestamp []byte
	Payload              struct {
		Body           []byte `json:"body"`
		IntegratedTime int64  `json:"integratedTime"`
		LogIndex       int64  `json:"logIndex"`
		LogID          string `json:"logID"`
	}
}

func (p rekorProof) entry() (*tlog.Entry, error) {
	id, err := hex.DecodeString(p.Payload.LogID)
	if err != nil {
		return nil, fmt.Errorf("id of the log: %w", err)
	}
	var kind struct {
		Kind    string `json:"kind"`
		Version string `json:"apiVersion"`
	}
	if err := json.Unmarshal(p.Payload.Body, &kind); err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	return tlog.NewTlogEntry(&rekorv1.TransparencyLogEntry{
		LogIndex:          p.Payload.LogIndex,
		LogId:             &commonv1.LogId{KeyId: id},
		KindVersion:       &rekorv1.KindVersion{Kind: kind.Kind, Version: kind.Version},
		IntegratedTime:    p.Payload.IntegratedTime,
		InclusionPromise:  &rekorv1.InclusionPromise{SignedEntryTimestamp: p.SignedEntryTimestamp},
		CanonicalizedBody: p.Payload.Body,
	})
}

// Timestamps returns the answer of a timestamping authority, if there is one.
func (s *simpleSigning) Timestamps() ([][]byte, error) {
	text, ok := s.annotations[annotationTimestamp]
	if !ok {
		return nil, nil
	}
	var answer struct{ SignedRFC3161Timestamp []byte }
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return nil, fmt.Errorf("parsing timestamp: %w", err)
	}
	return [][]byte{answer.SignedRFC3161Timestamp}, nil
}

// keySimpleSigning is the same as a signature with a key.
type keySimpleSigning struct{ *simpleSigning }

func (*keySimpleSigning) VerificationContent() (verify.VerificationContent, error) {
	return &bundle.PublicKey{}, nil
}
