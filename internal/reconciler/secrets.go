// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
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
// so that a rotated credential is used at once and not at the next interval. Of
// Secrets only the metadata is asked for and kept; the contents are read when they
// are needed.
func (s Secrets[T]) Watch(ctx context.Context, mgr ctrl.Manager, obj T) (Watch, error) {
	if err := Index(ctx, mgr, obj, bySecret, s.index); err != nil {
		return nil, err
	}
	toObjects := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, secret client.Object) []reconcile.Request {
		return s.requests(ctx, mgr.GetClient(), secret)
	})
	return func(b *builder.Builder) *builder.Builder {
		return b.WatchesMetadata(&corev1.Secret{}, toObjects)
	}, nil
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
