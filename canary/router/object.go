package router

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// read returns a route object as JSON: most proxies' Go types would drag in
// their whole code, and drop fields that they do not know. A missing object is
// a NotFound error.
func (d Deps) read(ctx context.Context, o Object) (*unstructured.Unstructured, error) {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(o.GroupVersionKind)
	if err := d.Client.Get(ctx, o.ObjectKey, live); err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", o.Kind, o.ObjectKey, err)
	}
	return live, nil
}

// write makes an object what render says. render gets a copy of the live object,
// or an empty one that the canary owns, and changes only what is the canary's.
// Nothing is written when nothing changes; a write of somebody else in between is
// a conflict.
func (d Deps) write(ctx context.Context, c *flaggerv1.Canary, o Object, render func(*unstructured.Unstructured) error) error {
	live, err := d.read(ctx, o)
	if apierrors.IsNotFound(err) {
		return d.create(ctx, c, o, render)
	}
	if err != nil {
		return err
	}
	wanted := live.DeepCopy()
	if err := render(wanted); err != nil {
		return err
	}
	if equality.Semantic.DeepEqual(live.Object, wanted.Object) {
		return nil
	}
	patch := client.MergeFromWithOptions(live, client.MergeFromWithOptimisticLock{})
	if err := d.Client.Patch(ctx, wanted, patch); err != nil {
		return fmt.Errorf("writing %s %s: %w", o.Kind, o.ObjectKey, err)
	}
	return nil
}

func (d Deps) create(ctx context.Context, c *flaggerv1.Canary, o Object, render func(*unstructured.Unstructured) error) error {
	made := &unstructured.Unstructured{Object: map[string]any{}}
	made.SetGroupVersionKind(o.GroupVersionKind)
	made.SetNamespace(o.Namespace)
	made.SetName(o.Name)
	made.SetOwnerReferences([]metav1.OwnerReference{
		*metav1.NewControllerRef(c, flaggerv1.GroupVersion.WithKind(flaggerv1.CanaryKind)),
	})
	if err := render(made); err != nil {
		return err
	}
	if err := d.Client.Create(ctx, made); err != nil {
		return fmt.Errorf("creating %s %s: %w", o.Kind, o.ObjectKey, err)
	}
	return nil
}
