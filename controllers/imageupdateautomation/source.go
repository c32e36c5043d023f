// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"context"
	"fmt"
	"strings"

	"github.com/fluxcd/pkg/apis/acl"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// observeSource reads the GitRepository. A missing one brings the automation
// back when it appears.
func (r *Reconciler) observeSource(ctx context.Context, a *imagev1.ImageUpdateAutomation) (*sourcev1.GitRepository, error) {
	key := sourceKey(a)
	if r.NoCrossNamespaceRefs && key.Namespace != a.Namespace {
		return nil, refuse(acl.AccessDeniedReason, "can't access '%s/%s', cross-namespace references have been blocked",
			sourcev1.GitRepositoryKind, key)
	}
	var repo sourcev1.GitRepository
	err := r.Client.Get(ctx, key, &repo)
	switch {
	case client.IgnoreNotFound(err) != nil:
		return nil, reconciler.WithReason(imagev1.SourceManagerFailedReason, fmt.Errorf("reading GitRepository %s: %w", key, err))
	case key.Namespace != a.Namespace && !r.AllowCrossNamespaceWrites && !admits(&repo, a.Namespace):
		return nil, refuse(acl.AccessDeniedReason,
			"can't access '%s/%s' from namespace '%s': the GitRepository needs the annotation %s: %s",
			sourcev1.GitRepositoryKind, key, a.Namespace, imagev1.WriteFromAnnotation, a.Namespace)
	case apierrors.IsNotFound(err):
		return nil, reconciler.Pending(reconciler.WithReason(imagev1.SourceManagerFailedReason,
			fmt.Errorf("reading GitRepository %s: %w", key, err)), a.Spec.Interval.Duration)
	}
	return &repo, nil
}

// admits reports whether a GitRepository lets automations of a namespace write.
// One that is not there admits no one, so that nobody learns whether it is.
func admits(repo *sourcev1.GitRepository, namespace string) bool {
	for name := range strings.SplitSeq(repo.Annotations[imagev1.WriteFromAnnotation], ",") {
		if name = strings.TrimSpace(name); name == "*" || name == namespace {
			return true
		}
	}
	return false
}

// observeSigner reads the key that signs commits; nil when none does.
func (r *Reconciler) observeSigner(ctx context.Context, a *imagev1.ImageUpdateAutomation) (git.Signer, error) {
	spec := a.Spec.GitSpec.Commit.SigningKey
	if spec == nil {
		return nil, nil
	}
	key := client.ObjectKey{Namespace: a.Namespace, Name: spec.SecretRef.Name}
	failed := func(err error) (git.Signer, error) {
		return nil, reconciler.WithReason(imagev1.SourceManagerFailedReason, fmt.Errorf("spec.git.commit.signingKey: secret %s: %w", key, err))
	}
	var secret corev1.Secret
	if err := r.Client.Get(ctx, key, &secret); err != nil {
		return failed(err)
	}
	field, password, parse := "git.asc", "passphrase", git.NewGPGSigner
	if spec.Type == imagev1.SigningKeyTypeSSH {
		field, password, parse = "identity", "password", git.NewSSHSigner
	}
	if len(secret.Data[field]) == 0 {
		return failed(fmt.Errorf("it has no key '%s'", field))
	}
	signer, err := parse(secret.Data[field], secret.Data[password])
	if err != nil {
		return failed(fmt.Errorf("reading key '%s': %w", field, err))
	}
	return signer, nil
}
