// SPDX-License-Identifier: Apache-2.0

package gitrepository

import (
	"context"
	"errors"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/git/credential"
	"github.com/sluice-cd/sluice/source"
)

// observed is what the remote says now.
type observed struct {
	remote git.Remote
	mirror *git.Mirror
	git.Selected
}

// observe asks the remote for the source's commit.
func (r *Reconciler) observe(ctx context.Context, obj *sourcev1.GitRepository) (observed, error) {
	remote, err := credential.Read(ctx, r.Client, obj, r.Credentials)
	switch {
	case errors.Is(err, credential.ErrFeatureGate):
		return observed{}, reconcile.TerminalError(source.FetchFailed(meta.FeatureGateDisabledReason, err))
	case errors.Is(err, credential.ErrProvider):
		return observed{}, reconcile.TerminalError(source.FetchFailed(sourcev1.InvalidProviderConfigurationReason, err))
	case err != nil:
		return observed{}, source.FetchFailed(sourcev1.AuthenticationFailedReason, err)
	}
	mirror, err := r.Mirrors.Get(ctx, remote)
	switch {
	case errors.Is(err, git.ErrUnsupportedURL):
		return observed{}, reconcile.TerminalError(source.FetchFailed(sourcev1.URLInvalidReason, fmt.Errorf("spec.url: %w", err)))
	case err != nil:
		return observed{}, source.FetchFailed(reasonOf(err), credential.Advise(obj, err))
	}
	selected, err := mirror.Select(ctx, reference(obj))
	var invalid *git.ReferenceError
	switch {
	case errors.As(err, &invalid):
		err := fmt.Errorf("spec.ref.%s: %w: %s", invalid.Field, git.ErrInvalidReference, invalid.Why)
		return observed{}, reconcile.TerminalError(source.FetchFailed(sourcev1.GitOperationFailedReason, err))
	case errors.Is(err, git.ErrObjectFormat):
		return observed{}, reconcile.TerminalError(source.FetchFailed(sourcev1.GitOperationFailedReason, fmt.Errorf("spec.url: %w", err)))
	case err != nil:
		return observed{}, remoteFailed(obj, err)
	}
	return observed{remote: remote, mirror: mirror, Selected: selected}, nil
}

// reference is spec.ref.
func reference(obj *sourcev1.GitRepository) git.Reference {
	if obj.Spec.Reference == nil {
		return git.Reference{}
	}
	return git.Reference(*obj.Spec.Reference)
}

// remoteFailed is an error of the remote, with what may help.
func remoteFailed(obj *sourcev1.GitRepository, err error) error {
	if errors.Is(err, git.ErrRefNotFound) {
		err = fmt.Errorf("%w; correct spec.ref, or push what it names", err)
	}
	return source.FetchFailed(reasonOf(err), fmt.Errorf("failed to checkout and determine revision: %w", credential.Advise(obj, err)))
}

// reasonOf is the condition reason of an error of the remote.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, git.ErrUnauthorized), errors.Is(err, git.ErrHostKey), errors.Is(err, git.ErrCredentials):
		return sourcev1.AuthenticationFailedReason
	case errors.Is(err, git.ErrEmptyRepository):
		return "EmptyGitRepository"
	}
	return sourcev1.GitOperationFailedReason
}
