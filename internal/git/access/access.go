// SPDX-License-Identifier: Apache-2.0

// Package access says which GitRepository an object may write to, with whose credentials,
// and with which key its commits are signed.
//
// A GitRepository of another namespace has to name the namespace of the object in its
// annotation sluice.dev/write-from. Otherwise everybody who may create an ImageUpdateAutomation or
// a Pipeline in some namespace could push with the credentials of all GitRepositories of the cluster.
//
//	Repository   reads the GitRepository and checks that
//	Remote       its repository, with the credentials of its own Secret
//	Signer       the signing key, of a Secret in the namespace of the object
package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/git/credential"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// Access reads what objects write to Git with. Its errors have the reason of the Ready
// condition, and are terminal if only another spec helps.
type Access struct {
	// Client should cache what is listed, and may leave Secrets out.
	Client      client.Client
	Credentials credential.Options
	// NoCrossNamespaceRefs forbids a GitRepository of another namespace, whatever it
	// admits.
	NoCrossNamespaceRefs bool
	// AllowCrossNamespaceWrites lets every object write with any GitRepository's
	// credentials, as Flux does.
	AllowCrossNamespaceWrites bool
}

// refuse is an error that only a person can resolve.
func refuse(reason, format string, args ...any) error {
	return reconcile.TerminalError(reconciler.WithReason(reason, fmt.Errorf(format, args...)))
}

// KeyOf names the GitRepository that an object of a namespace refers to.
func KeyOf(namespace string, ref imagev1.CrossNamespaceSourceReference) types.NamespacedName {
	if ref.Namespace != "" {
		namespace = ref.Namespace
	}
	return types.NamespacedName{Namespace: namespace, Name: ref.Name}
}

// Repository reads the GitRepository that an object of a namespace writes to. One that is
// missing brings the object back when it appears, or after the given time.
func (a Access) Repository(
	ctx context.Context, namespace string, key types.NamespacedName, retry time.Duration,
) (*sourcev1.GitRepository, error) {
	if a.NoCrossNamespaceRefs && key.Namespace != namespace {
		return nil, refuse(acl.AccessDeniedReason,
			"can't access '%s/%s', cross-namespace references have been blocked", sourcev1.GitRepositoryKind, key)
	}
	var repo sourcev1.GitRepository
	err := a.Client.Get(ctx, key, &repo)
	switch {
	case client.IgnoreNotFound(err) != nil:
		return nil, reconciler.WithReason(imagev1.SourceManagerFailedReason, fmt.Errorf("reading GitRepository %s: %w", key, err))
	case key.Namespace != namespace && !a.AllowCrossNamespaceWrites && !admits(&repo, namespace):
		return nil, refuse(acl.AccessDeniedReason,
			"can't access '%s/%s' from namespace '%s': the GitRepository needs the annotation %s: %s",
			sourcev1.GitRepositoryKind, key, namespace, imagev1.WriteFromAnnotation, namespace)
	case apierrors.IsNotFound(err):
		return nil, reconciler.Pending(reconciler.WithReason(imagev1.SourceManagerFailedReason,
			fmt.Errorf("reading GitRepository %s: %w", key, err)), retry)
	}
	return &repo, nil
}

// WithField names the field by which a GitRepository was looked for that [Access.Repository] did not
// get and, if there is none, says what helps.
func WithField(field string, err error) error {
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%s: %w: create what is not found, or correct its name", field, err)
	}
	return fmt.Errorf("%s: %w", field, err)
}

// admits reports whether a GitRepository lets objects of a namespace write. One that is
// not there admits no one, so that nobody learns whether it is.
func admits(repo *sourcev1.GitRepository, namespace string) bool {
	for name := range strings.SplitSeq(repo.Annotations[imagev1.WriteFromAnnotation], ",") {
		if name = strings.TrimSpace(name); name == "*" || name == namespace {
			return true
		}
	}
	return false
}

// Remote reads the credentials of a GitRepository, as its own controller does.
func (a Access) Remote(ctx context.Context, repo *sourcev1.GitRepository) (git.Remote, error) {
	remote, err := credential.Read(ctx, a.Client, repo, a.Credentials)
	if err != nil {
		err = fmt.Errorf("GitRepository %s: %w", client.ObjectKeyFromObject(repo), err)
	}
	switch {
	case errors.Is(err, credential.ErrFeatureGate):
		return git.Remote{}, refuse(meta.FeatureGateDisabledReason, "%w", err)
	case errors.Is(err, credential.ErrProvider):
		return git.Remote{}, refuse(imagev1.InvalidSourceConfigReason, "%w", err)
	case err != nil:
		return git.Remote{}, reconciler.WithReason(imagev1.SourceManagerFailedReason, err)
	}
	return remote, nil
}

// Signer reads the key that signs commits, which the given field of an object names; nil
// when none does.
func (a Access) Signer(ctx context.Context, namespace, field string, spec *imagev1.SigningKey) (git.Signer, error) {
	if spec == nil {
		return nil, nil
	}
	key := client.ObjectKey{Namespace: namespace, Name: spec.SecretRef.Name}
	failed := func(err error) (git.Signer, error) {
		return nil, reconciler.WithReason(imagev1.SourceManagerFailedReason, fmt.Errorf("%s: secret %s: %w", field, key, err))
	}
	var secret corev1.Secret
	if err := a.Client.Get(ctx, key, &secret); err != nil {
		return failed(err)
	}
	data, password, parse := "git.asc", "passphrase", git.NewGPGSigner
	if spec.Type == imagev1.SigningKeyTypeSSH {
		data, password, parse = "identity", "password", git.NewSSHSigner
	}
	if len(secret.Data[data]) == 0 {
		return failed(fmt.Errorf("it has no key '%s'", data))
	}
	signer, err := parse(secret.Data[data], secret.Data[password])
	if err != nil {
		return failed(fmt.Errorf("reading key '%s': %w", data, err))
	}
	return signer, nil
}
