// SPDX-License-Identifier: Apache-2.0

// Package signature verifies the signatures of images, by cosign and by notation.
//
// A signature is not in the image but beside it, in the same repository, and it
// names the image by digest. So verifying is finding signatures and checking each:
//
//	                        cosign                                    notation
//	what to trust    keys `*.pub` | a Sigstore root + identities      `*.crt`, `*.pem` + trustpolicy.json
//	where to look    referrers (bundles, and the layout before)       referrers
//	                 tag sha256-<hex>.sig
//	what must hold   the bytes are signed by what is trusted, and they name this digest
//
// Referrers are listed by the registry's API for them, or where it has none, by
// the tag sha256-<hex> that clients keep in its place. One signature that counts
// is enough; the others do not matter, since anybody who may push may add one.
// If none counts, the error has the reason for each. An image without signatures and
// a registry that does not answer are different things: only the former is
// [ErrUnverified].
//
// Everything that is read comes from the registry, which is not trusted: what is
// looked at is bounded in number, size and time. Nothing else is contacted, with
// two exceptions: the public Sigstore root (see [PublicGood]), where neither keys
// nor a root of one's own are given, and the servers that a certificate names for
// its revocation, where notation's trust policy trusts the certificate and wants
// that checked.
package signature

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/outbound"
)

var (
	// ErrUnverified means that the image carries no signature that counts. It
	// is not an outage: trying again helps only after the image was signed.
	ErrUnverified = errors.New("no valid signature")
	// ErrConfig means that the spec or a Secret it names cannot be used. Errors
	// that only a change of the spec can mend are also terminal errors.
	ErrConfig = errors.New("verification is not configured correctly")
)

// Verifier verifies images by the keys and identities that it trusts, which are read from
// Secrets once, when it is made. It is safe for concurrent use.
type Verifier interface {
	// Verify returns the evidence for the signature of ref that counts. The
	// error is [ErrUnverified] if there is none; any other error means that it
	// could not be found out. A ref made with name.Insecure is read by HTTP.
	Verify(ctx context.Context, ref name.Digest) (Evidence, error)
}

// Evidence is why an image counts as signed.
type Evidence struct {
	// Signer is who signed: `key prod.pub`, or the identity of a certificate.
	Signer string
	// Signature is where the signature was found.
	Signature string
	// Warnings say what the trust policy lets pass although it did not hold, and that anybody counts.
	Warnings []string
}

// String is a clause for messages: "signed by key prod.pub".
func (e Evidence) String() string {
	if e.Signer == "" {
		return strings.Join(e.Warnings, "; ")
	}
	return strings.Join(append([]string{"signed by " + e.Signer}, e.Warnings...), "; ")
}

// Spec says whose signature an image must carry, as spec.verify of an
// OCIRepository does.
type Spec struct {
	// Provider is the technology: `cosign` or `notation`.
	Provider string
	// SecretName names the Secret with what to trust. Without it, cosign
	// verifies keyless signatures.
	SecretName string
	// Identities are who may have signed keyless; one match is enough.
	Identities []CertificateIdentity
	// AnyIdentity lets everybody count who has a certificate, where there are no Identities:
	// anybody gets one from the public Sigstore. Otherwise that is refused.
	AnyIdentity bool
	// TrustedRootSecretName names the Secret with `trusted_root.json`, for
	// Sigstore infrastructure of one's own.
	TrustedRootSecretName string
}

// CertificateIdentity matches signing certificates. Both are regular expressions, not
// anchored: `^https://example\.com$` matches only that.
type CertificateIdentity struct {
	Issuer  string
	Subject string
}

// SpecOf is the spec.verify of an OCIRepository or of an ImagePolicy, which have the same
// fields but each a type of its own for identities.
func SpecOf[M sourcev1.OIDCIdentityMatch | imagev1.OIDCIdentityMatch](
	provider string, secretRef, trustedRootSecretRef *meta.LocalObjectReference, matches []M,
) Spec {
	spec := Spec{Provider: provider}
	if secretRef != nil {
		spec.SecretName = secretRef.Name
	}
	if trustedRootSecretRef != nil {
		spec.TrustedRootSecretName = trustedRootSecretRef.Name
	}
	for _, match := range matches {
		spec.Identities = append(spec.Identities, CertificateIdentity(match))
	}
	return spec
}

// Options are how the registry is reached, and the bounds of a verification.
type Options struct {
	// Remote is how the registry is reached: transport and credentials.
	Remote []remote.Option
	// PublicGood is the root for keyless signatures of the public Sigstore.
	// Without one those are refused.
	PublicGood *PublicGood
	// Guard decides where certificates of signers may have looked up whether they are
	// revoked; nil lets them be anywhere.
	Guard *outbound.Guard
	// Timeout bounds one verification. 0 means 30 seconds.
	Timeout time.Duration
}

// defaultTimeout is enough for a slow registry and a dozen small requests.
const defaultTimeout = 30 * time.Second

// providers has every technology. Each reads what it trusts from Secrets.
var providers = map[string]func(context.Context, request) (Verifier, error){
	"cosign":   newCosign,
	"notation": newNotation,
}

// request is what a provider is made from.
type request struct {
	spec    Spec
	opts    Options
	secrets secrets
}

// New returns the verifier that spec asks for, with what it trusts read from
// Secrets of the namespace. Give it a reader without a cache: a cache would hold
// every Secret of the cluster.
func New(ctx context.Context, reader client.Reader, namespace string, spec Spec, opts Options) (Verifier, error) {
	make, ok := providers[spec.Provider]
	if !ok {
		known := strings.Join(slices.Sorted(maps.Keys(providers)), ", ")
		return nil, refuseSpec("provider %q is unknown, there are %s", spec.Provider, known)
	}
	if opts.Timeout == 0 {
		opts.Timeout = defaultTimeout
	}
	return make(ctx, request{spec: spec, opts: opts, secrets: secrets{reader: reader, namespace: namespace}})
}

// refuseSpec is an error that only a change of the spec can mend.
func refuseSpec(format string, args ...any) error {
	return reconcile.TerminalError(fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...))
}
