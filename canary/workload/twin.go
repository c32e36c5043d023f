package workload

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

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
	// alias is what Flagger calls a pod template.
	alias func(template map[string]any) (string, error)
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
	if err := t.name(); err != nil {
		return err
	}
	if err := t.lookAtTarget(ctx); err != nil {
		return err
	}
	if err := t.lookAtPrimary(ctx); err != nil {
		return err
	}
	return t.keepApart(ctx)
}

// name finds out how the two copies are called.
func (t *twin) name() error {
	t.names = naming{target: t.canary.Spec.TargetRef.Name, keys: t.kit.opts.SelectorLabels}
	var pods map[string]string
	if t.target != nil {
		if err := t.check(t.target); err != nil && t.canary.DeletionTimestamp == nil {
			return err
		}
		if err := t.nameAfter(t.target); err != nil {
			return err
		}
		if err := t.checkLengths(t.target); err != nil {
			return err
		}
		pods = podLabels(t.target)
	}
	if t.primary != nil {
		if err := t.checkOwner(t.primary, "spec.targetRef"); err != nil {
			return err
		}
		template := dict(dict(t.primary.Object, "spec"), "template")
		_, copied := dict(dict(template, "metadata"), "annotations")[idAnnotation]
		if err := t.checkPlace(t.primary, copied); err != nil {
			return refusing("spec.targetRef", err)
		}
		t.names.follow(t.primary, pods)
	}
	return nil
}

func (t *twin) lookAtTarget(ctx context.Context) error {
	if t.target == nil {
		return nil
	}
	t.expect(t.target.GetGeneration())
	configs, err := t.readConfigs(ctx, podSpec(t.target))
	if err != nil {
		return err
	}
	spec := runtime.DeepCopyJSON(dict(t.target.Object, "spec"))
	t.strip(dict(spec, "template"))
	if t.Revision, err = newRevision(spec, t.rollout, configs); err != nil {
		return fmt.Errorf("%s: %w", title(t.target), err)
	}
	t.Revision.Selector = dict(spec, "selector")
	if t.Target, err = t.describe(t.target, t.patience(target)); err != nil {
		return err
	}
	t.wait(target, t.Target)
	t.Target.Revision, t.Target.Images = t.Revision.Digest, imagesOf(podSpec(t.target))
	if t.Target.Alias, err = t.alias(t.Revision.Template); err != nil {
		return fmt.Errorf("%s: %w", title(t.target), err)
	}
	return t.blame(ctx, &t.Target, t.target, t.names.own)
}

func (t *twin) lookAtPrimary(ctx context.Context) error {
	if t.primary == nil {
		return nil
	}
	var err error
	if t.Primary, err = t.describe(t.primary, t.patience(primary)); err != nil {
		return err
	}
	t.Primary.Images = imagesOf(podSpec(t.primary))
	if err := t.rest(ctx, &t.Primary); err != nil {
		return err
	}
	t.wait(primary, t.Primary)
	if t.Primary.Replicas > 0 {
		t.kit.memory.about(t.canary.UID).pods = t.Primary.Replicas
	}
	if t.Primary.Revision, err = t.primaryRevision(ctx); err != nil {
		return err
	}
	return t.blame(ctx, &t.Primary, t.primary, t.names.primary)
}

func podSpec(workload *unstructured.Unstructured) map[string]any {
	return dict(dict(dict(workload.Object, "spec"), "template"), "spec")
}

// stopping reports whether a target that is not to have pods still had some when
// its controller looked last. Started now, it would for a moment look as ready as
// it was, and be sent users whom nobody answers.
func (t *twin) stopping() bool {
	status := dict(t.target.Object, "status")
	pods, _ := status["replicas"].(int64)
	observed, _ := status["observedGeneration"].(int64)
	return t.counted && t.Target.Replicas == 0 && (pods > 0 || observed < t.target.GetGeneration())
}

// start implements [form]: as many pods as the primary has, or as its autoscaler
// starts from. It is asked for again until they are there.
func (t *twin) start(ctx context.Context) error {
	if t.target == nil || t.stopping() {
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
	if t.stopping() {
		return "scaling down", nil
	}
	if t.Primary.Ready && t.Primary.Replicas == 0 {
		return "", t.letGo(ctx) // there is nothing to do
	}
	wanted := max(t.Primary.Replicas, 1)
	exact := t.counted && t.canary.Spec.AutoscalerRef == nil && t.primary != nil
	if t.Target.Replicas == 0 || exact && t.Target.Replicas != wanted {
		return "scaling up", t.give(ctx, wanted)
	}
	if t.Target.Why != "" {
		return t.Target.Why, nil
	}
	return "", t.letGo(ctx)
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
	return append(objects, t.kit.memory.about(t.canary.UID).alike...)
}
