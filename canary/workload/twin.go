package workload

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/canary"
)

// twin releases targets that get a second copy, the primary, whose pods users
// reach instead: both copies are carried as JSON, see the package's comment.
type twin struct {
	*Pair
	shape
	target, primary *unstructured.Unstructured
}

// shape is what kinds of twins differ in.
type shape struct {
	kind schema.GroupVersionKind
	// rollout are the fields of the spec that say how to roll a revision out.
	rollout []string
	// describe says how a copy stands.
	describe func(*unstructured.Unstructured, patience) (canary.Workload, error)
	// check returns an error about what Flagger does not release either.
	check func(*unstructured.Unstructured) error
	// strip removes from a pod template what stopping the target leaves in it.
	strip func(template map[string]any)
	// counted means that spec.replicas says how many pods there are.
	counted bool
	// run is the merge patch that gives the target so many pods.
	run func(pods int32) string
}

func (t *twin) look(ctx context.Context) error {
	if _, err := t.scalerOf(); err != nil {
		return err
	}
	if !t.counted {
		if err := t.noScaler(t.kind.Kind + "s are not scaled"); err != nil {
			return err
		}
	}
	var err error
	if t.target, err = t.kit.read(ctx, t.kind, t.key(t.canary.Spec.TargetRef.Name)); err != nil {
		return err
	}
	if t.primary, err = t.kit.read(ctx, t.kind, t.key(t.canary.Spec.TargetRef.Name+primarySuffix)); err != nil {
		return err
	}
	if t.Saved, err = t.snapshots(ctx); err != nil {
		return err
	}
	if err := t.lookAtTarget(ctx); err != nil {
		return err
	}
	return t.lookAtPrimary(ctx)
}

func (t *twin) lookAtTarget(ctx context.Context) error {
	if t.target == nil {
		return nil
	}
	if err := t.check(t.target); err != nil {
		return err
	}
	if err := t.nameAfter(t.target); err != nil {
		return err
	}
	configs, err := t.readConfigs(ctx, podSpec(t.target))
	if err != nil {
		return err
	}
	spec := runtime.DeepCopyJSON(dict(t.target.Object, "spec"))
	t.strip(dict(spec, "template"))
	if t.Revision, err = newRevision(spec, t.rollout, configs); err != nil {
		return fmt.Errorf("%s: %w", title(t.target), err)
	}
	if t.Target, err = t.describe(t.target, t.kit.patience(t.canary, t.canary.Spec.Analysis.GetCanaryReadyThreshold())); err != nil {
		return err
	}
	t.Target.Revision, t.Target.Images = t.Revision.Digest, imagesOf(podSpec(t.target))
	return nil
}

func (t *twin) lookAtPrimary(ctx context.Context) error {
	if t.primary == nil {
		return nil
	}
	if t.target == nil {
		t.names = namingOf(t.primary, t.canary.Spec.TargetRef.Name, t.kit.opts.SelectorLabels)
	}
	var err error
	if t.Primary, err = t.describe(t.primary, t.kit.patience(t.canary, t.canary.Spec.Analysis.GetPrimaryReadyThreshold())); err != nil {
		return err
	}
	t.Primary.Images = imagesOf(podSpec(t.primary))
	if t.idle() {
		t.Primary.Ready, t.Primary.Stuck, t.Primary.Why = true, false, ""
	}
	t.Primary.Revision, err = t.primaryRevision(ctx)
	return err
}

// idle reports whether the primary has no pods because there is no work: KEDA
// gives a worker that has nothing to do none.
func (t *twin) idle() bool {
	ref := t.canary.Spec.AutoscalerRef
	return t.Primary.Exists && t.Primary.Replicas == 0 && !t.canary.HasService() && ref != nil && ref.Kind == scaledObjects.kind.Kind
}

// nameAfter takes the label that tells the two copies apart from the target, and
// its containers.
func (p *Pair) nameAfter(target *unstructured.Unstructured) error {
	p.names = naming{target: target.GetName(), labels: p.kit.opts.SelectorLabels}
	matched := dict(dict(dict(target.Object, "spec"), "selector"), "matchLabels")
	for _, label := range p.kit.opts.SelectorLabels {
		if value, ok := matched[label].(string); ok {
			p.names.label, p.names.value = label, value
			break
		}
	}
	if p.names.label == "" {
		return reconcile.TerminalError(fmt.Errorf("%s spec.selector.matchLabels must contain one of %v", title(target), p.kit.opts.SelectorLabels))
	}
	pods := &corev1.PodSpec{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(podSpec(target), pods); err != nil {
		return fmt.Errorf("reading containers of %s: %w", title(target), err)
	}
	p.containers = pods.Containers
	return nil
}

// namingOf reads the naming off the primary when the target is gone.
func namingOf(primary *unstructured.Unstructured, target string, labels []string) naming {
	n := naming{target: target, labels: labels}
	for label, value := range dict(dict(dict(primary.Object, "spec"), "selector"), "matchLabels") {
		if value, ok := value.(string); ok && slices.Contains(labels, label) && len(value) > len(primarySuffix) {
			n.label, n.value = label, value[:len(value)-len(primarySuffix)]
		}
	}
	return n
}

func podSpec(workload *unstructured.Unstructured) map[string]any {
	return dict(dict(dict(workload.Object, "spec"), "template"), "spec")
}

// setPrimary implements [form].
func (t *twin) setPrimary(ctx context.Context, r *Revision) error {
	if err := t.copyConfigs(ctx, r); err != nil {
		return err
	}
	primary := named(t.kind, t.key(t.canary.Spec.TargetRef.Name+primarySuffix))
	if _, err := controllerutil.CreateOrPatch(ctx, t.kit.live, primary, func() error {
		t.writePrimary(primary, r)
		return t.claim(primary)
	}); err != nil {
		return fmt.Errorf("writing %s: %w", title(primary), err)
	}
	return nil
}

// writePrimary writes everything of the primary that belongs to a revision. The
// selector cannot change once it is there.
func (t *twin) writePrimary(primary *unstructured.Unstructured, r *Revision) {
	spec := child(primary.Object, "spec")
	if _, ok := spec["selector"]; !ok {
		spec["selector"] = map[string]any{"matchLabels": map[string]any{t.names.label: t.names.primaryValue()}}
		t.count(spec, max(t.Target.Replicas, 1))
	} else if t.canary.Spec.AutoscalerRef == nil && t.Revision != nil && r.Digest == t.Revision.Digest && t.Target.Replicas > 0 {
		t.count(spec, t.Target.Replicas)
	}
	for _, field := range t.rollout {
		delete(spec, field)
	}
	for field, value := range runtime.DeepCopyJSON(r.Rollout) {
		spec[field] = value
	}
	spec["template"] = t.names.primaryTemplate(r)
	labels, annotations := map[string]string{t.names.label: t.names.primaryValue()}, map[string]string(nil)
	if t.target != nil {
		labels = merge(included(t.target.GetLabels(), t.kit.opts.IncludeLabelPrefix), labels)
		annotations = included(t.target.GetAnnotations(), t.kit.opts.IncludeLabelPrefix)
	}
	primary.SetLabels(merge(primary.GetLabels(), labels))
	primary.SetAnnotations(merge(primary.GetAnnotations(), annotations))
}

func (t *twin) count(spec map[string]any, pods int32) {
	if t.counted {
		spec["replicas"] = int64(pods)
	}
}

// primaryRevision says which revision the primary runs. Our own promotions leave
// the digest in the template. What Flagger promoted is the target's revision if
// promoting that would change nothing; anything else is unknown.
func (t *twin) primaryRevision(ctx context.Context) (string, error) {
	template := dict(dict(t.primary.Object, "spec"), "template")
	id, _ := dict(dict(template, "metadata"), "annotations")[idAnnotation].(string)
	if strings.HasPrefix(id, canary.DigestPrefix) {
		return id, nil
	}
	if t.Revision == nil {
		return "", nil
	}
	same, err := t.sameAsPrimary(ctx, template)
	if err != nil || !same {
		return "", err
	}
	return t.Revision.Digest, nil
}

func (t *twin) sameAsPrimary(ctx context.Context, template map[string]any) (bool, error) {
	var err error
	if t.names.configs, err = t.primaryNames(ctx, t.Revision.Configs); err != nil {
		return false, err
	}
	wanted := withoutID(t.names.primaryTemplate(t.Revision))
	if !reflect.DeepEqual(wanted, withoutID(template)) {
		return false, nil
	}
	for _, c := range t.Revision.Configs {
		live := configObject(c.Kind, t.canary.Namespace, t.names.configs[c.key()])
		err := t.kit.live.Get(ctx, client.ObjectKeyFromObject(live), live)
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("reading copy of %s: %w", c.key(), err)
		}
		if copied, err := configOf(live); err != nil || copied.Checksum != c.Checksum {
			return false, err
		}
	}
	return true, nil
}

// withoutID drops what every promotion changes.
func withoutID(template map[string]any) any {
	out := withoutNulls(template).(map[string]any)
	delete(dict(dict(out, "metadata"), "annotations"), idAnnotation)
	if metadata := dict(out, "metadata"); metadata != nil {
		delete(metadata, "creationTimestamp")
		if len(dict(metadata, "annotations")) == 0 {
			delete(metadata, "annotations")
		}
	}
	return out
}

// start implements [form]: as many pods as the primary has, or as its autoscaler
// starts from.
func (t *twin) start(ctx context.Context) error {
	if t.target == nil {
		return nil
	}
	floor, err := t.release(ctx)
	if err != nil || t.Target.Replicas > 0 {
		return err
	}
	if floor == 0 {
		floor = max(t.Primary.Replicas, 1)
	}
	return t.give(ctx, floor)
}

// stop implements [form]. The autoscaler is held back first, or it would give the
// target new pods.
func (t *twin) stop(ctx context.Context) error {
	if t.target == nil || t.Target.Replicas == 0 {
		return nil
	}
	if err := t.restrain(ctx); err != nil {
		return err
	}
	return t.give(ctx, 0)
}

// revert implements [form]: the target gets the primary's pods back.
func (t *twin) revert(ctx context.Context) (string, error) {
	if t.target == nil {
		return "", nil
	}
	if _, err := t.release(ctx); err != nil {
		return "", err
	}
	wanted := max(t.Primary.Replicas, 1)
	exact := t.counted && t.canary.Spec.AutoscalerRef == nil && t.primary != nil
	if t.Target.Replicas == 0 || exact && t.Target.Replicas != wanted {
		return "scaling up", t.give(ctx, wanted)
	}
	return t.Target.Why, nil
}

func (t *twin) give(ctx context.Context, pods int32) error {
	if err := t.kit.live.Patch(ctx, t.target.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(t.run(pods)))); err != nil {
		return fmt.Errorf("scaling %s to %d: %w", title(t.target), pods, err)
	}
	return nil
}

// objects implements [form].
func (t *twin) objects() []Object {
	name := t.canary.Spec.TargetRef.Name
	objects := append(t.services(), t.object(t.kind, name), t.object(t.kind, name+primarySuffix))
	if s, err := t.scalerOf(); s != nil && err == nil {
		scaler := t.canary.Spec.AutoscalerRef.Name
		objects = append(objects, t.object(s.kind, scaler), t.object(s.kind, scaler+primarySuffix))
	}
	return objects
}
