// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"context"
	"fmt"
	"maps"
	"slices"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

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

// dependencies reads how far other Kustomizations are.
type dependencies struct {
	cache                client.Reader
	noCrossNamespaceRefs bool
	// additive asks of a dependency with an expression what is asked of others, too.
	additive bool
}

func (r *Reconciler) dependencies() dependencies {
	return dependencies{cache: r.client, noCrossNamespaceRefs: r.NoCrossNamespaceRefs, additive: r.AdditiveReadyExpr}
}

// read reads how far the dependencies of a Kustomization are. Those with the same source
// should have applied the same revision of it.
func (d dependencies) read(ctx context.Context, run *run) ([]decide.Dependency, error) {
	var found []decide.Dependency
	for i, key := range dependenciesOf(run.k) {
		if d.noCrossNamespaceRefs && key.Namespace != run.k.Namespace {
			return nil, terminal(fmt.Errorf("spec.dependsOn[%d]: can't depend on '%s': %w", i, key, errAccessDenied))
		}
		dep, err := d.readOne(ctx, run, key, run.k.Spec.DependsOn[i].ReadyExpr)
		if err != nil {
			return nil, reconciler.WithReason(meta.DependencyNotReadyReason, fmt.Errorf("reading dependency '%s': %w", key, err))
		}
		if dep.Why != "" {
			dep.Why += fmt.Sprintf(": mend what it asks for, or correct spec.dependsOn[%d].readyExpr", i)
		}
		found = append(found, dep)
	}
	return found, nil
}

// readOne reads how far one dependency is. An expression stands for all that is asked of others,
// as upstream has it.
func (d dependencies) readOne(ctx context.Context, run *run, key types.NamespacedName, readyExpr string) (decide.Dependency, error) {
	found := decide.Dependency{Name: key.String()}
	var dep kustomizev1.Kustomization
	err := d.cache.Get(ctx, key, &dep)
	switch {
	case apierrors.IsNotFound(err):
		found.State = decide.DependencyMissing
		return found, nil
	case err != nil:
		return found, err
	}
	if readyExpr != "" {
		if found.Why = run.state.notReady(readyExpr, run.k, &dep); found.Why != "" {
			found.State = decide.DependencyNotReady
			return found, nil
		}
	}
	if readyExpr == "" || d.additive {
		found.State = builtinState(&dep, run.k, run.artifact)
	}
	return found, nil
}

func builtinState(dep, k *kustomizev1.Kustomization, artifact *meta.Artifact) decide.DependencyState {
	if dep.Generation != dep.Status.ObservedGeneration || !apimeta.IsStatusConditionTrue(dep.Status.Conditions, meta.ReadyCondition) {
		return decide.DependencyNotReady
	}
	sameSource := dep.Spec.SourceRef.Kind == k.Spec.SourceRef.Kind && sourceKey(dep) == sourceKey(k)
	if sameSource && !artifact.HasRevision(dep.Status.LastAppliedRevision) {
		return decide.DependencyOutdated
	}
	return decide.DependencyReady
}

// cycle returns a path of dependencies from a Kustomization back to itself, nil
// if there is none.
func (d dependencies) cycle(ctx context.Context, start types.NamespacedName) []string {
	seen := map[types.NamespacedName]bool{}
	var search func(at types.NamespacedName) []string
	search = func(at types.NamespacedName) []string {
		var k kustomizev1.Kustomization
		if seen[at] || d.cache.Get(ctx, at, &k) != nil {
			return nil
		}
		seen[at] = true
		for i, next := range dependenciesOf(&k) {
			if k.Spec.DependsOn[i].ReadyExpr != "" && !d.additive {
				continue // the expression may be true before next is Ready, as in Flux
			}
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

// expressionDependents are those that judge a Kustomization by an expression, which may ask for
// anything that is in it.
func (w watches) expressionDependents(ctx context.Context, obj client.Object) []reconcile.Request {
	return w.find(ctx, byExpression, keyOf(obj).String())
}

// judgesItself is a Kustomization whose own labels or annotations an expression may ask for.
func judgesItself(_ context.Context, obj client.Object) []reconcile.Request {
	k, err := mustBe[*kustomizev1.Kustomization](obj)
	if err != nil || len(judgedBy(k)) == 0 {
		return nil
	}
	return []reconcile.Request{{NamespacedName: keyOf(k)}}
}

// judgedBy are the dependencies that k has expressions about.
func judgedBy(k *kustomizev1.Kustomization) []string {
	var keys []string
	for i, key := range dependenciesOf(k) {
		if k.Spec.DependsOn[i].ReadyExpr != "" {
			keys = append(keys, key.String())
		}
	}
	return keys
}

// metadataChanged passes updates of labels and annotations.
func metadataChanged() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: reconciler.Updates(func(before, after *kustomizev1.Kustomization) bool {
			return !maps.Equal(before.Labels, after.Labels) || !maps.Equal(before.Annotations, after.Annotations)
		}),
	}
}

// dependencyStatus is what dependents look at.
type dependencyStatus struct {
	generation, observed int64
	ready                bool
	revision             string
}

func readinessOf(k *kustomizev1.Kustomization) dependencyStatus {
	return dependencyStatus{
		generation: k.Generation, observed: k.Status.ObservedGeneration,
		ready:    apimeta.IsStatusConditionTrue(k.Status.Conditions, meta.ReadyCondition),
		revision: k.Status.LastAppliedRevision,
	}
}
