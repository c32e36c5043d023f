package kustomization

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// errCircular marks a Kustomization that waits, by way of others, for itself.
var errCircular = errors.New("circular dependency")

func dependenciesOf(k *kustomizev1.Kustomization) []types.NamespacedName {
	keys := make([]types.NamespacedName, 0, len(k.Spec.DependsOn))
	for _, dep := range k.Spec.DependsOn {
		keys = append(keys, inNamespace(dep.Namespace, k.Namespace, dep.Name))
	}
	return keys
}

// errNotReady marks a dependency that k waits for. It is no failure: every commit has
// its Kustomizations wait for one another.
var errNotReady = errors.New("dependency")

// dependencies returns an error unless everything that k depends on is ready.
// Those with the same source must have applied the same revision, unless k has
// nothing to apply from it.
func (p *pass) dependencies(ctx context.Context, plan plan) error {
	for _, key := range dependenciesOf(p.k) {
		if p.r.NoCrossNamespaceRefs && key.Namespace != p.k.Namespace {
			return reconcile.TerminalError(fmt.Errorf("can't depend on '%s': %w", key, errAccessDenied))
		}
		err := p.dependency(ctx, key, plan)
		switch {
		case err == nil:
			continue
		case !errors.Is(err, errNotReady):
			return because(meta.DependencyNotReadyReason, err)
		}
		if cycle := p.r.cycle(ctx, keyOf(p.k)); cycle != nil {
			err = fmt.Errorf("%w: %s", errCircular, strings.Join(cycle, " -> "))
			return later(p.k, because(meta.DependencyNotReadyReason, err))
		}
		return pending(p.k, because(meta.DependencyNotReadyReason, err))
	}
	return nil
}

func (p *pass) dependency(ctx context.Context, key types.NamespacedName, plan plan) error {
	var dep kustomizev1.Kustomization
	if err := p.r.client.Get(ctx, key, &dep); err != nil {
		if apierrors.IsNotFound(err) {
			return fmt.Errorf("%w '%s' not found", errNotReady, key)
		}
		return fmt.Errorf("reading dependency '%s': %w", key, err)
	}
	if dep.Generation != dep.Status.ObservedGeneration ||
		!apimeta.IsStatusConditionTrue(dep.Status.Conditions, meta.ReadyCondition) {
		return fmt.Errorf("%w '%s' is not ready", errNotReady, key)
	}
	sameSource := dep.Spec.SourceRef.Kind == p.k.Spec.SourceRef.Kind && sourceKey(&dep) == sourceKey(p.k)
	if sameSource && plan != nothing && !p.artifact.HasRevision(dep.Status.LastAppliedRevision) {
		return fmt.Errorf("%w '%s' revision is not up to date", errNotReady, key)
	}
	return nil
}

// cycle returns a path of dependencies from a Kustomization back to itself, nil
// if there is none.
func (r *Reconciler) cycle(ctx context.Context, start types.NamespacedName) []string {
	seen := map[types.NamespacedName]bool{}
	var search func(at types.NamespacedName) []string
	search = func(at types.NamespacedName) []string {
		var k kustomizev1.Kustomization
		if seen[at] || r.client.Get(ctx, at, &k) != nil {
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
			return standing(before) != standing(after)
		},
	}
}

// stand is what dependents look at.
type stand struct {
	generation, observed int64
	ready                bool
	revision             string
}

func standing(k *kustomizev1.Kustomization) stand {
	return stand{
		generation: k.Generation, observed: k.Status.ObservedGeneration,
		ready:    apimeta.IsStatusConditionTrue(k.Status.Conditions, meta.ReadyCondition),
		revision: k.Status.LastAppliedRevision,
	}
}
