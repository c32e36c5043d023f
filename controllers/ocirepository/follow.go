// SPDX-License-Identifier: Apache-2.0

package ocirepository

import (
	"context"
	"slices"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/registry"
)

// byTag is the index of sources by the tag that they follow.
const byTag = "spec.ref.tag"

// TagKey is the key under which [Reconciler.Tagged] wakes the sources of a tag, which has
// its canonical name: index.docker.io/library/app:latest.
func TagKey(tag string) types.NamespacedName { return types.NamespacedName{Name: tag} }

// indexTag names the tag that a source follows, or the repository with a colon if it
// follows a range: nothing, if it follows a digest.
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
	switch {
	case err != nil || ref.digest != "":
		return nil
	case ref.versions != nil:
		return []string{repository.Name() + ":"}
	}
	return []string{repository.Tag(ref.tag).Name()}
}

// followersOf finds the sources of a tag, and those of ranges that it is in. The latter
// list the tags anew, whoever has listed them lately.
func (r *Reconciler) followersOf(cache client.Reader) func(context.Context, types.NamespacedName) []reconcile.Request {
	return func(ctx context.Context, tag types.NamespacedName) []reconcile.Request {
		followers := reconciler.Requests(ctx, cache, &sourcev1.OCIRepositoryList{}, reconciler.Any[*sourcev1.OCIRepository],
			client.MatchingFields{byTag: tag.Name})
		end := strings.LastIndexByte(tag.Name, ':') + 1
		within := func(source *sourcev1.OCIRepository) bool { return mayChoose(source, tag.Name[end:]) }
		ranges := reconciler.Requests(ctx, cache, &sourcev1.OCIRepositoryList{}, within, client.MatchingFields{byTag: tag.Name[:end]})
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, request := range ranges {
			if r.pushed == nil {
				r.pushed = map[types.NamespacedName]bool{}
			}
			r.pushed[request.NamespacedName] = true
		}
		return append(followers, ranges...)
	}
}

// mayChoose reports whether a tag is in the range that a source follows.
func mayChoose(source *sourcev1.OCIRepository, tag string) bool {
	repository, err := registry.ParseURL(source.Spec.URL)
	if err != nil {
		return false
	}
	ref, err := parseRef(repository, source.Spec.Reference)
	if err != nil || ref.versions == nil {
		return false
	}
	ref.charts = source.GetLayerMediaType() == chartLayer
	return ref.best(slices.Values([]string{tag})) == tag
}

// takePushed reports, once, whether a tag was pushed that the source may choose.
func (r *Reconciler) takePushed(key types.NamespacedName) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	pushed := r.pushed[key]
	delete(r.pushed, key)
	return pushed
}
