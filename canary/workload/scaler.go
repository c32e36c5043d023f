// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/object"
)

// scalerKind is one kind of autoscalers.
type scalerKind struct {
	schema.GroupVersionKind
	// least and most are the fields of the spec that bound the pods.
	least, most string
	// adapt makes the copied spec fit the primary; nil leaves it as it is.
	adapt func(primaryScaler, map[string]any)
	// inherits are the annotations of the owner's object that the copy has too.
	inherits func(annotations map[string]string, prefixes []string) map[string]string
	// drops are annotations that the copy never has.
	drops []string
	// pause is the annotation that keeps the owner's object from scaling a target
	// that was stopped; empty if it leaves such a target alone by itself.
	pause string
	// idles reports whether a spec lets it take all pods away.
	idles func(spec map[string]any) bool
}

// primaryScaler is what the copy of an autoscaler is about.
type primaryScaler struct {
	ref    *flaggerv1.AutoscalerReference
	target string
	names  naming
}

// horizontalPodAutoscalers leave a target with zero pods alone by themselves.
var horizontalPodAutoscalers = &scalerKind{
	GroupVersionKind: autoscalingv2.SchemeGroupVersion.WithKind("HorizontalPodAutoscaler"),
	least:            "minReplicas",
	most:             "maxReplicas",
	inherits:         included,
	idles: func(spec map[string]any) bool {
		least, ok := spec["minReplicas"].(int64)
		return ok && least == 0
	},
}

// scalerKinds are all that a canary may name, by kind.
var scalerKinds = map[string]*scalerKind{
	horizontalPodAutoscalers.Kind: horizontalPodAutoscalers,
	scaledObjects.Kind:            scaledObjects,
}

// autoscaler is the owner's autoscaler of the target. The primary gets a copy of it,
// `<name>-primary`, that follows every change.
type autoscaler struct {
	scope *scope
	kind  *scalerKind
}

// autoscalerOf is that of the canary; nil is none.
func autoscalerOf(s *scope) (*autoscaler, error) {
	ref := s.canary.Spec.AutoscalerRef
	if ref == nil {
		return nil, nil
	}
	if len(ref.PrimaryScalerQueries) > 0 && ref.Kind != scaledObjects.Kind {
		return nil, s.refuse("spec.autoscalerRef.primaryScalerQueries: a %s has no queries, only a ScaledObject has; remove it", ref.Kind)
	}
	kind, ok := scalerKinds[ref.Kind]
	if !ok {
		known := strings.Join(slices.Sorted(maps.Keys(scalerKinds)), ", ")
		return nil, s.refuse("spec.autoscalerRef.kind: %q is not served, only %s are", ref.Kind, known)
	}
	return &autoscaler{s, kind}, nil
}

// refuseAutoscaler refuses autoscalers of targets that cannot have one beside them.
func refuseAutoscaler(s *scope, why string) error {
	if s.canary.Spec.AutoscalerRef == nil {
		return nil
	}
	return s.refuse("spec.autoscalerRef: %s; remove it", why)
}

func (a *autoscaler) name() string { return a.scope.canary.Spec.AutoscalerRef.Name }

// read returns the owner's object; nil if there is none.
func (a *autoscaler) read(ctx context.Context) (*unstructured.Unstructured, error) {
	return a.scope.read(ctx, a.kind.GroupVersionKind, a.name())
}

// ensureCopy keeps the primary's autoscaler in step with the owner's, and the owner's
// from scaling a target that was stopped. It writes only what differs.
func (a *autoscaler) ensureCopy(ctx context.Context, seen Copies) error {
	state, err := a.state(ctx, seen)
	if err != nil || a.scope.entry.scaler == state {
		return err
	}
	owners, err := a.read(ctx)
	if err != nil {
		return err
	}
	copied := a.scope.named(a.kind.GroupVersionKind, flaggerv1.PrimaryName(a.name()))
	if owners == nil {
		// Their mistake must not hold up a release, or its end, that works already.
		if had, err := a.scope.read(ctx, a.kind.GroupVersionKind, copied.GetName()); err != nil || had != nil {
			return err
		}
		return fmt.Errorf("spec.autoscalerRef: %s %s/%s %w; create it, or correct the reference",
			a.kind.Kind, a.scope.canary.Namespace, a.name(), object.ErrMissing)
	}
	written, err := controllerutil.CreateOrPatch(ctx, a.scope.live, copied, func() error {
		had := copied.DeepCopy()
		a.writeCopy(copied, owners, seen.names)
		isCopy := func() bool {
			return equality.Semantic.DeepEqual(filled(had.Object["spec"]), filled(copied.Object["spec"]))
		}
		if err := a.scope.checkPlace(had, isCopy); err != nil {
			return refusing("spec.autoscalerRef", err)
		}
		a.scope.claim(copied)
		return nil
	})
	if err != nil {
		return fmt.Errorf("writing %s: %w", title(copied), err)
	}
	if err := a.holdTarget(ctx, owners, seen); err != nil {
		return err
	}
	if written == controllerutil.OperationResultNone {
		a.scope.entry.scaler = state
	}
	return nil
}

// dropScalerCopies deletes the canary's copies but that of its autoscaler now; nil is
// none. One that nobody keeps in step any more would go on scaling the primary, and
// of two for the same pods Kubernetes lets neither.
func dropScalerCopies(ctx context.Context, s *scope, now *autoscaler) error {
	for _, kind := range scalerKinds {
		found := &metav1.PartialObjectMetadataList{}
		found.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		err := s.live.List(ctx, found, client.InNamespace(s.canary.Namespace))
		if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			continue // no such autoscalers, no copies
		}
		if err != nil {
			return fmt.Errorf("listing copies of autoscalers of %s.%s: %w", s.canary.Name, s.canary.Namespace, err)
		}
		for i := range found.Items {
			copied := &found.Items[i]
			kept := now != nil && now.kind == kind && copied.Name == flaggerv1.PrimaryName(now.name())
			if kept || !metav1.IsControlledBy(copied, s.canary) {
				continue
			}
			copied.SetGroupVersionKind(kind.GroupVersionKind)
			if err := s.live.Delete(ctx, copied); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("deleting %s %s.%s: %w", kind.Kind, copied.Name, copied.Namespace, err)
			}
		}
	}
	return nil
}

// isStopped reports whether the target is not to have pods.
func isStopped(target canary.Workload) bool { return target.Exists && target.Replicas == 0 }

// state is all that being in step depends on, as the informers have it.
func (a *autoscaler) state(ctx context.Context, seen Copies) (string, error) {
	owners, err := a.scope.cachedVersion(ctx, a.kind.GroupVersionKind, a.name())
	if err != nil {
		return "", err
	}
	copied, err := a.scope.cachedVersion(ctx, a.kind.GroupVersionKind, flaggerv1.PrimaryName(a.name()))
	state := fmt.Sprintf("%d %s %s %s %v", a.scope.canary.Generation, a.scope.targetName(), owners, copied, isStopped(seen.Target))
	if a.scope.canary.Status.UnderWay() {
		state += fmt.Sprintf(" %d", seen.Primary.Replicas)
	}
	return state, err
}

// writeCopy writes what the copy has of the owner's. What others put on it, as
// KEDA does, stays.
func (a *autoscaler) writeCopy(copied, owners *unstructured.Unstructured, names naming) {
	ref := a.scope.canary.Spec.AutoscalerRef
	spec := runtime.DeepCopyJSON(object.Map(owners.Object, "spec"))
	object.Child(spec, "scaleTargetRef")["name"] = a.scope.primaryName()
	if bounds := ref.PrimaryScalerReplicas; bounds != nil {
		for field, value := range map[string]*int32{a.kind.least: bounds.MinReplicas, a.kind.most: bounds.MaxReplicas} {
			if value != nil {
				spec[field] = int64(*value)
			}
		}
	}
	if a.kind.adapt != nil {
		a.kind.adapt(primaryScaler{ref, a.scope.targetName(), names}, spec)
	}
	if a.scope.canary.Status.UnderWay() && a.kind.idles(spec) {
		// Users must have somewhere to go back to.
		spec[a.kind.least] = int64(1)
		delete(spec, idleReplicas)
	}
	if !equality.Semantic.DeepEqual(filled(copied.Object["spec"]), filled(spec)) {
		copied.Object["spec"] = spec
	}
	copied.SetLabels(object.Merge(copied.GetLabels(), inherited(owners.GetLabels())))
	annotations := object.Merge(copied.GetAnnotations(), a.kind.inherits(owners.GetAnnotations(), a.scope.opts.IncludeLabelPrefix))
	for _, key := range a.kind.drops {
		delete(annotations, key)
	}
	if len(annotations) == 0 {
		annotations = nil // an empty map is written again and again: the API server drops it
	}
	copied.SetAnnotations(annotations)
}

// filled is a JSON value without empty objects, which say nothing: Flagger, whose
// types write them, may have made the copy.
func filled(v any) any {
	object, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := map[string]any{}
	for key, value := range object {
		value = filled(value)
		if inner, ok := value.(map[string]any); !ok || len(inner) > 0 {
			out[key] = value
		}
	}
	return out
}

// bookkeeping are labels and annotations that say something about the very
// object that has them.
var bookkeeping = []string{"kubectl.kubernetes.io/last-applied-configuration", "scaledobject.keda.sh/name", toolkitMarker}

// inherited are the labels or annotations that a copy has too.
func inherited(from map[string]string) map[string]string {
	out := map[string]string{}
	for key, value := range from {
		if !slices.ContainsFunc(bookkeeping, func(own string) bool { return strings.Contains(key, own) }) {
			out[key] = value
		}
	}
	return out
}
