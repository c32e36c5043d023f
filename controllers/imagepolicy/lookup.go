// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/shorten"
	"github.com/sluice-cd/sluice/internal/signature"
	"github.com/sluice-cd/sluice/scan"
)

// lookUps are the answers of one run: those that the caches have, and so many that the
// registry is asked for.
type lookUps struct {
	r       *Reconciler
	in      *inputs
	left    int
	started resumableSearch
	ages    ages // of the policy's own status

	image *registry.Image // once it is needed
	trust *trustedSigners
}

// trustedSigners is whose signatures count, as it is in one run.
type trustedSigners struct {
	id       string
	verifier signature.Verifier
}

// ask makes one look-up of the run in the background, so that the policies of a registry
// that hangs do not hold up those of all others. The run that follows a late one asks
// for the same, and finds it done.
func ask[T any](ctx context.Context, l *lookUps, what string, call func(context.Context) (T, error)) (T, error) {
	var none T
	if l.left == 0 {
		return none, errBound
	}
	l.left--
	request := background.Request[types.NamespacedName]{
		Key: l.in.key(), Namespace: l.in.policy.Namespace, Host: l.in.target.Repository.RegistryStr(),
		Input: l.in.revision() + " " + what, Now: l.in.now,
	}
	got, err := l.r.caches().lookUps.Run(ctx, request, func(ctx context.Context) (any, error) { return call(ctx) })
	if err != nil {
		return none, err
	}
	found, _ := got.(T)
	return found, nil
}

// reach reads the repository's credentials once.
func (l *lookUps) reach(ctx context.Context) (registry.Image, error) {
	if l.image == nil {
		access, err := l.r.Registry.Access(ctx, l.r.Secrets, scan.RegistrySpec(l.in.repo))
		if err != nil {
			return registry.Image{}, err
		}
		image := l.in.target.Image(access)
		l.image = &image
	}
	return *l.image, nil
}

// Digest implements imageReader. The digests of one search are those of its first run.
func (l *lookUps) Digest(ctx context.Context, tag string) (string, error) {
	if digest, ok := l.started.digests[tag]; ok {
		return digest, nil
	}
	image, err := l.reach(ctx)
	if err != nil {
		return "", err
	}
	digest, err := ask(ctx, l, "digest of "+tag, func(ctx context.Context) (string, error) {
		return l.r.Registry.Digest(ctx, image, tag)
	})
	if err != nil {
		return "", err
	}
	l.started.digests[tag] = digest
	return digest, nil
}

// Platforms implements imageReader.
func (l *lookUps) Platforms(ctx context.Context, digest string) (registry.Platforms, error) {
	key := imageDigest{l.in.tags.Image(), digest}
	if had, ok := l.r.caches().platforms.Get(key); ok {
		return had, nil
	}
	image, err := l.reach(ctx)
	if err != nil {
		return registry.Platforms{}, err
	}
	had, err := ask(ctx, l, "platforms of "+digest, func(ctx context.Context) (registry.Platforms, error) {
		return l.r.Registry.Platforms(ctx, image, digest)
	})
	if err == nil {
		l.r.caches().platforms.Put(key, had)
	}
	return had, err
}

// FirstSeen implements imageReader.
func (l *lookUps) FirstSeen(tag string) (time.Time, bool) {
	own := l.ages.firstSeen(tag)
	return earlier(l.in.tags.FirstSeen(tag), own), !own.IsZero() || l.r.Store.HasDigest(l.in.tags, tag)
}

// FirstSeenWith implements imageReader.
func (l *lookUps) FirstSeenWith(tag, digest string) time.Time {
	if l.ages.firstSeen(tag).IsZero() {
		return l.r.Store.SeenIn(l.in.tags, tag, digest)
	}
	return earlier(l.r.Store.Seen(l.in.tags.Image(), tag, digest), l.ages[age{tag, digest}])
}

// Signature implements imageReader.
func (l *lookUps) Signature(ctx context.Context, digest string) (signatureResult, error) {
	if l.trust == nil {
		id, err := l.trustID(ctx)
		if err != nil {
			return signatureResult{}, err
		}
		l.trust = &trustedSigners{id: id}
	}
	key := signatureKey{image: l.in.tags.Image(), digest: digest, trust: l.trust.id}
	known, _ := l.r.caches().signatures.Get(key)
	if known.holds(l.in.now, l.started.requested) {
		return known, nil
	}
	found, err := l.verify(ctx, digest, known)
	if err == nil {
		l.r.caches().signatures.Put(key, found)
	}
	return found, err
}

func (l *lookUps) verify(ctx context.Context, digest string, before signatureResult) (signatureResult, error) {
	ref := l.in.target.Repository.Digest(digest)
	evidence, err := ask(ctx, l, "signatures of "+digest+" for "+l.trust.id, func(ctx context.Context) (signature.Evidence, error) {
		verifier, err := l.verifier(ctx)
		if err != nil {
			return signature.Evidence{}, err
		}
		return verifier.Verify(ctx, ref)
	})
	switch {
	case errors.Is(err, signature.ErrUnverified):
		said := strings.Replace(err.Error(), " of "+ref.String(), "", 1) // the candidate is at hand
		return before.stillMissing(l.in.now, shorten.Bytes(said, maxWhy, shorten.Dots)), nil
	case errors.Is(err, background.ErrPending), errors.Is(err, errBound), errors.Is(err, signature.ErrConfig):
		return signatureResult{}, err
	case err != nil:
		return signatureResult{}, fmt.Errorf("verifying %s: %w", ref, err)
	}
	return signatureResult{known: true, signer: evidence.String()}, nil
}

// trustID names whose signatures count so that a verdict ends with what it was based
// on: the spec, and the Secrets in their present version.
func (l *lookUps) trustID(ctx context.Context) (string, error) {
	verify := l.in.policy.Spec.Verify
	id, err := json.Marshal(verify)
	if err != nil {
		return "", fmt.Errorf("reading spec.verify: %w", err)
	}
	for _, ref := range []*meta.LocalObjectReference{verify.SecretRef, verify.TrustedRootSecretRef} {
		if ref == nil {
			continue
		}
		var secret corev1.Secret
		key := types.NamespacedName{Namespace: l.in.policy.Namespace, Name: ref.Name}
		if err := l.r.Secrets.Get(ctx, key, &secret); err != nil && !apierrors.IsNotFound(err) {
			return "", fmt.Errorf("reading Secret %s: %w", key, err)
		}
		id = fmt.Appendf(id, " %s/%s", secret.UID, secret.ResourceVersion)
	}
	return l.in.policy.Namespace + " " + string(id), nil
}

// verifier reads what to trust when the first candidate needs it.
func (l *lookUps) verifier(ctx context.Context) (signature.Verifier, error) {
	if l.trust.verifier != nil {
		return l.trust.verifier, nil
	}
	image, err := l.reach(ctx)
	if err != nil {
		return nil, err
	}
	verify := l.in.policy.Spec.Verify
	spec := signature.SpecOf(verify.Provider, verify.SecretRef, verify.TrustedRootSecretRef, verify.MatchOIDCIdentity)
	l.trust.verifier, err = signature.New(ctx, l.r.Secrets, l.in.policy.Namespace, spec, signature.Options{
		Remote: l.r.Registry.Remote(image), PublicGood: l.r.PublicGood, Guard: l.r.Guard,
	})
	if err != nil {
		return nil, fmt.Errorf("spec.verify: %w", err)
	}
	return l.trust.verifier, nil
}
