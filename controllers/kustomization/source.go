// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"context"
	"errors"
	"fmt"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/source"
)

// sourceKind is a kind that spec.sourceRef may name.
type sourceKind struct {
	kind string
	new  func() source.Source
}

// sources are the kinds that are served. A new one is a line here.
var sources = []sourceKind{
	{sourcev1.GitRepositoryKind, func() source.Source { return &sourcev1.GitRepository{} }},
	{sourcev1.OCIRepositoryKind, func() source.Source { return &sourcev1.OCIRepository{} }},
	{sourcev1.BucketKind, func() source.Source { return &sourcev1.Bucket{} }},
	{sourcev1.ExternalArtifactKind, func() source.Source { return &sourcev1.ExternalArtifact{} }},
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
		return nil, terminal(fmt.Errorf("spec.sourceRef: can't access '%s/%s': %w", kind.kind, key, errAccessDenied))
	}
	src := kind.new()
	err := r.client.Get(ctx, key, src)
	switch {
	case apierrors.IsNotFound(err):
		return nil, waitForSource(k, reconciler.WithReason(meta.ArtifactFailedReason, fmt.Errorf(
			"source '%s/%s' not found: create it, or correct spec.sourceRef", kind.kind, key)))
	case err != nil:
		return nil, reconciler.WithReason(meta.ArtifactFailedReason, fmt.Errorf("reading source '%s/%s': %w", kind.kind, key, err))
	case src.GetArtifact() == nil:
		return nil, waitForSource(k,
			reconciler.WithReason(meta.ArtifactFailedReason, fmt.Errorf(
				"source '%s/%s' has no artifact yet: its condition Ready says why", kind.kind, key)))
	case r.Store.Awaits(src):
		return nil, reconciler.Deferred(reconciler.WithReason(meta.ArtifactFailedReason, fmt.Errorf(
			"source '%s/%s' is to be fetched first", kind.kind, key)), untilStored)
	}
	return src.GetArtifact(), nil
}

// untilStored is how long a source may take to be fetched until it is looked at again: what is stored once more has the
// status that it had.
const untilStored = time.Second

// waitForSource is err, which nobody has done wrong: the source comes by and by, and is
// watched for.
func waitForSource(k *kustomizev1.Kustomization, err error) error {
	return reconciler.Pending(err, k.GetRetryInterval())
}

func sourceKey(k *kustomizev1.Kustomization) types.NamespacedName {
	return inNamespace(k.Spec.SourceRef.Namespace, k.Namespace, k.Spec.SourceRef.Name)
}

// artifactChanged passes sources with another artifact than before, and those that come
// without one: what was missing is there then, and what is said of it changes.
func artifactChanged() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool {
			_, ok := e.Object.(source.Source)
			return ok
		},
		UpdateFunc: reconciler.Updates(source.HasAnotherArtifact),
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
}
