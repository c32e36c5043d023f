// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"context"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/wake"
)

// watches start reconciles.
type watches struct {
	cache  client.Reader
	wake   *wake.Source
	states *states
}

// Field indexes.
const (
	bySource     = "spec.sourceRef"
	byDependency = "spec.dependsOn"
	byExpression = "spec.dependsOn.readyExpr"
	byInput      = "spec.inputs"
)

// indexes make Kustomizations findable by their source, by what they depend on, and by
// what their variables and keys come from.
var indexes = map[string]client.IndexerFunc{
	bySource: indexKustomizations(func(k *kustomizev1.Kustomization) []string {
		return []string{sourceIndex(k.Spec.SourceRef.Kind, sourceKey(k))}
	}),
	byDependency: indexKustomizations(func(k *kustomizev1.Kustomization) []string {
		var keys []string
		for _, key := range dependenciesOf(k) {
			keys = append(keys, key.String())
		}
		return keys
	}),
	byExpression: indexKustomizations(judgedBy),
	byInput:      indexKustomizations(watchedInputs),
}

func indexKustomizations(keys func(*kustomizev1.Kustomization) []string) client.IndexerFunc {
	return func(obj client.Object) []string {
		k, err := mustBe[*kustomizev1.Kustomization](obj)
		if err != nil {
			return nil
		}
		return keys(k)
	}
}

// index registers the indexes.
func index(ctx context.Context, mgr ctrl.Manager) error {
	for field, keys := range indexes {
		if err := reconciler.Index(ctx, mgr, &kustomizev1.Kustomization{}, field, keys); err != nil {
			return err
		}
	}
	return nil
}

func sourceIndex(kind string, key types.NamespacedName) string { return kind + "/" + key.String() }

// usersOf maps a source to the Kustomizations that build from it.
func (w watches) usersOf(kind string) handler.MapFunc {
	return func(ctx context.Context, obj client.Object) []reconcile.Request {
		return w.find(ctx, bySource, sourceIndex(kind, keyOf(obj)))
	}
}

// dependents maps a Kustomization to those that depend on it.
func (w watches) dependents(ctx context.Context, obj client.Object) []reconcile.Request {
	return w.find(ctx, byDependency, keyOf(obj).String())
}

func (w watches) find(ctx context.Context, field, value string) []reconcile.Request {
	return reconciler.Requests(ctx, w.cache, &kustomizev1.KustomizationList{}, reconciler.Any[*kustomizev1.Kustomization],
		client.MatchingFields{field: value})
}

// wakes starts a reconcile when there is news of applied objects, and when a late build
// is done.
func (w watches) wakes(b *builder.Builder) *builder.Builder {
	return b.WatchesRawSource(w.wake)
}

func (w watches) sources(b *builder.Builder) *builder.Builder {
	for _, s := range sources {
		b = b.Watches(s.new(), handler.EnqueueRequestsFromMapFunc(w.usersOf(s.kind)), builder.WithPredicates(artifactChanged()))
	}
	return b
}

func (w watches) dependencies(b *builder.Builder) *builder.Builder {
	k := &kustomizev1.Kustomization{}
	return b.
		Watches(k, handler.EnqueueRequestsFromMapFunc(w.dependents), builder.WithPredicates(readinessChanged())).
		Watches(k, handler.EnqueueRequestsFromMapFunc(w.expressionDependents),
			builder.WithPredicates(predicate.ResourceVersionChangedPredicate{})).
		Watches(k, handler.EnqueueRequestsFromMapFunc(judgesItself), builder.WithPredicates(metadataChanged())).
		Watches(k, handler.EnqueueRequestsFromMapFunc(w.sharing), builder.WithPredicates(suspensionChanged()))
}

// sharing maps a Kustomization to those that apply objects of it as well, which warn of that
// while it is not suspended.
func (w watches) sharing(_ context.Context, obj client.Object) []reconcile.Request {
	var requests []reconcile.Request
	for _, key := range w.states.sharing(keyOf(obj)) {
		requests = append(requests, reconcile.Request{NamespacedName: key})
	}
	return requests
}

// suspensionChanged passes Kustomizations that were suspended or resumed.
func suspensionChanged() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false }, // what it is forgotten by wakes the others
		UpdateFunc: reconciler.Updates(func(before, after *kustomizev1.Kustomization) bool {
			return before.Spec.Suspend != after.Spec.Suspend
		}),
	}
}

// inputs starts a reconcile when something that is read beside the source was made, changed or
// deleted: what variables come from, keys to decrypt with, and kubeconfigs.
func (w watches) inputs(opts reconciler.Options) reconciler.Watch {
	of := func(kind string) handler.MapFunc {
		return func(ctx context.Context, obj client.Object) []reconcile.Request {
			return w.find(ctx, byInput, sourceIndex(kind, keyOf(obj)))
		}
	}
	configMaps, secrets := opts.WatchConfigs(&corev1.ConfigMap{}, of("ConfigMap")), opts.WatchConfigs(&corev1.Secret{}, of("Secret"))
	return func(b *builder.Builder) *builder.Builder { return secrets(configMaps(b)) }
}
