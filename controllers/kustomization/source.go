package kustomization

import (
	"context"
	"errors"
	"fmt"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/reconciler"
)

// artifactSource is what all kinds of sources have in common.
type artifactSource interface {
	client.Object
	GetArtifact() *meta.Artifact
}

// sourceKind is a kind that spec.sourceRef may name.
type sourceKind struct {
	kind string
	new  func() artifactSource
}

// sources are the kinds that are served. A new one is a line here.
var sources = []sourceKind{
	{sourcev1.GitRepositoryKind, func() artifactSource { return &sourcev1.GitRepository{} }},
}

func sourceOf(kind string) (sourceKind, bool) {
	for _, s := range sources {
		if s.kind == kind {
			return s, true
		}
	}
	return sourceKind{}, false
}

// errAccessDenied marks a reference to another namespace where those are not
// allowed.
var errAccessDenied = errors.New("cross-namespace references have been blocked")

// artifact returns the artifact that k builds from.
func (r *Reconciler) artifact(ctx context.Context, k *kustomizev1.Kustomization) (*meta.Artifact, error) {
	kind, _ := sourceOf(k.Spec.SourceRef.Kind) // refuse has seen it
	key := sourceKey(k)
	if r.NoCrossNamespaceRefs && key.Namespace != k.Namespace {
		return nil, terminal(fmt.Errorf("can't access '%s/%s': %w", kind.kind, key, errAccessDenied))
	}
	src := kind.new()
	err := r.client.Get(ctx, key, src)
	switch {
	case apierrors.IsNotFound(err):
		return nil, waitForSource(k, because(meta.ArtifactFailedReason, fmt.Errorf("source '%s/%s' not found", kind.kind, key)))
	case err != nil:
		return nil, because(meta.ArtifactFailedReason, fmt.Errorf("reading source '%s/%s': %w", kind.kind, key, err))
	case src.GetArtifact() == nil:
		return nil, waitForSource(k, because(meta.ArtifactFailedReason, fmt.Errorf("source '%s/%s' has no artifact yet", kind.kind, key)))
	}
	return src.GetArtifact(), nil
}

// waitForSource is err, which nobody has done wrong: the source comes by and by, and is
// watched for.
func waitForSource(k *kustomizev1.Kustomization, err error) error {
	return reconciler.Pending(err, k.GetRetryInterval())
}

func sourceKey(k *kustomizev1.Kustomization) types.NamespacedName {
	return inNamespace(k.Spec.SourceRef.Namespace, k.Namespace, k.Spec.SourceRef.Name)
}

// Field indexes.
const (
	bySource     = "spec.sourceRef"
	byDependency = "spec.dependsOn"
)

// index makes Kustomizations findable by their source and by what they depend
// on.
func index(mgr ctrl.Manager) error {
	// The indexer's context only bounds the registration.
	ctx := context.TODO() //nolint:forbidigo // SetupWithManager has no context, and nothing here waits
	indexer := mgr.GetFieldIndexer()
	err := indexer.IndexField(ctx, &kustomizev1.Kustomization{}, bySource, func(obj client.Object) []string {
		k, err := mustBe[*kustomizev1.Kustomization](obj)
		if err != nil {
			return nil
		}
		return []string{sourceIndex(k.Spec.SourceRef.Kind, sourceKey(k))}
	})
	if err != nil {
		return err
	}
	if err := indexer.IndexField(ctx, &kustomizev1.Kustomization{}, byInput, indexInputs); err != nil {
		return err
	}
	return indexer.IndexField(ctx, &kustomizev1.Kustomization{}, byDependency, func(obj client.Object) []string {
		k, err := mustBe[*kustomizev1.Kustomization](obj)
		if err != nil {
			return nil
		}
		var keys []string
		for _, key := range dependenciesOf(k) {
			keys = append(keys, key.String())
		}
		return keys
	})
}

func sourceIndex(kind string, key types.NamespacedName) string { return kind + "/" + key.String() }

// usersOf maps a source to the Kustomizations that build from it.
func (r *Reconciler) usersOf(kind string) handler.MapFunc {
	return func(ctx context.Context, obj client.Object) []reconcile.Request {
		return r.find(ctx, bySource, sourceIndex(kind, keyOf(obj)))
	}
}

// dependents maps a Kustomization to those that depend on it.
func (r *Reconciler) dependents(ctx context.Context, obj client.Object) []reconcile.Request {
	return r.find(ctx, byDependency, keyOf(obj).String())
}

func (r *Reconciler) find(ctx context.Context, field, value string) []reconcile.Request {
	var list kustomizev1.KustomizationList
	// Only names are read, so the cache's own objects will do.
	if err := r.client.List(ctx, &list, client.MatchingFields{field: value}, client.UnsafeDisableDeepCopy); err != nil {
		log.FromContext(ctx).Error(err, "listing Kustomizations", "field", field, "value", value)
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: keyOf(&list.Items[i])})
	}
	return requests
}

// artifactChanged passes sources with another artifact than before.
func artifactChanged() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool {
			src, ok := e.Object.(artifactSource)
			return ok && src.GetArtifact() != nil
		},
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(artifactSource)
			after, also := e.ObjectNew.(artifactSource)
			if !ok || !also || after.GetArtifact() == nil {
				return false
			}
			is, was := after.GetArtifact(), before.GetArtifact()
			return !was.HasRevision(is.Revision) || !was.HasDigest(is.Digest)
		},
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
}
