// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/object"
)

// twoCopies releases targets that get a second copy, the primary, whose pods users
// reach instead: both are carried as JSON, see the package's comment.
type twoCopies struct {
	scope   *scope
	kind    twoCopyKind
	kept    snapshots
	configs configs
	pods    diagnosis

	seen            Copies
	target, primary *unstructured.Unstructured
}

// twoCopyKind is what kinds of targets with two copies differ in.
type twoCopyKind struct {
	schema.GroupVersionKind
	// rollout are the fields of the spec that say how to roll a revision out.
	rollout []string
	// describe says how a copy stands.
	describe func(*unstructured.Unstructured, patience) (canary.Workload, error)
	// check returns an error about what Flagger does not release either; nil is that
	// everything can be released.
	check func(*unstructured.Unstructured) error
	// clean removes from a pod template what stopping the target leaves in it; nil is
	// that nothing is left.
	clean func(template map[string]any)
	// alias is what Flagger calls a pod template.
	alias func(template map[string]any) (string, error)
	// replicas says whether spec.replicas is how many pods there are.
	replicas replicaField
	// run is the merge patch that gives the target so many pods.
	run func(pods int32) string
}

// replicaField says where the number of pods of a kind comes from.
type replicaField int

const (
	// bySpec is spec.replicas.
	bySpec replicaField = iota
	// byNodes is one pod for each node.
	byNodes
)

func newTwoCopies(s *scope, kept snapshots, kind twoCopyKind) *twoCopies {
	return &twoCopies{scope: s, kind: kind, kept: kept, configs: kept.configs, pods: diagnosis{s}}
}

// observe implements [adapter].
func (t *twoCopies) observe(ctx context.Context) (Copies, error) {
	err := t.read(ctx)
	for _, step := range []func(context.Context) error{t.observeTarget, t.observePrimary, t.checkSelected} {
		if err == nil {
			err = step(ctx)
		}
	}
	return t.seen, err
}

// read reads both copies, and finds out how their pods are told apart.
func (t *twoCopies) read(ctx context.Context) error {
	if _, err := autoscalerOf(t.scope); err != nil {
		return err
	}
	if t.kind.replicas == byNodes {
		if err := refuseAutoscaler(t.scope, t.kind.Kind+"s are not scaled"); err != nil {
			return err
		}
	}
	var err error
	if t.target, err = t.scope.read(ctx, t.kind.GroupVersionKind, t.scope.targetName()); err != nil {
		return err
	}
	if t.primary, err = t.scope.read(ctx, t.kind.GroupVersionKind, t.scope.primaryName()); err != nil {
		return err
	}
	if t.seen.Saved, err = t.kept.list(ctx); err != nil {
		return err
	}
	return t.name()
}

// name finds out how the two copies are called, and refuses what cannot be released.
func (t *twoCopies) name() error {
	t.seen.names = naming{target: t.scope.targetName(), keys: t.scope.opts.SelectorLabels}
	var pods map[string]string
	if t.target != nil {
		if err := t.scope.checkTarget(t.target); err != nil {
			return err
		}
		if t.kind.check != nil && !t.scope.deleted() {
			if err := t.kind.check(t.target); err != nil {
				return err
			}
		}
		var err error
		if t.seen.names, t.seen.containers, err = nameAfter(t.scope, t.target); err != nil {
			return err
		}
		if err := checkLengths(t.scope, t.target, t.seen.names); err != nil {
			return err
		}
		if t.scope.canary.HasService() {
			if t.seen.PortRemark, err = portRemark(&t.scope.canary.Spec.Service, t.target); err != nil {
				return err
			}
		}
		pods = podLabels(t.target)
	}
	if t.primary == nil {
		return nil
	}
	if err := t.scope.checkOwner(t.primary, "spec.targetRef"); err != nil {
		return err
	}
	isCopy := func() bool {
		_, ok := object.Map(t.primary.Object, "spec", "template", "metadata", "annotations")[idAnnotation]
		return ok
	}
	if err := t.scope.checkPlace(t.primary, isCopy); err != nil {
		return refusing("spec.targetRef", err)
	}
	t.seen.names.follow(t.primary, pods)
	return nil
}

func (t *twoCopies) observeTarget(ctx context.Context) error {
	if t.target == nil {
		return nil
	}
	t.scope.entry.expectGeneration(t.target.GetGeneration())
	keys, read, err := t.configs.read(ctx, podSpec(t.target))
	t.seen.Configs = keys
	if err != nil {
		return err
	}
	spec := runtime.DeepCopyJSON(object.Map(t.target.Object, "spec"))
	if t.kind.clean != nil {
		t.kind.clean(object.Map(spec, "template"))
	}
	r, err := newRevision(spec, t.kind.rollout, read)
	if err != nil {
		return fmt.Errorf("%s: %w", title(t.target), err)
	}
	r.Selector = object.Map(spec, "selector")
	w, err := t.kind.describe(t.target, patienceWith(t.scope, target))
	if err != nil {
		return err
	}
	t.scope.entry.noteWaiting(target, w, t.scope.clock.Now())
	w.Revision, w.Images = r.Digest, imagesOf(podSpec(t.target))
	if w.Alias, err = t.kind.alias(r.Template); err != nil {
		return fmt.Errorf("%s: %w", title(t.target), err)
	}
	t.seen.Revision = r
	t.seen.Target, err = t.diagnosed(ctx, w, t.target, t.seen.names.own)
	return err
}

func (t *twoCopies) observePrimary(ctx context.Context) error {
	if t.primary == nil {
		return nil
	}
	w, err := t.kind.describe(t.primary, patienceWith(t.scope, primary))
	if err != nil {
		return err
	}
	w.Images = imagesOf(podSpec(t.primary))
	if w, err = markIdle(ctx, t.scope, w); err != nil {
		return err
	}
	t.scope.entry.noteWaiting(primary, w, t.scope.clock.Now())
	if w.Replicas > 0 {
		t.scope.entry.primaryPods = w.Replicas
	}
	if w.Revision, err = t.primaryRevision(ctx); err != nil {
		return err
	}
	t.seen.Primary, err = t.diagnosed(ctx, w, t.primary, t.seen.names.primary)
	return err
}

// diagnosed completes what is seen of a copy by what keeps its pods from serving.
func (t *twoCopies) diagnosed(
	ctx context.Context, w canary.Workload, of *unstructured.Unstructured, labels map[string]string,
) (canary.Workload, error) {
	if w.Ready || w.Replicas == 0 || t.seen.names.label == "" {
		return w, nil
	}
	return t.pods.diagnose(ctx, w, of, labels)
}

func podSpec(workload *unstructured.Unstructured) map[string]any {
	return object.Map(workload.Object, "spec", "template", "spec")
}

// stopping reports whether a target that is not to have pods still had some when
// its controller looked last. Started now, it would for a moment look as ready as
// it was, and be sent users whom nobody answers.
func (t *twoCopies) stopping() bool {
	pods, observed := object.Int(t.target.Object, "status", "replicas"), object.Int(t.target.Object, "status", "observedGeneration")
	return t.kind.replicas == bySpec && t.seen.Target.Replicas == 0 && (pods > 0 || observed < t.target.GetGeneration())
}

// start implements [starter]: as many pods as the primary has, or as its autoscaler
// starts from. It is asked for again until they are there.
func (t *twoCopies) start(ctx context.Context) error {
	if t.target == nil || t.stopping() {
		return nil
	}
	pods := max(t.seen.Primary.Replicas, 1)
	a, err := autoscalerOf(t.scope)
	if err != nil {
		return err
	}
	if a != nil {
		if pods, err = a.resumeTarget(ctx, pods); err != nil {
			return err
		}
	}
	if t.seen.Target.Replicas > 0 {
		return nil
	}
	return t.scale(ctx, pods)
}

// stop implements [stopper]. The autoscaler is paused first, or it would give the
// target new pods.
func (t *twoCopies) stop(ctx context.Context) error {
	if t.target == nil || t.seen.Target.Replicas == 0 {
		return nil
	}
	a, err := autoscalerOf(t.scope)
	if err != nil {
		return err
	}
	if a != nil {
		if err := a.pauseTarget(ctx); err != nil {
			return err
		}
	}
	return t.scale(ctx, 0)
}

// revert implements [reverter]: the target gets the primary's pods back.
func (t *twoCopies) revert(ctx context.Context) (string, error) {
	if t.target == nil {
		return "", nil
	}
	wanted := max(t.seen.Primary.Replicas, 1)
	a, err := autoscalerOf(t.scope)
	if err != nil {
		return "", err
	}
	if a != nil {
		if _, err := a.resumeTarget(ctx, wanted); err != nil {
			return "", err
		}
	}
	if t.stopping() {
		return "scaling down", nil
	}
	idle := t.seen.Primary.Ready && t.seen.Primary.Replicas == 0 // so is the target, then
	exact := t.kind.replicas == bySpec && t.scope.canary.Spec.AutoscalerRef == nil && t.primary != nil
	switch {
	case idle:
	case t.seen.Target.Replicas == 0 || exact && t.seen.Target.Replicas != wanted:
		return "scaling up", t.scale(ctx, wanted)
	case t.seen.Target.Why != "":
		return t.seen.Target.Why, nil
	}
	return "", resumeAll(ctx, t.scope, a)
}

// scale gives the target so many pods.
func (t *twoCopies) scale(ctx context.Context, pods int32) error {
	if err := t.scope.live.Patch(ctx, t.target.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(t.kind.run(pods)))); err != nil {
		return fmt.Errorf("scaling %s to %d: %w", title(t.target), pods, err)
	}
	return nil
}

// objects implements [adapter].
func (t *twoCopies) objects() []object.Ref {
	objects := append(t.scope.services(), t.scope.object(t.kind.GroupVersionKind, t.scope.targetName()),
		t.scope.object(t.kind.GroupVersionKind, t.scope.primaryName()))
	if a, err := autoscalerOf(t.scope); a != nil && err == nil {
		objects = append(objects, t.scope.object(a.kind.GroupVersionKind, a.name()),
			t.scope.object(a.kind.GroupVersionKind, flaggerv1.PrimaryName(a.name())))
	}
	return append(objects, t.scope.entry.selected.alike...)
}
