// SPDX-License-Identifier: Apache-2.0

package router

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/internal/partition"
)

// inPlace is the provider of StatefulSets, which no spec names: a weight is the
// share of pods that have the new revision, and users reach whatever pod their
// Service picks. See package partition for how, and for what happens to pods when
// a weight falls.
type inPlace struct{ Deps }

func newInPlace(d Deps) Router { return inPlace{d} }

func (inPlace) object(c *flaggerv1.Canary) object.Ref {
	return object.NewRef(partition.Kind, c.Namespace, c.Spec.TargetRef.Name)
}

// Reconcile implements [Router]: the partition follows the pods that there are,
// and pods that have what they should not are taken back, some at a time.
func (r inPlace) Reconcile(ctx context.Context, c *flaggerv1.Canary) error {
	return r.apply(ctx, c, func(map[string]string) {})
}

// SetWeights implements [Router].
func (r inPlace) SetWeights(ctx context.Context, c *flaggerv1.Canary, w provider.Weights) error {
	return r.apply(ctx, c, func(annotations map[string]string) {
		delete(annotations, partition.WeightAnnotation)
		if w.Canary > 0 {
			annotations[partition.WeightAnnotation] = fmt.Sprint(w.Canary)
		}
	})
}

// apply changes what the canary wants, and the partition and the pods with it. A
// StatefulSet that is not there has neither. A template that was changed meanwhile
// is a conflict, so that no partition is ever meant for another one.
func (r inPlace) apply(ctx context.Context, c *flaggerv1.Canary, want func(annotations map[string]string)) error {
	live, err := r.read(ctx, r.object(c))
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	wanted := live.DeepCopy()
	annotations := live.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	want(annotations)
	if len(annotations)+len(live.GetAnnotations()) > 0 {
		wanted.SetAnnotations(annotations)
	}
	set, err := partition.Read(wanted)
	if err != nil {
		return err
	}
	if set.Partition() != set.Wanted() {
		if err := unstructured.SetNestedField(wanted.Object, int64(set.Wanted()),
			"spec", "updateStrategy", "rollingUpdate", "partition"); err != nil {
			return fmt.Errorf("writing StatefulSet %s.%s: %w", live.GetName(), live.GetNamespace(), err)
		}
	}
	if err := r.update(ctx, r.object(c), live, wanted); err != nil {
		return err
	}
	return r.deleteStrayPods(ctx, wanted)
}

// deleteStrayPods deletes pods that have a revision which they should not have, as far as
// that may happen now. Kubernetes makes them anew with the one that they should.
func (r inPlace) deleteStrayPods(ctx context.Context, u *unstructured.Unstructured) error {
	set, err := partition.Read(u)
	if err != nil || !set.Settled() || set.RolledOut() {
		return err
	}
	found := &corev1.PodList{}
	if err := r.Client.List(ctx, found, client.InNamespace(set.Namespace), client.MatchingLabels(set.Spec.Selector.MatchLabels)); err != nil {
		return fmt.Errorf("listing pods of StatefulSet %s.%s: %w", set.Name, set.Namespace, err)
	}
	var pods []corev1.Pod
	for _, pod := range found.Items {
		if metav1.IsControlledBy(&pod, set.StatefulSet) {
			pods = append(pods, pod)
		}
	}
	for _, pod := range set.Strays(pods) {
		same := client.Preconditions{UID: &pod.UID, ResourceVersion: &pod.ResourceVersion}
		if err := r.Client.Delete(ctx, pod, same); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("deleting pod %s.%s: %w", pod.Name, pod.Namespace, err)
		}
	}
	return nil
}

// Weights implements [Router]. Until the pods are what the partition says, a
// weight says nothing about where users go.
func (r inPlace) Weights(ctx context.Context, c *flaggerv1.Canary) (provider.Weights, error) {
	live, err := r.read(ctx, r.object(c))
	if err != nil {
		return provider.Weights{}, err
	}
	set, err := partition.Read(live)
	if err != nil {
		return provider.Weights{}, err
	}
	if !set.RolledOut() {
		return provider.Weights{}, fmt.Errorf("StatefulSet %s.%s: %d of %d pods have the new revision: %w",
			set.Name, set.Namespace, set.Status.UpdatedReplicas, set.Reach(), ErrNotAccepted)
	}
	return provider.Weights{Primary: 100 - set.Live(), Canary: set.Live()}, nil
}

// Finalize implements [Router]: the StatefulSet gets its partition back, and its
// pods what its template says.
func (r inPlace) Finalize(ctx context.Context, c *flaggerv1.Canary) error {
	live, err := r.read(ctx, r.object(c))
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	wanted := live.DeepCopy()
	annotations := wanted.GetAnnotations()
	delete(annotations, partition.WeightAnnotation)
	delete(annotations, partition.ReleasedAnnotation)
	if annotations != nil {
		wanted.SetAnnotations(annotations)
	}
	unstructured.RemoveNestedField(wanted.Object, "spec", "updateStrategy", "rollingUpdate", "partition")
	return r.update(ctx, r.object(c), live, wanted)
}

// Objects implements [Router].
func (r inPlace) Objects(c *flaggerv1.Canary) []object.Ref { return []object.Ref{r.object(c)} }

// Supports implements [Router].
func (inPlace) Supports(c *flaggerv1.Canary) error {
	a := c.Spec.Analysis
	switch {
	case c.Spec.TargetRef.Kind != partition.Kind.Kind:
		return terminal("spec.targetRef.kind: provider partition is for StatefulSets, not for a %s", c.Spec.TargetRef.Kind)
	case a != nil && a.Iterations > 0:
		return terminal("spec.analysis.iterations: a StatefulSet has no pods of the new revision beside the others; " +
			"use stepWeight or stepWeights")
	case a != nil && a.StepWeightPromotion > 0:
		return terminal("spec.analysis.stepWeightPromotion: the pods of a StatefulSet are promoted one after the other; remove it")
	default:
		return nil
	}
}
