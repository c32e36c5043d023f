// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/object"
)

// pausedAnnotation is on an autoscaler that is paused by the canary: at how many pods,
// and at how many its owner had paused it.
const pausedAnnotation = "sluice.dev/held-replicas"

// pauseNote is the content of [pausedAnnotation]: how many pods an autoscaler was told to
// keep, and by its owner before that; empty is that it was not.
type pauseNote struct {
	Set string `json:"set"`
	Was string `json:"was,omitempty"`
}

// pauseAt keeps the owner's object at so many pods of the target.
func (a *autoscaler) pauseAt(ctx context.Context, owners *unstructured.Unstructured, pods int32) error {
	if a.kind.pause == "" || owners == nil {
		return nil
	}
	is, set := owners.GetAnnotations()[a.kind.pause], strconv.Itoa(int(pods))
	if is == set {
		return nil
	}
	note := pauseNote{Set: set, Was: is}
	if before, ok := noteOn(owners); ok && before.Set == is {
		note.Was = before.Was
	}
	encoded, err := json.Marshal(note)
	if err != nil {
		return fmt.Errorf("pausing %s: %w", title(owners), err)
	}
	return a.scope.annotate(ctx, owners, map[string]any{a.kind.pause: set, pausedAnnotation: string(encoded)})
}

// noteOn is what the canary has noted on an autoscaler, if that can be read.
func noteOn(owners *unstructured.Unstructured) (note pauseNote, ok bool) {
	err := json.Unmarshal([]byte(owners.GetAnnotations()[pausedAnnotation]), &note)
	return note, err == nil
}

// resume lets the owner's object scale the target again, or pauses it as its owner
// did. One that he keeps at no pods would take them from users who are back on the
// target.
func (a *autoscaler) resume(ctx context.Context, owners *unstructured.Unstructured) error {
	if a.kind.pause == "" || owners == nil {
		return nil
	}
	is, marked := owners.GetAnnotations()[a.kind.pause], owners.GetAnnotations()[pausedAnnotation] != ""
	note, readable := noteOn(owners)
	switch {
	case !marked && is != "0":
		return nil
	case !marked: // by an earlier version
		return a.scope.annotate(ctx, owners, map[string]any{a.kind.pause: nil})
	case !readable || note.Set != is && is != "0":
		return a.scope.annotate(ctx, owners, map[string]any{pausedAnnotation: nil})
	case note.Was == "" || note.Was == "0":
		return a.scope.annotate(ctx, owners, map[string]any{a.kind.pause: nil, pausedAnnotation: nil})
	default:
		return a.scope.annotate(ctx, owners, map[string]any{a.kind.pause: note.Was, pausedAnnotation: nil})
	}
}

// holdTarget keeps the owner's object from giving a stopped target pods, and from taking
// those that it has during a release: what is tried may be idle until it has users.
func (a *autoscaler) holdTarget(ctx context.Context, owners *unstructured.Unstructured, seen Copies) error {
	switch {
	case isStopped(seen.Target):
		return a.pauseAt(ctx, owners, 0)
	case a.scope.canary.Status.UnderWay() && seen.Target.Exists && a.takesAll(owners):
		return a.pauseAt(ctx, owners, max(seen.Primary.Replicas, 1))
	default:
		return nil
	}
}

// takesAll reports whether the owner's object would leave the target without pods.
func (a *autoscaler) takesAll(owners *unstructured.Unstructured) bool {
	was := owners.GetAnnotations()[a.kind.pause]
	if note, ok := noteOn(owners); ok && note.Set == was {
		was = note.Was
	} else if was == "0" {
		was = "" // by an earlier version
	}
	return a.kind.pause != "" && (was == "0" || was == "" && a.kind.idles(object.Map(owners.Object, "spec")))
}

// resumeTarget lets the autoscaler act on the target again, as far as that leaves it
// pods, and returns the number that it starts from. One that would take all of them
// keeps as many as the primary has.
func (a *autoscaler) resumeTarget(ctx context.Context, primaryPods int32) (int32, error) {
	owners, err := a.read(ctx)
	if err != nil || owners == nil {
		return 1, err
	}
	if a.takesAll(owners) {
		return primaryPods, a.pauseAt(ctx, owners, primaryPods)
	}
	return max(int32(object.Int(owners.Object, "spec", a.kind.least)), 1), a.resume(ctx, owners)
}

// pauseTarget keeps the autoscaler from giving the target pods.
func (a *autoscaler) pauseTarget(ctx context.Context) error {
	if a.kind.pause == "" {
		return nil
	}
	owners, err := a.read(ctx)
	if err != nil {
		return err
	}
	return a.pauseAt(ctx, owners, 0)
}

// resumeAll lets the owner's objects do as they like, once the target has its users back:
// the autoscaler of the spec, nil if there is none, and those that an earlier spec named.
func resumeAll(ctx context.Context, s *scope, now *autoscaler) error {
	if now != nil {
		owners, err := now.read(ctx)
		if err != nil {
			return err
		}
		if err := now.resume(ctx, owners); err != nil {
			return err
		}
	}
	found := &unstructured.UnstructuredList{}
	found.SetGroupVersionKind(scaledObjects.GroupVersion().WithKind(scaledObjects.Kind + "List"))
	err := s.live.List(ctx, found, client.InNamespace(s.canary.Namespace))
	if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing autoscalers of %s.%s: %w", s.targetName(), s.canary.Namespace, err)
	}
	former := &autoscaler{s, scaledObjects}
	for i := range found.Items {
		owners := &found.Items[i]
		_, ours := owners.GetAnnotations()[pausedAnnotation]
		if ours && object.Text(owners.Object, "spec", "scaleTargetRef", "name") == s.targetName() {
			if err := former.resume(ctx, owners); err != nil {
				return err
			}
		}
	}
	return nil
}

// isIdle reports whether a primary has no pods because its autoscaler found nothing
// for them to do.
func isIdle(ctx context.Context, s *scope, w canary.Workload) (bool, error) {
	if !w.Exists || w.Replicas > 0 || s.canary.Spec.AutoscalerRef == nil {
		return false, nil
	}
	a, err := autoscalerOf(s)
	if a == nil || a.kind == scaledObjects && !s.canary.HasService() {
		return a != nil, err
	}
	owners, err := a.read(ctx)
	return owners != nil && a.kind.idles(object.Map(owners.Object, "spec")), err
}

// markIdle marks a primary that is idle, or about to have pods again. At rest there is
// nothing to wait for; during a release one that has users needs pods for them to go
// back to.
func markIdle(ctx context.Context, s *scope, w canary.Workload) (canary.Workload, error) {
	idle, err := isIdle(ctx, s, w)
	if err != nil {
		return w, err
	}
	s.entry.idle = idle || s.entry.idle && w.Exists && !w.Serves() && !w.Stuck
	w.Idle = s.entry.idle
	if idle && (!s.canary.HasService() || !s.canary.Status.UnderWay()) {
		w.Ready, w.Stuck, w.Why = true, false, ""
	}
	return w, nil
}
