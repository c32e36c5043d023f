// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"cmp"
	"fmt"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// maxNested is how many Kustomizations one build goes on with.
const maxNested = 1000

// below adds the Kustomizations that are among the objects, and those among theirs: each once,
// since one may be among its own.
func (b *builder) below(cmd *cobra.Command, reader client.Client, all []built) ([]built, error) {
	known := map[client.ObjectKey]bool{client.ObjectKeyFromObject(all[0].k): true}
	for i := 0; i < len(all); i++ {
		for _, u := range all[i].objects {
			if u.GroupVersionKind().GroupKind() != profile.Owners {
				continue
			}
			k, err := nested(u, all[i].k.Namespace)
			if err != nil {
				return nil, err
			}
			key := client.ObjectKeyFromObject(k)
			if known[key] {
				continue
			}
			if known[key] = true; len(known) > maxNested {
				return nil, fmt.Errorf("there are more than %d Kustomizations below %s", maxNested, all[0].k.Name)
			}
			objects, err := b.nestedObjects(cmd, reader, k)
			if err != nil {
				return nil, fmt.Errorf("building Kustomization %s: %w", key, err)
			}
			all = append(all, built{k, objects})
		}
	}
	return all, nil
}

// nested is an object that is a Kustomization. Without a namespace it has that of its parent.
func nested(u *unstructured.Unstructured, namespace string) (*kustomizev1.Kustomization, error) {
	k := &kustomizev1.Kustomization{}
	if want := kustomizev1.GroupVersion.String(); u.GetAPIVersion() != want {
		return nil, fmt.Errorf("kustomization %s is of version %s, which is not read: change it to %s", u.GetName(), u.GetAPIVersion(), want)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, k); err != nil {
		return nil, fmt.Errorf("reading Kustomization %s: %w", u.GetName(), err)
	}
	k.Namespace = cmp.Or(k.Namespace, namespace)
	return k, nil
}

// nestedObjects builds k from the directory that stands for its source.
func (b *builder) nestedObjects(
	cmd *cobra.Command, reader client.Client, k *kustomizev1.Kustomization,
) ([]*unstructured.Unstructured, error) {
	ref := k.Spec.SourceRef
	source := ref.Kind + "/" + cmp.Or(ref.Namespace, k.Namespace) + "/" + ref.Name
	top, is := b.sources[source]
	if !is {
		return nil, fmt.Errorf("no directory stands for %s: add --local-sources %s=DIRECTORY", source, source)
	}
	return b.objects(cmd, reader, k, directory{top, k.Spec.Path})
}
