// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"context"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// input is a ConfigMap or Secret of the Kustomization's namespace.
type input struct{ kind, name string }

// inputs are the versions of what was read; "" is not there.
type inputs map[input]string

// readsInputs reports whether variables of k come from objects, or keys to decrypt with.
func readsInputs(k *kustomizev1.Kustomization) bool { return len(inputsOf(k)) > 0 }

// changedInputs reports whether something that variables come from has another version. The API
// server is asked, for the metadata alone: a cache may be behind what a dependency has just
// written.
func changedInputs(ctx context.Context, live client.Reader, namespace string, seen inputs) bool {
	for in, version := range seen {
		meta := &metav1.PartialObjectMetadata{}
		meta.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(in.kind))
		err := live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: in.name}, meta)
		if err != nil && !apierrors.IsNotFound(err) || meta.ResourceVersion != version {
			return true
		}
	}
	return false
}

// watchedInputs are the keys of what k reads from this cluster beside its source.
func watchedInputs(k *kustomizev1.Kustomization) []string {
	keys := inputsOf(k)
	if in, ok := kubeConfigInput(k); ok {
		keys = append(keys, sourceIndex(in.kind, types.NamespacedName{Namespace: k.Namespace, Name: in.name}))
	}
	return keys
}

// inputsOf are those of them that what is built depends on.
func inputsOf(k *kustomizev1.Kustomization) []string {
	var keys []string
	add := func(kind, name string) {
		keys = append(keys, sourceIndex(kind, types.NamespacedName{Namespace: k.Namespace, Name: name}))
	}
	if k.Spec.PostBuild != nil {
		for _, ref := range k.Spec.PostBuild.SubstituteFrom {
			add(ref.Kind, ref.Name)
		}
	}
	if d := k.Spec.Decryption; d != nil && d.SecretRef != nil {
		add("Secret", d.SecretRef.Name)
	}
	return keys
}
