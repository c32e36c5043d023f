package imagepolicy

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/signature"
)

// trust is whose signatures count, as it is in one run.
type trust struct {
	id       string
	verifier signature.Verifier
}

// verdictKey names a verdict so that it ends with what it was based on: the spec,
// and the Secrets in their present version.
func (s *search) verdictKey(ctx context.Context, digest string) (verdictKey, error) {
	if s.trust == nil {
		id, err := s.trustID(ctx)
		if err != nil {
			return verdictKey{}, err
		}
		s.trust = &trust{id: id}
	}
	return verdictKey{image: s.tags.Image(), digest: digest, trust: s.trust.id}, nil
}

func (s *search) trustID(ctx context.Context) (string, error) {
	verify := s.policy.Spec.Verify
	id, err := json.Marshal(verify)
	if err != nil {
		return "", fmt.Errorf("reading spec.verify: %w", err)
	}
	for _, ref := range []*meta.LocalObjectReference{verify.SecretRef, verify.TrustedRootSecretRef} {
		if ref == nil {
			continue
		}
		var secret corev1.Secret
		key := types.NamespacedName{Namespace: s.policy.Namespace, Name: ref.Name}
		if err := s.Secrets.Get(ctx, key, &secret); err != nil && !apierrors.IsNotFound(err) {
			return "", fmt.Errorf("reading Secret %s: %w", key, err)
		}
		id = fmt.Appendf(id, " %s/%s", secret.UID, secret.ResourceVersion)
	}
	return s.policy.Namespace + " " + string(id), nil
}

// verifier reads what to trust when the first candidate needs it.
func (s *search) verifier(ctx context.Context) (signature.Verifier, error) {
	if s.trust.verifier != nil {
		return s.trust.verifier, nil
	}
	access, err := s.reach(ctx)
	if err != nil {
		return nil, err
	}
	s.trust.verifier, err = signature.New(ctx, s.Secrets, s.policy.Namespace, trusting(s.policy.Spec.Verify), signature.Options{
		Remote: s.Registry.Remote(s.from.target.Image(access)), PublicGood: s.PublicGood,
	})
	if err != nil {
		return nil, fmt.Errorf("spec.verify: %w", err)
	}
	return s.trust.verifier, nil
}

func trusting(verify *imagev1.Verification) signature.Spec {
	spec := signature.Spec{Provider: verify.Provider}
	if verify.SecretRef != nil {
		spec.SecretName = verify.SecretRef.Name
	}
	if verify.TrustedRootSecretRef != nil {
		spec.TrustedRootSecretName = verify.TrustedRootSecretRef.Name
	}
	for _, match := range verify.MatchOIDCIdentity {
		spec.Identities = append(spec.Identities, signature.Identity{Issuer: match.Issuer, Subject: match.Subject})
	}
	return spec
}

// requested reports whether somebody asks for a reconcile, and so for a look at
// the registry.
func (s *search) requested() bool {
	at, ok := meta.ReconcileAnnotationValue(s.policy.Annotations)
	return ok && at != s.policy.Status.LastHandledReconcileAt
}
