// SPDX-License-Identifier: Apache-2.0

package artifactgenerator

import (
	"context"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/source"
)

// sourceKinds are the kinds that spec.sources may name.
var sourceKinds = map[string]func() source.Source{
	sourcev1.GitRepositoryKind:    func() source.Source { return &sourcev1.GitRepository{} },
	sourcev1.OCIRepositoryKind:    func() source.Source { return &sourcev1.OCIRepository{} },
	sourcev1.BucketKind:           func() source.Source { return &sourcev1.Bucket{} },
	sourcev1.ExternalArtifactKind: func() source.Source { return &sourcev1.ExternalArtifact{} },
}

// observed are the artifacts of sources, by their aliases.
type observed map[string]*meta.Artifact

// digest is that of status.observedSourcesDigest, as Flux computes it.
func (o observed) digest() string {
	sources := make(map[string]generatorv1.ObservedSource, len(o))
	for alias, artifact := range o {
		sources[alias] = generatorv1.ObservedSource{Digest: artifact.Digest, Revision: artifact.Revision, URL: artifact.URL}
	}
	return generatorv1.HashObservedSources(sources)
}

// origin is the revision that the artifact of a source was itself made of, which is its own if it says nothing of that.
func (o observed) origin(alias string) string {
	artifact := o[alias]
	if artifact == nil {
		return ""
	}
	if origin := artifact.Metadata[generatorv1.ArtifactOriginRevisionAnnotation]; origin != "" {
		return origin
	}
	return artifact.Revision
}

func sourceKey(obj *generatorv1.ArtifactGenerator, ref generatorv1.SourceReference) types.NamespacedName {
	if ref.Namespace == "" {
		return types.NamespacedName{Namespace: obj.Namespace, Name: ref.Name}
	}
	return types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
}

// observe reads the sources.
func (r *Reconciler) observe(ctx context.Context, obj *generatorv1.ArtifactGenerator) (observed, error) {
	seen := observed{}
	for _, ref := range obj.Spec.Sources {
		key := sourceKey(obj, ref)
		src := sourceKinds[ref.Kind]() // generator.Check knows the kinds
		failed := func(format string, args ...any) error {
			return reconciler.WithReason(generatorv1.SourceFetchFailedReason, fmt.Errorf("get sources failed: "+format, args...))
		}
		switch err := r.Client.Get(ctx, key, src); {
		case apierrors.IsNotFound(err): // it comes by and by, and is watched for
			return nil, reconciler.Pending(failed("source '%s/%s' not found: create it, or correct spec.sources", ref.Kind, key), retry)
		case err != nil:
			return nil, failed("unable to get source '%s/%s': %w", ref.Kind, key, err)
		case src.GetArtifact() == nil:
			return nil, reconciler.Pending(failed("source '%s/%s' is not ready", ref.Kind, key), retry)
		case r.Publisher.Store.Awaits(src):
			return nil, reconciler.Deferred(failed("source '%s/%s' is to be fetched first", ref.Kind, key), untilStored)
		}
		seen[ref.Alias] = src.GetArtifact().DeepCopy()
	}
	return seen, nil
}

// checkCycle refuses a generator that has an artifact of its own among its sources, by way of others: it would make
// another one with each look.
func (r *Reconciler) checkCycle(ctx context.Context, obj *generatorv1.ArtifactGenerator) error {
	self := client.ObjectKeyFromObject(obj)
	seen := map[types.NamespacedName]bool{}
	for left := []*generatorv1.ArtifactGenerator{obj}; len(left) > 0; left = left[1:] {
		for _, ref := range left[0].Spec.Sources {
			if ref.Kind != sourcev1.ExternalArtifactKind {
				continue
			}
			maker, ok, err := r.maker(ctx, sourceKey(left[0], ref))
			switch {
			case err != nil:
				return err
			case !ok || seen[maker]:
				continue
			case maker == self:
				return reconcile.TerminalError(reconciler.WithReason(generatorv1.ValidationFailedReason, fmt.Errorf(
					"source '%s' leads back to an artifact of '%s' itself: no generator can be made of what it makes", ref.Alias, self)))
			}
			seen[maker] = true
			other := &generatorv1.ArtifactGenerator{}
			if err := r.Client.Get(ctx, maker, other); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("reading ArtifactGenerator '%s': %w", maker, err)
			}
			left = append(left, other)
		}
	}
	return nil
}

// maker is the ArtifactGenerator that makes an ExternalArtifact, if it is one.
func (r *Reconciler) maker(ctx context.Context, key types.NamespacedName) (types.NamespacedName, bool, error) {
	var ea sourcev1.ExternalArtifact
	if err := r.Client.Get(ctx, key, &ea); err != nil {
		if err = client.IgnoreNotFound(err); err != nil {
			err = fmt.Errorf("reading ExternalArtifact '%s': %w", key, err)
		}
		return types.NamespacedName{}, false, err
	}
	maker, ok := makerOf(&ea)
	return maker, ok, nil
}

// isCurrent reports whether everything is as the last run left it.
func (r *Reconciler) isCurrent(obj *generatorv1.ArtifactGenerator, seen observed, there map[string]*sourcev1.ExternalArtifact) bool {
	ready := apimeta.FindStatusCondition(obj.Status.Conditions, meta.ReadyCondition)
	if ready == nil || ready.Status != metav1.ConditionTrue || ready.ObservedGeneration != obj.Generation ||
		obj.Status.ObservedSourcesDigest != seen.digest() || len(there) != len(obj.Status.Inventory) {
		return false
	}
	for _, ref := range obj.Status.Inventory {
		ea := there[ref.Name]
		if ea == nil || !isComplete(ea, obj) {
			return false
		}
		artifact := ea.Status.Artifact
		if artifact.Digest != ref.Digest || artifact.URL != r.Publisher.Store.URL(artifact.Path) || !r.Publisher.Store.Holds(artifact) {
			return false
		}
	}
	return true
}

// isComplete reports whether an ExternalArtifact has what every one of a generator has.
func isComplete(ea *sourcev1.ExternalArtifact, obj *generatorv1.ArtifactGenerator) bool {
	maker, ok := makerOf(ea)
	return ok && maker == client.ObjectKeyFromObject(obj) && ea.Labels[generatorv1.ArtifactGeneratorLabel] == string(obj.UID) &&
		ea.Status.Artifact != nil && apimeta.IsStatusConditionTrue(ea.Status.Conditions, meta.ReadyCondition) && hasCommon(ea, obj)
}

// hasCommon reports whether an ExternalArtifact has what spec.commonMetadata says. A label that pathPattern captures, or of the
// controller, may be in its place.
func hasCommon(ea *sourcev1.ExternalArtifact, obj *generatorv1.ArtifactGenerator) bool {
	common := obj.Spec.CommonMetadata
	if common == nil {
		return true
	}
	for key := range common.Labels {
		if _, ok := ea.Labels[key]; !ok {
			return false
		}
	}
	for key, value := range common.Annotations {
		if ea.Annotations[key] != value {
			return false
		}
	}
	return true
}
