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

// recursiveBuild goes on with the Kustomizations that are among the objects of others.
type recursiveBuild struct {
	*builder
	cmd    *cobra.Command
	reader client.Client
	known  map[client.ObjectKey]bool
	all    []builtKustomization
}

// below returns a Kustomization and those below it, each before the next one beside it, in the
// order of their objects: that of `flux build`. Each is there once, since one may be among its
// own.
func (b *builder) below(cmd *cobra.Command, reader client.Client, root builtKustomization) ([]builtKustomization, error) {
	d := &recursiveBuild{builder: b, cmd: cmd, reader: reader, known: map[client.ObjectKey]bool{client.ObjectKeyFromObject(root.k): true}}
	err := d.into(root)
	return d.all, err
}

func (d *recursiveBuild) into(of builtKustomization) error {
	d.all = append(d.all, of)
	for _, u := range of.objects {
		if u.GroupVersionKind().GroupKind() != profile.Owners {
			continue
		}
		k, err := nested(u, of.k.Namespace)
		if err != nil {
			return err
		}
		key := client.ObjectKeyFromObject(k)
		if d.known[key] {
			continue
		}
		if d.known[key] = true; len(d.known) > maxNested {
			return fmt.Errorf("there are more than %d Kustomizations below %s", maxNested, d.all[0].k.Name)
		}
		objects, err := d.nestedObjects(d.cmd, d.reader, k)
		if err != nil {
			return fmt.Errorf("building Kustomization %s: %w", key, err)
		}
		if err := d.into(builtKustomization{k, objects}); err != nil {
			return err
		}
	}
	return nil
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
