// SPDX-License-Identifier: Apache-2.0

package signaturetest

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	cbundle "github.com/sigstore/cosign/v3/pkg/cosign/bundle"
	"github.com/sigstore/cosign/v3/pkg/oci"
	ociremote "github.com/sigstore/cosign/v3/pkg/oci/remote"
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
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
)

const (
	// Identity signs without a key.
	Identity = "https://github.com/team/app/.github/workflows/release.yml@refs/heads/main"
	// Issuer says that [Identity] is who it says.
	Issuer = "https://token.actions.githubusercontent.com"
	// CosignSign is the predicate of statements that sign.
	CosignSign = "https://sigstore.dev/cosign/sign/v1"
)

// Sigstore is a Sigstore of one's own: Fulcio, Rekor, a timestamping authority.
type Sigstore struct {
	t testing.TB
	*ca.VirtualSigstore
}

// NewSigstore is one that nobody trusts yet.
func NewSigstore(t testing.TB) Sigstore {
	t.Helper()
	virtual, err := ca.NewVirtualSigstore()
	must(t, err)
	return Sigstore{t, virtual}
}

// RootParts are the parts of a trusted root.
type RootParts struct {
	Certificates, Signatures map[string]*root.TransparencyLog
	Timestamps               []root.TimestampingAuthority
}

// Trusted is the trusted root of this Sigstore, with some parts changed.
func (s Sigstore) Trusted(change func(*RootParts)) []byte {
	s.t.Helper()
	parts := RootParts{
		Signatures: s.Logs(s.RekorLogs()),
		Timestamps: s.TimestampingAuthorities(),
	}
	change(&parts)
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01, s.FulcioCertificateAuthorities(),
		parts.Certificates, parts.Timestamps, parts.Signatures)
	must(s.t, err)
	text, err := trusted.MarshalJSON()
	must(s.t, err)
	return text
}

// Whole changes nothing of a trusted root.
func Whole(*RootParts) {}

// Logs gives logs their IDs as bytes, as a trusted root has them.
func (s Sigstore) Logs(from map[string]*root.TransparencyLog) map[string]*root.TransparencyLog {
	s.t.Helper()
	logs := maps.Clone(from)
	for id, one := range logs {
		raw, err := hex.DecodeString(id)
		must(s.t, err)
		one.ID = raw
	}
	return logs
}

// Simple is a keyless signature in the layout before bundles.
func (s Sigstore) Simple(image name.Digest, who string) oci.Signature {
	s.t.Helper()
	data, err := payload.Cosign{Image: image}.MarshalJSON()
	must(s.t, err)
	return s.Over(data, who)
}

// Over signs a payload keyless, whatever it says.
func (s Sigstore) Over(data []byte, who string, opts ...static.Option) oci.Signature {
	s.t.Helper()
	entity, err := s.SignAtTime(who, Issuer, data, clock.RealClock{}.Now())
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
	one, err := static.NewSignature(data, base64.StdEncoding.EncodeToString(content.Signature()), opts...)
	must(s.t, err)
	return one
}

func (s Sigstore) certificate(entity *ca.TestEntity) []byte {
	s.t.Helper()
	content, err := entity.VerificationContent()
	must(s.t, err)
	text, err := cryptoutils.MarshalCertificateToPEM(content.Certificate())
	must(s.t, err)
	return text
}

// entry is the log entry of an entity, with the promise that the fixture keeps
// to itself.
func (s Sigstore) entry(entity *ca.TestEntity) *protorekor.TransparencyLogEntry {
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

// Bundle is a keyless signature as cosign 3 makes it with Rekor of version 1.
func (s Sigstore) Bundle(data []byte, who string) []byte {
	s.t.Helper()
	entity, err := s.AttestAtTime(who, Issuer, data, clock.RealClock{}.Now(), true)
	must(s.t, err)
	return s.pack(entity, nil)
}

// BundleV2 is the same with Rekor of version 2, which tells no time: that comes
// from the timestamping authority.
func (s Sigstore) BundleV2(data []byte, who string) []byte {
	s.t.Helper()
	entity, err := s.AttestAtTimeHashedRekordV2(who, Issuer, data, time.Unix(0, 0))
	must(s.t, err)
	stamps, err := entity.Timestamps()
	must(s.t, err)
	return s.pack(entity, stamps)
}

func (s Sigstore) pack(entity *ca.TestEntity, stamps [][]byte) []byte {
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

// Statement is what a bundle of cosign 3 signs.
func Statement(t testing.TB, image name.Digest, predicate string) []byte {
	t.Helper()
	algorithm, digest, _ := strings.Cut(image.DigestStr(), ":")
	data, err := json.Marshal(map[string]any{
		"_type":         "https://in-toto.io/Statement/v1",
		"subject":       []any{map[string]any{"digest": map[string]string{algorithm: digest}}},
		"predicateType": predicate,
		"predicate":     map[string]any{},
	})
	must(t, err)
	return data
}

// Secret is one named root, which trusts this Sigstore alone.
func (s Sigstore) Secret(namespace string) *corev1.Secret {
	s.t.Helper()
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "root"},
		Data:       map[string][]byte{"trusted_root.json": s.Trusted(Whole)},
	}
}

// Sign leaves a keyless signature of a digest in a repository, as a bundle that refers to it, as cosign 3 does.
func (s Sigstore) Sign(t testing.TB, repository, digest, who string) {
	t.Helper()
	image, err := name.NewDigest(repository+"@"+digest, name.Insecure)
	must(t, err)
	bundle := s.Bundle(Statement(t, image, CosignSign), who)
	must(t, ociremote.WriteAttestationNewBundleFormat(image, bundle, CosignSign, ociremote.WithNameOptions(name.Insecure)))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
