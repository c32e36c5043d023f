// SPDX-License-Identifier: Apache-2.0

package ocirepository

import (
	"context"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/registry"
)

// byTag is the index of sources by the tag that they follow.
const byTag = "spec.ref.tag"

// Followed is the key under which [Reconciler.Tagged] wakes the sources of a tag, which has
// its canonical name: index.docker.io/library/app:latest.
func Followed(tag string) types.NamespacedName { return types.NamespacedName{Name: tag} }

// indexTag names the tag that a source follows: nothing, if it follows a digest or a range.
func indexTag(obj client.Object) []string {
	source, ok := obj.(*sourcev1.OCIRepository)
	if !ok {
		return nil
	}
	repository, err := registry.ParseURL(source.Spec.URL)
	if err != nil {
		return nil
	}
	ref, err := parseRef(repository, source.Spec.Reference)
	if err != nil || ref.digest != "" || ref.versions != nil {
		return nil
	}
	return []string{repository.Tag(ref.tag).Name()}
}

// followersOf finds the sources of a tag.
func followersOf(cache client.Reader) func(context.Context, types.NamespacedName) []reconcile.Request {
	return func(ctx context.Context, tag types.NamespacedName) []reconcile.Request {
		return reconciler.Requests(ctx, cache, &sourcev1.OCIRepositoryList{}, reconciler.Any[*sourcev1.OCIRepository],
			client.MatchingFields{byTag: tag.Name})
	}
}
