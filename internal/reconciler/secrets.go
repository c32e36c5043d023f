// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// bySecret indexes objects by the Secrets of their namespace that they name.
const bySecret = "sluice.dev/secrets"

// Secrets says which Secrets objects of a kind depend on.
type Secrets[T Object] struct {
	// List returns an empty list of the kind.
	List func() client.ObjectList
	// Of returns the names that an object has; they are in its own namespace.
	Of func(T) []string
}

// Watch brings objects back when a Secret that they name comes, goes or changes,
// so that a rotated credential is used at once and not at the next interval.
func (s Secrets[T]) Watch(ctx context.Context, mgr ctrl.Manager, obj T, opts Options) (Watch, error) {
	if err := Index(ctx, mgr, obj, bySecret, s.index); err != nil {
		return nil, err
	}
	return opts.WatchConfigs(&corev1.Secret{}, func(ctx context.Context, secret client.Object) []reconcile.Request {
		return s.requests(ctx, mgr.GetClient(), secret)
	}), nil
}

// WatchConfigs brings back what a function says when a Secret or a ConfigMap, of which kind is
// one, comes, goes or changes, unless [Options.Configs] leaves it out. Only the metadata is asked
// for and kept; the contents are read when they are needed.
func (o Options) WatchConfigs(kind client.Object, to handler.MapFunc) Watch {
	return func(b *builder.Builder) *builder.Builder {
		changed, any := o.configChanged()
		if !any {
			return b
		}
		return b.WatchesMetadata(kind, handler.EnqueueRequestsFromMapFunc(to), builder.WithPredicates(changed))
	}
}

// configChanged passes what happens to the Secrets and ConfigMaps that are selected, and reports
// whether there can be any. One that has just lost its label is selected no more, as in Flux.
func (o Options) configChanged() (predicate.Predicate, bool) {
	selector := o.Configs
	if selector == nil {
		selector = labels.Everything()
	}
	_, any := selector.Requirements()
	return predicate.And(predicate.ResourceVersionChangedPredicate{}, predicate.NewPredicateFuncs(func(o client.Object) bool {
		return selector.Matches(labels.Set(o.GetLabels()))
	})), any
}

func (s Secrets[T]) index(obj client.Object) []string {
	own, ok := obj.(T)
	if !ok {
		return nil
	}
	return slices.DeleteFunc(s.Of(own), func(name string) bool { return name == "" })
}

// requests are for all objects that name the Secret.
func (s Secrets[T]) requests(ctx context.Context, reader client.Reader, secret client.Object) []reconcile.Request {
	return Requests(ctx, reader, s.List(), Any[T],
		client.InNamespace(secret.GetNamespace()), client.MatchingFields{bySecret: secret.GetName()})
}
