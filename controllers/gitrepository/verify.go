// SPDX-License-Identifier: Apache-2.0

package gitrepository

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/source"
)

// Reasons of SourceVerified, beside VerificationError: as Flux spells them.
const (
	// invalidMode is that of a mode which asks for a tag where none is followed.
	invalidMode = "InvalidVerificationMode"
	// invalidObject is that of a tag which is not signed.
	invalidObject = "InvalidGitObject"
	// invalidTag and invalidCommit are those of a signature that does not count.
	invalidTag, invalidCommit = "InvalidTagSignature", "InvalidCommitSignature"
)

// verification is what was found signed, and by which keys.
type verification struct {
	revision, tag, mode string
	secret              string // in its present version
}

// verify reports whether what was seen carries the signatures that spec.verify wants. That
// is found out once for a commit, a tag and keys, and again when one of these changes.
func (r *Reconciler) verify(ctx context.Context, obj *sourcev1.GitRepository, seen observed) ([]reconciler.Event, error) {
	if obj.Spec.Verification == nil {
		r.verified.Delete(client.ObjectKeyFromObject(obj))
		obj.Status.SourceVerificationMode = nil
		reconciler.RemoveCondition(obj, sourcev1.SourceVerifiedCondition)
		return nil, nil
	}
	wanted, err := r.wanted(ctx, obj, seen)
	if err != nil {
		return nil, err
	}
	condition := apimeta.FindStatusCondition(obj.Status.Conditions, sourcev1.SourceVerifiedCondition)
	key := client.ObjectKeyFromObject(obj)
	if r.verified.Get(key) == wanted && condition != nil && condition.Status == metav1.ConditionTrue {
		return nil, nil
	}
	if err := fetch(ctx, obj, seen); err != nil {
		return nil, err
	}
	message, err := r.verifySignatures(ctx, obj, seen)
	if err != nil {
		r.verified.Delete(key)
		return nil, err
	}
	mode := obj.Spec.Verification.GetMode()
	obj.Status.SourceVerificationMode = &mode
	var events []reconciler.Event
	if condition == nil || condition.Status != metav1.ConditionTrue || condition.Message != message {
		events = []reconciler.Event{{Type: corev1.EventTypeNormal, Reason: meta.SucceededReason, Message: message}}
	}
	source.SetCondition(obj, r.Clock.Now(), sourcev1.SourceVerifiedCondition, meta.SucceededReason, message)
	r.verified.Put(key, wanted)
	return events, nil
}

// wanted names what is verified, and the Secret with the keys in its present version.
func (r *Reconciler) wanted(ctx context.Context, obj *sourcev1.GitRepository, seen observed) (verification, error) {
	key := types.NamespacedName{Namespace: obj.Namespace, Name: obj.Spec.Verification.SecretRef.Name}
	secret, err := source.SecretVersion(ctx, r.Client, key)
	return verification{
		revision: seen.Revision(), tag: seen.Tag.String(), mode: string(obj.Spec.Verification.GetMode()), secret: secret,
	}, err
}

// verifySignatures checks the tag, the commit, or both, and says by whom they are signed.
func (r *Reconciler) verifySignatures(ctx context.Context, obj *sourcev1.GitRepository, seen observed) (string, error) {
	keys, err := r.trusted(ctx, obj)
	if err != nil {
		return "", notVerified(sourcev1.VerificationError, err)
	}
	var said []string
	if obj.Spec.Verification.VerifyTag() {
		signer, err := verifyTag(ctx, keys, seen)
		if err != nil {
			return "", err
		}
		said = append(said, fmt.Sprintf("tag '%s' with key '%s'", tagOf(seen), signer))
	}
	if obj.Spec.Verification.VerifyHEAD() {
		signed, err := seen.mirror.SignedCommit(seen.Commit)
		var signer string
		if err == nil {
			signer, err = keys.Verify(signed)
		}
		if err != nil {
			return "", notVerified(invalidCommit, fmt.Errorf("signature verification of commit '%s' failed: %w", seen.Commit, err))
		}
		said = append(said, fmt.Sprintf("commit '%s' with key '%s'", seen.Commit, signer))
	}
	return "verified signature of\n\t- " + strings.Join(said, "\n\t- "), nil
}

// verifyTag checks the tag that was selected.
func verifyTag(ctx context.Context, keys git.TrustedKeys, seen observed) (string, error) {
	switch {
	case !strings.HasPrefix(seen.Ref, "refs/tags/"):
		return "", reconcile.TerminalError(notVerified(invalidMode,
			errors.New("cannot verify tag object's signature if a tag reference is not specified: set spec.ref.tag, semver or name, or mode HEAD")))
	case seen.Tag.IsZero():
		return "", notVerified(invalidObject, fmt.Errorf("cannot verify signature of tag '%s' since it is not annotated", tagOf(seen)))
	}
	signed, err := seen.mirror.SignedTag(ctx, seen.Selected)
	if err == nil && len(signed.Signature) == 0 {
		return "", notVerified(invalidObject, fmt.Errorf("cannot verify signature of tag '%s' since it is not signed", tagOf(seen)))
	}
	var signer string
	if err == nil {
		signer, err = keys.Verify(signed)
	}
	if err != nil {
		return "", notVerified(invalidTag, fmt.Errorf("signature verification of tag '%s' failed: %w", tagOf(seen), err))
	}
	return signer, nil
}

// tagOf is what messages call the tag, as Flux does.
func tagOf(seen observed) string {
	return strings.TrimPrefix(seen.Ref, "refs/tags/") + "@sha1:" + seen.Tag.String()
}

// trusted reads the keys of those whose signatures count.
func (r *Reconciler) trusted(ctx context.Context, obj *sourcev1.GitRepository) (git.TrustedKeys, error) {
	key := types.NamespacedName{Namespace: obj.Namespace, Name: obj.Spec.Verification.SecretRef.Name}
	var secret corev1.Secret
	if err := r.Client.Get(ctx, key, &secret); err != nil {
		return git.TrustedKeys{}, fmt.Errorf("public keys secret error: %w", err)
	}
	keys, err := git.ReadTrustedKeys(secret.Data)
	if err != nil {
		return git.TrustedKeys{}, fmt.Errorf("public keys secret '%s': %w", key, err)
	}
	return keys, nil
}

func notVerified(reason string, err error) error {
	return reconciler.WithCondition(sourcev1.SourceVerifiedCondition, reason, err)
}
