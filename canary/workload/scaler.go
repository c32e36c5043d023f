package workload

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// scaler is one kind of autoscalers. The owner's scales the target; the primary
// gets a copy, `<name>-primary`, that follows every change of it.
type scaler struct {
	kind schema.GroupVersionKind
	// least and most are the fields of the spec that bound the pods.
	least, most string
	// adapt makes the copied spec fit the primary.
	adapt func(p *Pair, spec map[string]any)
	// inherits are the annotations of the owner's object that the copy has too.
	inherits func(annotations map[string]string, prefixes []string) map[string]string
	// drops are annotations that the copy never has.
	drops []string
	// pause is the annotation that keeps the owner's object from scaling a target
	// that was stopped; empty if it does not do that by itself.
	pause string
	// idles reports whether a spec lets it take all pods away.
	idles func(spec map[string]any) bool
}

var scalers = map[string]*scaler{
	"HorizontalPodAutoscaler": horizontal,
	"ScaledObject":            scaledObjects,
}

// scalerOf is that of the canary; nil is none.
func (p *Pair) scalerOf() (*scaler, error) {
	ref := p.canary.Spec.AutoscalerRef
	if ref == nil {
		return nil, nil
	}
	if len(ref.PrimaryScalerQueries) > 0 && ref.Kind != scaledObjects.kind.Kind {
		return nil, p.refuse("spec.autoscalerRef.primaryScalerQueries: a %s has no queries, only a ScaledObject has; remove it", ref.Kind)
	}
	s, ok := scalers[ref.Kind]
	if !ok {
		known := strings.Join(slices.Sorted(maps.Keys(scalers)), ", ")
		return nil, p.refuse("spec.autoscalerRef.kind: %q is not served, only %s are", ref.Kind, known)
	}
	return s, nil
}

// noScaler refuses autoscalers of targets that cannot have one beside them.
func (p *Pair) noScaler(why string) error {
	if p.canary.Spec.AutoscalerRef == nil {
		return nil
	}
	return p.refuse("spec.autoscalerRef: %s; remove it", why)
}

// EnsureScaler keeps the primary's autoscaler in step with the owner's, and the
// owner's from scaling a target that was stopped. It writes only what differs. A
// copy that an earlier spec asked for goes.
func (p *Pair) EnsureScaler(ctx context.Context) error {
	s, err := p.scalerOf()
	if err != nil {
		return err
	}
	if p.Edited {
		if err := p.dropScalers(ctx, s); err != nil {
			return err
		}
		p.kit.memory.about(p.canary.UID).edited = false
	}
	if s == nil {
		return nil
	}
	state, err := p.scalerState(ctx, s)
	if known := p.kit.memory.about(p.canary.UID); err != nil || known.scaler == state {
		return err
	}
	theirs, err := p.theirScaler(ctx, s)
	if err != nil {
		return err
	}
	copied := p.copiedScaler(s)
	if theirs == nil {
		// Their mistake must not hold up a release, or its end, that works already.
		if had, err := p.kit.read(ctx, s.kind, client.ObjectKeyFromObject(copied)); err != nil || had != nil {
			return err
		}
		return fmt.Errorf("spec.autoscalerRef: %s %s.%s not found", s.kind.Kind, p.canary.Spec.AutoscalerRef.Name, p.canary.Namespace)
	}
	written, err := controllerutil.CreateOrPatch(ctx, p.kit.live, copied, func() error {
		had := copied.DeepCopy()
		p.writeScaler(s, copied, theirs)
		same := equality.Semantic.DeepEqual(filled(had.Object["spec"]), filled(copied.Object["spec"]))
		if err := p.checkPlace(had, same); err != nil {
			return refusing("spec.autoscalerRef", err)
		}
		return p.claim(copied)
	})
	if err != nil {
		return fmt.Errorf("writing %s: %w", title(copied), err)
	}
	if err := p.holdBack(ctx, s, theirs); err != nil {
		return err
	}
	if written == controllerutil.OperationResultNone {
		p.kit.memory.about(p.canary.UID).scaler = state
	}
	return nil
}

// dropScalers deletes the canary's copies but that of its autoscaler now; nil is
// none. One that nobody keeps in step any more would go on scaling the primary, and
// of two for the same pods Kubernetes lets neither.
func (p *Pair) dropScalers(ctx context.Context, now *scaler) error {
	for _, s := range scalers {
		found := &metav1.PartialObjectMetadataList{}
		found.SetGroupVersionKind(s.kind.GroupVersion().WithKind(s.kind.Kind + "List"))
		err := p.kit.live.List(ctx, found, client.InNamespace(p.canary.Namespace))
		if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			continue // no such autoscalers, no copies
		}
		if err != nil {
			return fmt.Errorf("listing copies of autoscalers of %s.%s: %w", p.canary.Name, p.canary.Namespace, err)
		}
		for i := range found.Items {
			copied := &found.Items[i]
			kept := s == now && copied.Name == p.canary.Spec.AutoscalerRef.Name+primarySuffix
			if kept || !metav1.IsControlledBy(copied, p.canary) {
				continue
			}
			copied.SetGroupVersionKind(s.kind)
			if err := p.kit.live.Delete(ctx, copied); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("deleting %s %s.%s: %w", s.kind.Kind, copied.Name, copied.Namespace, err)
			}
		}
	}
	return nil
}

// stopped reports whether the target is not to have pods.
func (p *Pair) stopped() bool { return p.Target.Exists && p.Target.Replicas == 0 }

// scalerState is all that being in step depends on, as the informers have it.
func (p *Pair) scalerState(ctx context.Context, s *scaler) (string, error) {
	name := p.canary.Spec.AutoscalerRef.Name
	theirs, err := p.version(ctx, s.kind, name)
	if err != nil {
		return "", err
	}
	copied, err := p.version(ctx, s.kind, name+primarySuffix)
	state := fmt.Sprintf("%d %s %s %s %v", p.canary.Generation, p.canary.Spec.TargetRef.Name, theirs, copied, p.stopped())
	if p.canary.Status.UnderWay() {
		state += fmt.Sprintf(" %d", p.Primary.Replicas)
	}
	return state, err
}

func (p *Pair) theirScaler(ctx context.Context, s *scaler) (*unstructured.Unstructured, error) {
	return p.kit.read(ctx, s.kind, p.key(p.canary.Spec.AutoscalerRef.Name))
}

func (p *Pair) copiedScaler(s *scaler) *unstructured.Unstructured {
	return named(s.kind, p.key(p.canary.Spec.AutoscalerRef.Name+primarySuffix))
}

// writeScaler writes what the copy has of the owner's. What others put on it, as
// KEDA does, stays.
func (p *Pair) writeScaler(s *scaler, copied, theirs *unstructured.Unstructured) {
	spec := runtime.DeepCopyJSON(dict(theirs.Object, "spec"))
	child(spec, "scaleTargetRef")["name"] = p.canary.Spec.TargetRef.Name + primarySuffix
	if bounds := p.canary.Spec.AutoscalerRef.PrimaryScalerReplicas; bounds != nil {
		for field, value := range map[string]*int32{s.least: bounds.MinReplicas, s.most: bounds.MaxReplicas} {
			if value != nil {
				spec[field] = int64(*value)
			}
		}
	}
	s.adapt(p, spec)
	if p.canary.Status.UnderWay() && s.idles(spec) {
		// Users must have somewhere to go back to.
		spec[s.least] = int64(1)
		delete(spec, idleReplicas)
	}
	if !equality.Semantic.DeepEqual(filled(copied.Object["spec"]), filled(spec)) {
		copied.Object["spec"] = spec
	}
	copied.SetLabels(merge(copied.GetLabels(), inherited(theirs.GetLabels())))
	annotations := merge(copied.GetAnnotations(), s.inherits(theirs.GetAnnotations(), p.kit.opts.IncludeLabelPrefix))
	for _, key := range s.drops {
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
