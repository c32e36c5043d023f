// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	cbundle "github.com/sigstore/cosign/v3/pkg/cosign/bundle"
	"github.com/sigstore/cosign/v3/pkg/oci"
	"github.com/sigstore/cosign/v3/pkg/oci/static"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature/payload"
	"google.golang.org/protobuf/encoding/protojson"
)

const (
	identity = "https://github.com/team/app/.github/workflows/release.yml@refs/heads/main"
	issuer   = "https://token.actions.githubusercontent.com"
)

// sigstore is a Sigstore of one's own: Fulcio, Rekor, a timestamping authority.
type sigstore struct {
	t *testing.T
	*ca.VirtualSigstore
}

func newSigstore(t *testing.T) sigstore {
	t.Helper()
	virtual, err := ca.NewVirtualSigstore()
	must(t, err)
	return sigstore{t, virtual}
}

// rootParts are the parts of a trusted root.
type rootParts struct {
	certificates, signatures map[string]*root.TransparencyLog
	timestamps               []root.TimestampingAuthority
}

// trusted is the trusted root of this Sigstore, with some parts changed.
func (s sigstore) trusted(change func(*rootParts)) []byte {
	s.t.Helper()
	parts := rootParts{
		signatures: s.logs(s.RekorLogs()),
		timestamps: s.TimestampingAuthorities(),
	}
	change(&parts)
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01, s.FulcioCertificateAuthorities(),
		parts.certificates, parts.timestamps, parts.signatures)
	must(s.t, err)
	text, err := trusted.MarshalJSON()
	must(s.t, err)
	return text
}

func whole(*rootParts) {}

// logs gives logs their IDs as bytes, as a trusted root has them.
func (s sigstore) logs(from map[string]*root.TransparencyLog) map[string]*root.TransparencyLog {
	s.t.Helper()
	logs := maps.Clone(from)
	for id, one := range logs {
		raw, err := hex.DecodeString(id)
		must(s.t, err)
		one.ID = raw
	}
	return logs
}

// simple is a keyless signature in the layout before bundles.
func (s sigstore) simple(image name.Digest, who string) oci.Signature {
	s.t.Helper()
	data, err := payload.Cosign{Image: image}.MarshalJSON()
	must(s.t, err)
	return s.over(data, who)
}

// over signs a payload keyless, whatever it says.
func (s sigstore) over(data []byte, who string, opts ...static.Option) oci.Signature {
	s.t.Helper()
	entity, err := s.SignAtTime(who, issuer, data, time.Now())
	must(s.t, err)
	content, err := entity.SignatureContent()
	must(s.t, err)
	entry := s.entry(entity)
	entry64 := base64.StdEncoding.EncodeToString(entry.CanonicalizedBody)
	proof := &cbundle.RekorBundle{
		SignedEntryTimestamp: entry.InclusionPromise.SignedEntryTimestamp,
		Payload: cbundle.RekorPayload{
			Body: entry64, IntegratedTime: entry.IntegratedTime, LogIndex: entry.LogIndex,
			LogID: hex.EncodeToString(entry.LogId.KeyId),
		},
	}
	opts = append([]static.Option{static.WithCertChain(s.certificate(entity), nil), static.WithBundle(proof)}, opts...)
	return simpleSignature(s.t, data, content.Signature(), opts...)
}

func (s sigstore) certificate(entity *ca.TestEntity) []byte {
	s.t.Helper()
	content, err := entity.VerificationContent()
	must(s.t, err)
	text, err := cryptoutils.MarshalCertificateToPEM(content.Certificate())
	must(s.t, err)
	return text
}

// entry is the log entry of an entity, with the promise that the fixture keeps
// to itself.
func (s sigstore) entry(entity *ca.TestEntity) *protorekor.TransparencyLogEntry {
	s.t.Helper()
	entries, err := entity.TlogEntries()
	must(s.t, err)
	entry := entries[0].TransparencyLogEntry()
	if entry.KindVersion != nil {
		return entry
	}
	var kind struct{ Kind, APIVersion string }
	must(s.t, json.Unmarshal(entry.CanonicalizedBody, &kind))
	entry.KindVersion = &protorekor.KindVersion{Kind: kind.Kind, Version: kind.APIVersion}
	promise, err := s.RekorSignPayload(tlog.RekorPayload{
		Body:           base64.StdEncoding.EncodeToString(entry.CanonicalizedBody),
		IntegratedTime: entry.IntegratedTime, LogIndex: entry.LogIndex, LogID: hex.EncodeToString(entry.LogId.KeyId),
	})
	must(s.t, err)
	entry.InclusionPromise = &protorekor.InclusionPromise{SignedEntryTimestamp: promise}
	return entry
}

// bundle is a keyless signature as cosign 3 makes it with Rekor of version 1.
func (s sigstore) bundle(data []byte, who string) []byte {
	s.t.Helper()
	entity, err := s.AttestAtTime(who, issuer, data, time.Now(), true)
	must(s.t, err)
	return s.pack(entity, nil)
}

// bundleV2 is the same with Rekor of version 2, which tells no time: that comes
// from the timestamping authority.
func (s sigstore) bundleV2(data []byte, who string) []byte {
	s.t.Helper()
	entity, err := s.AttestAtTimeHashedRekordV2(who, issuer, data, time.Unix(0, 0))
	must(s.t, err)
	stamps, err := entity.Timestamps()
	must(s.t, err)
	return s.pack(entity, stamps)
}

func (s sigstore) pack(entity *ca.TestEntity, stamps [][]byte) []byte {
	s.t.Helper()
	signature, err := entity.SignatureContent()
	must(s.t, err)
	envelope := signature.EnvelopeContent().RawEnvelope()
	data, err := envelope.DecodeB64Payload()
	must(s.t, err)
	content, err := entity.VerificationContent()
	must(s.t, err)
	material := &protobundle.VerificationMaterial{
		Content: &protobundle.VerificationMaterial_Certificate{
			Certificate: &protocommon.X509Certificate{RawBytes: content.Certificate().Raw},
		},
		TlogEntries:               []*protorekor.TransparencyLogEntry{s.entry(entity)},
		TimestampVerificationData: &protobundle.TimestampVerificationData{},
	}
	for _, stamp := range stamps {
		material.TimestampVerificationData.Rfc3161Timestamps = append(material.TimestampVerificationData.Rfc3161Timestamps,
			&protocommon.RFC3161SignedTimestamp{SignedTimestamp: stamp})
	}
	text, err := protojson.Marshal(&protobundle.Bundle{
		MediaType:            "application/vnd.dev.sigstore.bundle.v0.3+json",
		VerificationMaterial: material,
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload: data, PayloadType: envelope.PayloadType,
			Signatures: []*protodsse.Signature{{Sig: signature.Signature()}},
		}},
	})
	must(s.t, err)
	return text
}

// keyless verifies by identities of a Sigstore with this trusted root.
func keyless(t *testing.T, trusted []byte, wanted ...CertificateIdentity) (Verifier, error) {
	t.Helper()
	return New(t.Context(), reader(secret(rootName, map[string][]byte{trustedRootKey: trusted})), namespace,
		Spec{Provider: "cosign", Identities: wanted, TrustedRootSecretName: rootName}, Options{})
}
