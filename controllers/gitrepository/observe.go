package gitrepository

import (
	"context"
	"errors"
	"fmt"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/git"
)

// observed is what the remote says now.
type observed struct {
	mirror *git.Mirror
	git.Selected
}

// observe asks the remote for the source's commit.
func (r *Reconciler) observe(ctx context.Context, obj *sourcev1.GitRepository) (observed, error) {
	auth, err := r.auth(ctx, obj)
	if err != nil {
		return observed{}, fetchFailed(sourcev1.AuthenticationFailedReason, err)
	}
	mirror, err := r.Mirrors.Get(ctx, git.Remote{URL: obj.Spec.URL, Auth: auth})
	switch {
	case errors.Is(err, git.ErrUnsupportedURL):
		return observed{}, reconcile.TerminalError(fetchFailed(sourcev1.URLInvalidReason, fmt.Errorf("spec.url: %w", err)))
	case err != nil:
		return observed{}, fetchFailed(sourcev1.GitOperationFailedReason, err)
	}
	selected, err := mirror.Select(ctx, reference(obj))
	switch {
	case errors.Is(err, git.ErrInvalidReference):
		return observed{}, reconcile.TerminalError(fetchFailed(sourcev1.GitOperationFailedReason, fmt.Errorf("spec.ref: %w", err)))
	case err != nil:
		return observed{}, fetchFailed(reasonOf(err), fmt.Errorf("failed to checkout and determine revision: %w", err))
	}
	return observed{mirror: mirror, Selected: selected}, nil
}

// reference is spec.ref.
func reference(obj *sourcev1.GitRepository) git.Reference {
	if obj.Spec.Reference == nil {
		return git.Reference{}
	}
	return git.Reference(*obj.Spec.Reference)
}

// auth reads the source's Secret.
func (r *Reconciler) auth(ctx context.Context, obj *sourcev1.GitRepository) (git.Auth, error) {
	if obj.Spec.SecretRef == nil {
		return git.Auth{}, nil
	}
	var secret corev1.Secret
	if err := r.Client.Get(ctx, secretKey(obj), &secret); err != nil {
		return git.Auth{}, fmt.Errorf("failed to get secret '%s': %w", secretKey(obj), err)
	}
	auth, err := git.AuthFromSecret(&secret)
	if err != nil {
		return git.Auth{}, fmt.Errorf("failed to configure authentication options: %w", err)
	}
	return auth, nil
}

// reasonOf is the condition reason of an error of the remote.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, git.ErrUnauthorized):
		return sourcev1.AuthenticationFailedReason
	case errors.Is(err, git.ErrEmptyRepository):
		return "EmptyGitRepository"
	}
	return sourcev1.GitOperationFailedReason
}
