// SPDX-License-Identifier: Apache-2.0

package artifactgenerator

import (
	"context"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/source"
)

// bySource is the index of generators by their sources.
const bySource = "spec.sources"

func indexKey(kind string, key types.NamespacedName) string { return kind + "/" + key.String() }

// indexSources names the sources of a generator.
func indexSources(obj client.Object) []string {
	generator, ok := obj.(*generatorv1.ArtifactGenerator)
	if !ok {
		return nil
	}
	var keys []string
	for _, ref := range generator.Spec.Sources {
		keys = append(keys, indexKey(ref.Kind, sourceKey(generator, ref)))
	}
	return keys
}

// watches wake generators when a source has another artifact, when somebody else changes what they made, and when they
// are resumed.
func watches(cache client.Reader) reconciler.Watch {
	return func(b *builder.Builder) *builder.Builder {
		for kind, object := range sourceKinds {
			toThose := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
				return reconciler.Requests(ctx, cache, &generatorv1.ArtifactGeneratorList{}, reconciler.Any[*generatorv1.ArtifactGenerator],
					client.MatchingFields{bySource: indexKey(kind, client.ObjectKeyFromObject(obj))})
			})
			b = b.Watches(object(), toThose, builder.WithPredicates(artifactChanged()))
		}
		return b.
			Watches(&sourcev1.ExternalArtifact{}, handler.EnqueueRequestsFromMapFunc(toMaker), builder.WithPredicates(madeChanged())).
			Watches(&generatorv1.ArtifactGenerator{}, &handler.EnqueueRequestForObject{}, builder.WithPredicates(resumed()))
	}
}

// artifactChanged passes sources with another artifact than before, and those that come.
func artifactChanged() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: reconciler.Updates(func(before, after source.Source) bool {
			is, was := after.GetArtifact(), before.GetArtifact()
			return source.HasAnotherArtifact(before, after) || is != nil && was.URL != is.URL
		}),
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
}

// toMaker is the generator that makes an ExternalArtifact.
func toMaker(_ context.Context, obj client.Object) []reconcile.Request {
	ea, ok := obj.(*sourcev1.ExternalArtifact)
	if !ok {
		return nil
	}
	if maker, ok := makerOf(ea); ok {
		return []reconcile.Request{{NamespacedName: maker}}
	}
	return nil
}

// makerOf is the generator that an ExternalArtifact says it is made by.
func makerOf(ea *sourcev1.ExternalArtifact) (types.NamespacedName, bool) {
	ref := ea.Spec.SourceRef
	if ref == nil || ref.Kind != generatorv1.ArtifactGeneratorKind || !strings.HasPrefix(ref.APIVersion, generatorv1.GroupVersion.Group+"/") {
		return types.NamespacedName{}, false
	}
	if ref.Namespace != "" && ref.Namespace != ea.Namespace {
		return types.NamespacedName{}, false // generators make artifacts in their own namespace, whatever others write
	}
	return types.NamespacedName{Namespace: ea.Namespace, Name: ref.Name}, true
}

// madeChanged passes ExternalArtifacts that are not what they were, or gone. Those that come were made by the run that comes
// to its end.
func madeChanged() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: reconciler.Updates(func(before, after *sourcev1.ExternalArtifact) bool {
			return !equality.Semantic.DeepEqual(before.Labels, after.Labels) || before.Generation != after.Generation ||
				!equality.Semantic.DeepEqual(before.Annotations, after.Annotations) ||
				!equality.Semantic.DeepEqual(before.Status, after.Status)
		}),
	}
}

// resumed passes generators whose annotation does not disable them any more, which is no change of their generation.
func resumed() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: reconciler.Updates(func(before, after *generatorv1.ArtifactGenerator) bool {
			return before.IsDisabled() && !after.IsDisabled()
		}),
	}
}
