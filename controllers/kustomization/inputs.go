package kustomization

import (
	"context"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// byInput is the index of Kustomizations by what their variables come from.
const byInput = "spec.postBuild.substituteFrom"

// input is a ConfigMap or Secret of the Kustomization's namespace.
type input struct{ kind, name string }

func inputOf(ref kustomizev1.SubstituteReference) input { return input{ref.Kind, ref.Name} }

// inputs are the versions of what was read; "" is not there.
type inputs map[input]string

// substitutesFrom reports whether variables of k come from objects.
func substitutesFrom(k *kustomizev1.Kustomization) bool {
	return k.Spec.PostBuild != nil && len(k.Spec.PostBuild.SubstituteFrom) > 0
}

// changedInputs reports whether the cache knows another version of something that
// variables come from. It holds their metadata alone, and the answer costs no call.
func changedInputs(ctx context.Context, cache client.Reader, namespace string, seen inputs) bool {
	for in, version := range seen {
		meta := &metav1.PartialObjectMetadata{}
		meta.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(in.kind))
		err := cache.Get(ctx, types.NamespacedName{Namespace: namespace, Name: in.name}, meta)
		if err != nil && !apierrors.IsNotFound(err) || meta.ResourceVersion != version {
			return true
		}
	}
	return false
}

// watchInputs brings Kustomizations back when something that their variables come
// from was made, changed or deleted, whether or not it carries the label
// reconcile.fluxcd.io/watch: a commit that is applied with yesterday's values is not
// applied.
func (r *Reconciler) watchInputs(b *builder.Builder) *builder.Builder {
	for _, obj := range []client.Object{&corev1.ConfigMap{}, &corev1.Secret{}} {
		kind := "ConfigMap"
		if _, ok := obj.(*corev1.Secret); ok {
			kind = "Secret"
		}
		b = b.WatchesMetadata(obj, handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
			return r.find(ctx, byInput, sourceIndex(kind, keyOf(obj)))
		}), builder.WithPredicates(predicate.ResourceVersionChangedPredicate{}))
	}
	return b
}

// indexInputs is the index function of byInput.
func indexInputs(obj client.Object) []string {
	k, err := mustBe[*kustomizev1.Kustomization](obj)
	if err != nil || k.Spec.PostBuild == nil {
		return nil
	}
	var keys []string
	for _, ref := range k.Spec.PostBuild.SubstituteFrom {
		keys = append(keys, sourceIndex(ref.Kind, types.NamespacedName{Namespace: k.Namespace, Name: ref.Name}))
	}
	return keys
}
