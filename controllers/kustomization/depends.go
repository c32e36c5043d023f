// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"context"
	"fmt"
	"slices"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

func dependenciesOf(k *kustomizev1.Kustomization) []types.NamespacedName {
	keys := make([]types.NamespacedName, 0, len(k.Spec.DependsOn))
	for _, dep := range k.Spec.DependsOn {
		keys = append(keys, inNamespace(dep.Namespace, k.Namespace, dep.Name))
	}
	return keys
}

// dependencies reads how far the dependencies of k are. Those with the same source
// should have applied the same revision of it.
func (r *Reconciler) dependencies(ctx context.Context, k *kustomizev1.Kustomization, artifact *meta.Artifact) ([]decide.Dependency, error) {
	var found []decide.Dependency
	for _, key := range dependenciesOf(k) {
		if r.NoCrossNamespaceRefs && key.Namespace != k.Namespace {
			return nil, terminal(fmt.Errorf("can't depend on '%s': %w", key, errAccessDenied))
		}
		state, err := dependencyState(ctx, r.client, key, k, artifact)
		if err != nil {
			return nil, reconciler.WithReason(meta.DependencyNotReadyReason, fmt.Errorf("reading dependency '%s': %w", key, err))
		}
		found = append(found, decide.Dependency{Name: key.String(), State: state})
	}
	return found, nil
}

func dependencyState(
	ctx context.Context, cache client.Reader, key types.NamespacedName, k *kustomizev1.Kustomization, artifact *meta.Artifact,
) (decide.DependencyState, error) {
	var dep kustomizev1.Kustomization
	err := cache.Get(ctx, key, &dep)
	switch {
	case apierrors.IsNotFound(err):
		return decide.DependencyMissing, nil
	case err != nil:
		return decide.DependencyMissing, err
	case dep.Generation != dep.Status.ObservedGeneration, !apimeta.IsStatusConditionTrue(dep.Status.Conditions, meta.ReadyCondition):
		return decide.DependencyNotReady, nil
	}
	sameSource := dep.Spec.SourceRef.Kind == k.Spec.SourceRef.Kind && sourceKey(&dep) == sourceKey(k)
	if sameSource && !artifact.HasRevision(dep.Status.LastAppliedRevision) {
		return decide.DependencyOutdated, nil
	}
	return decide.DependencyReady, nil
}

func allReady(dependencies []decide.Dependency) bool {
	return !slices.ContainsFunc(dependencies, func(d decide.Dependency) bool { return d.State != decide.DependencyReady })
}

// cycle returns a path of dependencies from a Kustomization back to itself, nil
// if there is none.
func cycle(ctx context.Context, cache client.Reader, start types.NamespacedName) []string {
	seen := map[types.NamespacedName]bool{}
	var search func(at types.NamespacedName) []string
	search = func(at types.NamespacedName) []string {
		var k kustomizev1.Kustomization
		if seen[at] || cache.Get(ctx, at, &k) != nil {
			return nil
		}
		seen[at] = true
		for _, next := range dependenciesOf(&k) {
			if next == start {
				return []string{at.String(), next.String()}
			}
			if rest := search(next); rest != nil {
				return slices.Insert(rest, 0, at.String())
			}
		}
		return nil
	}
	return search(start)
}

// readinessChanged passes Kustomizations whose dependents may now proceed, or
// may have to say something else about why they do not.
func readinessChanged() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, err := mustBe[*kustomizev1.Kustomization](e.ObjectOld)
			if err != nil {
				return false
			}
			after, err := mustBe[*kustomizev1.Kustomization](e.ObjectNew)
			if err != nil {
				return false
			}
			return readinessOf(before) != readinessOf(after)
		},
	}
}

// readiness is what dependents look at.
type readiness struct {
	generation, observed int64
	ready                bool
	revision             string
}

func readinessOf(k *kustomizev1.Kustomization) readiness {
	return readiness{
		generation: k.Generation, observed: k.Status.ObservedGeneration,
		ready:    apimeta.IsStatusConditionTrue(k.Status.Conditions, meta.ReadyCondition),
		revision: k.Status.LastAppliedRevision,
	}
}
