// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// How cosign marks what it writes, in
// https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md and
// https://github.com/sigstore/cosign/blob/main/specs/BUNDLE_SPEC.md
const (
	bundleType        = "application/vnd.dev.sigstore.bundle" // prefix: versions follow
	simpleSigningType = "application/vnd.dev.cosign.simplesigning.v1+json"
	signatureType     = "application/vnd.dev.cosign.artifact.sig.v1+json"
)

// vagueTypes are what lists of referrers say of a manifest whose artifactType
// they do not pass on: the type of its config, or nothing.
var vagueTypes = []string{
	"",
	"application/vnd.oci.empty.v1+json",
	"application/vnd.oci.image.config.v1+json",
	"application/vnd.docker.container.image.v1+json",
}

// signed is one signature, not verified yet.
type signed struct {
	location string
	// byKey and byCert are the signature as one by a key, and as one with a
	// certificate. They differ only in the layout that can be both.
	byKey, byCert verify.SignedEntity
	// artifact is what the signature must be over. A policy uses it up.
	artifact func() verify.ArtifactPolicyOption
	// claim checks that what is signed says what it must.
	claim func(*verify.VerificationResult) error
}

// cosignSignatures yields all signatures of the image, bundles and the layout
// before them, and errors in place of what cannot be read. `where` is always
// set. What is too much to look at is counted.
func (r repository) cosignSignatures(seen *findings) iter.Seq2[signed, error] {
	return func(yield func(signed, error) bool) {
		remaining := maxSignatures
		for place, err := range r.cosignManifests(seen) {
			if err != nil {
				if !yield(signed{location: place.location}, err) {
					return
				}
				continue
			}
			for _, desc := range slices.Backward(place.manifest.Layers) {
				if !isSignature(desc) {
					continue
				}
				if remaining--; remaining < 0 {
					seen.skipped++
					continue
				}
				s, err := r.cosignSignature(desc)
				s.location = fmt.Sprintf("%s, layer %s", place.location, abbreviate(desc.Digest))
				if !yield(s, err) {
					return
				}
			}
		}
	}
}

// signatureManifest is a manifest that may hold signatures.
type signatureManifest struct {
	location string
	manifest manifest
}

// cosignManifests yields the manifests that may hold signatures: referrers,
// where cosign writes since version 3, then the tag where it wrote before.
func (r repository) cosignManifests(seen *findings) iter.Seq2[signatureManifest, error] {
	return func(yield func(signatureManifest, error) bool) {
		list, err := r.referrers()
		if err != nil && !yield(signatureManifest{location: "referrers"}, err) {
			return
		}
		remaining := maxSignatures
		for _, desc := range list {
			if !mayBeCosign(desc.ArtifactType) {
				continue
			}
			if remaining--; remaining < 0 {
				seen.skipped++
				continue
			}
			m, err := r.manifest(r.ref.Context().Digest(desc.Digest.String()))
			if !yield(signatureManifest{location: "referrer " + abbreviate(desc.Digest), manifest: m}, err) {
				return
			}
		}
		tag := strings.Replace(r.ref.DigestStr(), ":", "-", 1) + ".sig"
		m, err := r.manifest(r.ref.Context().Tag(tag))
		if errors.Is(err, errMissing) {
			return
		}
		yield(signatureManifest{location: "tag " + abbreviateTag(tag), manifest: m}, err)
	}
}

func mayBeCosign(artifactType string) bool {
	return strings.HasPrefix(artifactType, bundleType) || artifactType == signatureType ||
		slices.Contains(vagueTypes, artifactType)
}

func isSignature(layer v1.Descriptor) bool {
	return strings.HasPrefix(string(layer.MediaType), bundleType) || layer.MediaType == simpleSigningType
}

// cosignSignature reads the signature in a layer.
func (r repository) cosignSignature(desc v1.Descriptor) (signed, error) {
	data, err := r.layer(desc)
	if err != nil {
		return signed{}, err
	}
	if desc.MediaType == simpleSigningType {
		return parseSimpleSigning(data, desc.Annotations, r.ref.DigestStr())
	}
	return parseBundle(data, r.ref.DigestStr())
}

// parseBundle reads what cosign 3 writes: an in-toto statement about the image,
// in an envelope with its signature and proofs.
func parseBundle(data []byte, imageDigest string) (signed, error) {
	var b bundle.Bundle
	if err := b.UnmarshalJSON(data); err != nil {
		return signed{}, unreadable{fmt.Errorf("parsing bundle: %w", err)}
	}
	algorithm, digest, _ := strings.Cut(imageDigest, ":")
	raw, err := hex.DecodeString(digest)
	if err != nil {
		return signed{}, unreadable{fmt.Errorf("digest of the image: %w", err)}
	}
	return signed{
		byKey:    &b,
		byCert:   &b,
		artifact: func() verify.ArtifactPolicyOption { return verify.WithArtifactDigest(algorithm, raw) },
		claim:    claimsAuthorship,
	}, nil
}

// authorship are the types of statements that only who made or released an image
// makes about it: that it is signed, and how it was built.
var authorship = []string{"https://sigstore.dev/cosign/sign/v1", "https://slsa.dev/provenance/"}

// claimsAuthorship refuses statements of other types. The holder of the key may
// have stated that the image is full of holes.
func claimsAuthorship(result *verify.VerificationResult) error {
	predicate := result.Statement.GetPredicateType()
	if predicate == "" {
		return errors.New("it is not a statement about an image")
	}
	if !slices.ContainsFunc(authorship, func(known string) bool { return strings.HasPrefix(predicate, known) }) {
		return fmt.Errorf("it is no signature but a statement of type %q", predicate)
	}
	return nil
}

// abbreviate makes digests fit into messages.
func abbreviate(digest v1.Hash) string {
	return digest.Algorithm + ":" + digest.Hex[:min(12, len(digest.Hex))]
}

// abbreviateTag makes sha256-0123456789abcdef....sig fit into messages.
func abbreviateTag(tag string) string {
	const kept = len("sha256-") + 12
	return tag[:min(kept, len(tag))] + "...sig"
}
