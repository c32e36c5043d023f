// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"fmt"

	"github.com/fluxcd/pkg/apis/acl"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// repositoryKey names the ImageRepository of p.
func repositoryKey(p *imagev1.ImagePolicy) types.NamespacedName {
	ref := p.Spec.ImageRepositoryRef
	if ref.Namespace == "" {
		ref.Namespace = p.Namespace
	}
	return types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
}

// repository reads the ImageRepository of p, if p may. What is denied now may be
// granted later by an edit of the repository or of the namespace's labels; both
// are watched, so that there is nothing to wait for but them.
func (r *Reconciler) repository(ctx context.Context, p *imagev1.ImagePolicy) (*imagev1.ImageRepository, error) {
	key := repositoryKey(p)
	foreign := key.Namespace != p.Namespace
	if foreign && r.NoCrossNamespaceRefs {
		return nil, reconcile.TerminalError(fmt.Errorf("%w: cannot access 'ImageRepository/%s', cross-namespace references have been blocked",
			errAccessDenied, key))
	}
	repo := &imagev1.ImageRepository{}
	err := r.Client.Get(ctx, key, repo)
	switch {
	case apierrors.IsNotFound(err) && foreign:
		// That a repository of another namespace exists must not be found out.
		return nil, denied(key, "it does not exist or has no spec.accessFrom")
	case apierrors.IsNotFound(err):
		return nil, reconciler.Pending(fmt.Errorf(
			"%w: ImageRepository %s does not exist: create it, or correct spec.imageRepositoryRef", errNotReady, key), 0)
	case err != nil:
		return nil, fmt.Errorf("reading ImageRepository %s: %w", key, err)
	case !foreign:
		return repo, nil
	}
	return repo, r.authorize(ctx, p.Namespace, repo)
}

// authorize lets a namespace in whose labels one of the repository's selectors
// matches. Without spec.accessFrom nobody is.
func (r *Reconciler) authorize(ctx context.Context, namespace string, repo *imagev1.ImageRepository) error {
	key := types.NamespacedName{Namespace: repo.Namespace, Name: repo.Name}
	if repo.Spec.AccessFrom == nil {
		return denied(key, "it does not exist or has no spec.accessFrom")
	}
	var ns corev1.Namespace
	if err := r.Client.Get(ctx, types.NamespacedName{Name: namespace}, &ns); err != nil {
		return fmt.Errorf("reading Namespace %s: %w", namespace, err)
	}
	if !selects(repo.Spec.AccessFrom, ns.Labels) {
		return denied(key, fmt.Sprintf("its spec.accessFrom matches no labels of namespace %s", namespace))
	}
	return nil
}

func selects(from *acl.AccessFrom, having labels.Set) bool {
	for _, selector := range from.NamespaceSelectors {
		if labels.SelectorFromSet(selector.MatchLabels).Matches(having) {
			return true
		}
	}
	return false
}

func denied(key types.NamespacedName, why string) error {
	return reconciler.Waiting(fmt.Errorf("%w: ImageRepository %s: %s", errAccessDenied, key, why), 0)
}
