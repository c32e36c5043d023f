// SPDX-License-Identifier: Apache-2.0

package ocirepository

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/signature"
	"github.com/sluice-cd/sluice/source"
)

// verification is what came of one.
type verification struct {
	// trust is by what it was verified.
	trust string
	// unverified says why nobody's signature was found, where the trust policy of notation wants none.
	unverified string
}

// verify reports whether what was seen carries the signature that spec.verify wants, or may do without, which unverified
// says then. That is found out once for a digest and what is trusted, and again when either changes.
func (r *Reconciler) verify(ctx context.Context, obj *sourcev1.OCIRepository, seen observed) (unverified string, err error) {
	if obj.Spec.Verify == nil {
		r.verified.Delete(client.ObjectKeyFromObject(obj))
		reconciler.RemoveCondition(obj, sourcev1.SourceVerifiedCondition)
		return "", nil
	}
	trust, err := r.trust(ctx, obj, seen)
	if err != nil {
		return "", err
	}
	key := client.ObjectKeyFromObject(obj)
	known := r.verified.Get(key)
	isTrue := apimeta.IsStatusConditionTrue(obj.Status.Conditions, sourcev1.SourceVerifiedCondition)
	if known.trust == trust && isTrue == (known.unverified == "") {
		return known.unverified, nil
	}
	evidence, err := r.verifySignature(ctx, obj, seen)
	if err != nil {
		r.verified.Delete(key)
		err = fmt.Errorf("failed to verify the signature using provider '%s': %w", technology(obj.Spec.Verify), err)
		return "", reconciler.WithCondition(sourcev1.SourceVerifiedCondition, sourcev1.VerificationError, err)
	}
	unverified = r.recordEvidence(obj, seen, evidence)
	r.verified.Put(key, verification{trust: trust, unverified: unverified})
	return unverified, nil
}

// recordEvidence says in SourceVerified that somebody who is trusted has signed. If nobody has, which the trust policy of
// notation may let pass, there is no such condition, as in source-controller, and the reason is returned.
func (r *Reconciler) recordEvidence(obj *sourcev1.OCIRepository, seen observed, evidence signature.Evidence) (unverified string) {
	warnings := strings.Join(evidence.Warnings, "; ")
	if evidence.Signer == "" {
		reconciler.RemoveCondition(obj, sourcev1.SourceVerifiedCondition)
		return cmp.Or(warnings, "the signature names nobody")
	}
	message := "verified signature of revision " + seen.revision()
	if warnings != "" {
		message += "; " + warnings
	}
	source.SetCondition(obj, r.Clock.Now(), sourcev1.SourceVerifiedCondition, meta.SucceededReason, message)
	return ""
}

// technology names how it is verified, as source-controller does.
func technology(verify *sourcev1.OCIRepositoryVerification) string {
	if verify.Provider == "cosign" && verify.SecretRef == nil {
		return "cosign keyless"
	}
	return verify.Provider
}

// trust names a revision and what its signature is verified by: the spec, and the Secrets
// in their present version.
func (r *Reconciler) trust(ctx context.Context, obj *sourcev1.OCIRepository, seen observed) (string, error) {
	id, err := json.Marshal(obj.Spec.Verify)
	if err != nil {
		return "", fmt.Errorf("reading spec.verify: %w", err)
	}
	for _, ref := range []*meta.LocalObjectReference{obj.Spec.Verify.SecretRef, obj.Spec.Verify.TrustedRootSecretRef} {
		if ref == nil {
			continue
		}
		secret, err := source.SecretVersion(ctx, r.Client, types.NamespacedName{Namespace: obj.Namespace, Name: ref.Name})
		if err != nil {
			return "", err
		}
		id = fmt.Appendf(id, " %s", secret)
	}
	return fmt.Sprintf("%s %s %s", seen.image.ID().Image, seen.revision(), id), nil
}

// verifySignature asks the registry for signatures.
func (r *Reconciler) verifySignature(ctx context.Context, obj *sourcev1.OCIRepository, seen observed) (signature.Evidence, error) {
	verify := obj.Spec.Verify
	spec := signature.SpecOf(verify.Provider, verify.SecretRef, verify.TrustedRootSecretRef, verify.MatchOIDCIdentity)
	spec.AnyIdentity = true // as in source-controller; SourceVerified says so
	verifier, err := signature.New(ctx, r.Secrets, obj.Namespace, spec, signature.Options{
		Remote: r.Registry.Remote(seen.image), PublicGood: r.PublicGood, Guard: r.Guard, Timeout: source.Timeout(obj.Spec.Timeout),
	})
	if err != nil {
		return signature.Evidence{}, fmt.Errorf("spec.verify: %w", err)
	}
	return verifier.Verify(ctx, seen.image.Repository.Digest(seen.digest))
}
