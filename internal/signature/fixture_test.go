// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/sigstore/cosign/v3/pkg/oci"
	"github.com/sigstore/cosign/v3/pkg/oci/mutate"
	ociremote "github.com/sigstore/cosign/v3/pkg/oci/remote"
	"github.com/sigstore/cosign/v3/pkg/oci/static"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore/pkg/signature/payload"
	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-cd/sluice/internal/signature/signaturetest"
	"github.com/sluice-cd/sluice/test/make"
)

const (
	namespace    = "apps"
	cosignSign   = signaturetest.CosignSign
	identity     = signaturetest.Identity
	issuer       = signaturetest.Issuer
	secretName   = "trusted"
	rootName     = "root"
	intotoFormat = "application/vnd.in-toto+json"
)

// host is a registry: with or without the referrers API, and behind whatever
// handler a case wants.
type host struct {
	t      *testing.T
	server *httptest.Server
	opts   []remote.Option
}

type feature func(http.Handler) http.Handler

func newHost(t *testing.T, referrers bool, features ...feature) *host {
	t.Helper()
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(referrers))
	for _, f := range features {
		handler = f(handler)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &host{t: t, server: server}
}

// image pushes a new image to a repository of the registry.
func (h *host) image() name.Digest {
	h.t.Helper()
	img, err := random.Image(64, 1)
	must(h.t, err)
	hash, err := img.Digest()
	must(h.t, err)
	repo, err := name.NewRepository(strings.TrimPrefix(h.server.URL, "http://")+"/team/app", name.Insecure)
	must(h.t, err)
	must(h.t, remote.Write(repo.Digest(hash.String()), img, h.opts...))
	return repo.Digest(hash.String())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// keyPair is a key to sign with, and the file for the Secret.
type keyPair struct {
	*sign.EphemeralKeypair
	pub []byte
}

func newKey(t *testing.T, algorithm protocommon.PublicKeyDetails) keyPair {
	t.Helper()
	pair, err := sign.NewEphemeralKeypair(&sign.EphemeralKeypairOptions{Algorithm: algorithm})
	must(t, err)
	text, err := pair.GetPublicKeyPem()
	must(t, err)
	return keyPair{EphemeralKeypair: pair, pub: []byte(text)}
}

func (k keyPair) sign(t *testing.T, data []byte) []byte {
	t.Helper()
	sig, _, err := k.SignData(t.Context(), data)
	must(t, err)
	return sig
}

// simple is a signature in the layout before bundles, by this key.
func (k keyPair) simple(t *testing.T, image name.Digest) oci.Signature {
	t.Helper()
	data, err := payload.Cosign{Image: image}.MarshalJSON()
	must(t, err)
	return k.over(t, data)
}

// over signs a payload, whatever it says.
func (k keyPair) over(t *testing.T, data []byte) oci.Signature {
	t.Helper()
	return simpleSignature(t, data, k.sign(t, data))
}

func simpleSignature(t *testing.T, data, sig []byte, opts ...static.Option) oci.Signature {
	t.Helper()
	one, err := static.NewSignature(data, base64.StdEncoding.EncodeToString(sig), opts...)
	must(t, err)
	return one
}

// tag adds signatures under the tag `.sig`, as cosign 2 does.
func (h *host) tag(image name.Digest, sigs ...oci.Signature) {
	h.t.Helper()
	must(h.t, ociremote.WriteSignatures(image.Repository, h.attach(image, sigs), ociremote.WithRemoteOptions(h.opts...)))
}

// refer adds signatures of the same layout as a referrer, as cosign 2 does with
// --registry-referrers-mode=oci-1-1.
func (h *host) refer(image name.Digest, sigs ...oci.Signature) {
	h.t.Helper()
	must(h.t, ociremote.WriteSignaturesExperimentalOCI(image, h.attach(image, sigs),
		ociremote.WithRemoteOptions(h.opts...), ociremote.WithNameOptions(name.Insecure)))
}

func (h *host) attach(image name.Digest, sigs []oci.Signature) oci.SignedEntity {
	h.t.Helper()
	entity, err := ociremote.SignedEntity(image, ociremote.WithRemoteOptions(h.opts...))
	must(h.t, err)
	for _, sig := range sigs {
		entity, err = mutate.AttachSignatureToEntity(entity, sig)
		must(h.t, err)
	}
	return entity
}

// bundle is a signature as cosign 3 makes it, by this key.
func (k keyPair) bundle(t *testing.T, data []byte) []byte {
	t.Helper()
	b, err := sign.Bundle(&sign.DSSEData{Data: data, PayloadType: intotoFormat}, k, sign.BundleOptions{})
	must(t, err)
	text, err := protojson.Marshal(b)
	must(t, err)
	return text
}

// store adds a bundle as a referrer, as cosign 3 does.
func (h *host) store(image name.Digest, bundle []byte) {
	h.t.Helper()
	must(h.t, ociremote.WriteAttestationNewBundleFormat(image, bundle, cosignSign,
		ociremote.WithRemoteOptions(h.opts...), ociremote.WithNameOptions(name.Insecure)))
}

func reader(objects ...client.Object) client.Reader {
	return fake.NewClientBuilder().WithObjects(objects...).Build()
}

// byKeys verifies by public keys: a Secret of these files.
func (h *host) byKeys(files map[string][]byte) Verifier {
	h.t.Helper()
	v, err := New(h.t.Context(), reader(make.Secret(namespace, secretName, files)), namespace,
		Spec{Provider: "cosign", SecretName: secretName}, Options{Remote: h.opts})
	must(h.t, err)
	return v
}

func accept(ctx context.Context, t *testing.T, v Verifier, image name.Digest) Evidence {
	t.Helper()
	evidence, err := v.Verify(ctx, image)
	must(t, err)
	return evidence
}

// copyReferrers makes the referrers of one image say that they are about
// another one.
func (h *host) copyReferrers(from, to name.Digest) {
	h.t.Helper()
	index, err := remote.Referrers(from, h.opts...)
	must(h.t, err)
	list, err := index.IndexManifest()
	must(h.t, err)
	subject, err := remote.Head(to, h.opts...)
	must(h.t, err)
	for _, desc := range list.Manifests {
		got, err := remote.Get(from.Context().Digest(desc.Digest.String()), h.opts...)
		must(h.t, err)
		fields := map[string]any{}
		must(h.t, json.Unmarshal(got.Manifest, &fields))
		fields["subject"] = subject
		h.put(to, fields)
	}
}

// put adds a manifest to the repository of an image.
func (h *host) put(image name.Digest, fields map[string]any) {
	h.t.Helper()
	data, err := json.Marshal(fields)
	must(h.t, err)
	m := rawManifest(data)
	must(h.t, remote.Put(image.Context().Digest(m.digest()), m, h.opts...))
}

// rawManifest is an image manifest as it is.
type rawManifest []byte

func (m rawManifest) RawManifest() ([]byte, error)        { return m, nil }
func (m rawManifest) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }
func (m rawManifest) digest() string                      { return fmt.Sprintf("sha256:%x", sha256.Sum256(m)) }

func parsePolicy(t *testing.T, text []byte) *trustpolicy.Document {
	t.Helper()
	var policy trustpolicy.Document
	must(t, json.Unmarshal(text, &policy))
	return &policy
}
