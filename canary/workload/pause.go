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
)

// heldAnnotation is on an autoscaler that is paused by the canary: at how many pods,
// and at how many its owner had paused it.
const heldAnnotation = "sluice.dev/held-replicas"

// held is how many pods an autoscaler was told to keep, and by its owner before that;
// empty is that it was not.
type held struct {
	Set string `json:"set"`
	Was string `json:"was,omitempty"`
}

// hold keeps the owner's object at so many pods of the target.
func (p *Pair) hold(ctx context.Context, s *scaler, theirs *unstructured.Unstructured, pods int32) error {
	if s.pause == "" || theirs == nil {
		return nil
	}
	is, set := theirs.GetAnnotations()[s.pause], strconv.Itoa(int(pods))
	if is == set {
		return nil
	}
	h := held{Set: set, Was: is}
	if before, ok := theirs.GetAnnotations()[heldAnnotation]; ok {
		noted := held{}
		if json.Unmarshal([]byte(before), &noted) == nil && noted.Set == is {
			h.Was = noted.Was
		}
	}
	encoded, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("pausing %s: %w", title(theirs), err)
	}
	return p.annotate(ctx, theirs, map[string]any{s.pause: set, heldAnnotation: string(encoded)})
}

// resume lets the owner's object scale the target again, or pauses it as its owner
// did. One that he keeps at no pods would take them from users who are back on the
// target.
func (p *Pair) resume(ctx context.Context, s *scaler, theirs *unstructured.Unstructured) error {
	if s.pause == "" || theirs == nil {
		return nil
	}
	is := theirs.GetAnnotations()[s.pause]
	noted, ours := held{}, theirs.GetAnnotations()[heldAnnotation]
	switch {
	case ours == "" && is != "0":
		return nil
	case ours == "": // by an earlier version
		return p.annotate(ctx, theirs, map[string]any{s.pause: nil})
	case json.Unmarshal([]byte(ours), &noted) != nil || noted.Set != is && is != "0":
		return p.annotate(ctx, theirs, map[string]any{heldAnnotation: nil})
	case noted.Was == "" || noted.Was == "0":
		return p.annotate(ctx, theirs, map[string]any{s.pause: nil, heldAnnotation: nil})
	default:
		return p.annotate(ctx, theirs, map[string]any{s.pause: noted.Was, heldAnnotation: nil})
	}
}

func (p *Pair) annotate(ctx context.Context, u *unstructured.Unstructured, annotations map[string]any) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if err != nil {
		return fmt.Errorf("annotating %s: %w", title(u), err)
	}
	if err := p.kit.live.Patch(ctx, u.DeepCopy(), client.RawPatch("application/merge-patch+json", patch)); err != nil {
		return fmt.Errorf("annotating %s: %w", title(u), err)
	}
	return nil
}

// holdBack keeps the owner's object from giving a stopped target pods, and from taking
// those that it has during a release: what is tried may be idle until it has users.
func (p *Pair) holdBack(ctx context.Context, s *scaler, theirs *unstructured.Unstructured) error {
	switch {
	case p.stopped():
		return p.hold(ctx, s, theirs, 0)
	case p.canary.Status.UnderWay() && p.Target.Exists && p.takesAll(s, theirs):
		return p.hold(ctx, s, theirs, max(p.Primary.Replicas, 1))
	default:
		return nil
	}
}

// takesAll reports whether the owner's object would leave the target without pods.
func (p *Pair) takesAll(s *scaler, theirs *unstructured.Unstructured) bool {
	was := theirs.GetAnnotations()[s.pause]
	noted := held{}
	if json.Unmarshal([]byte(theirs.GetAnnotations()[heldAnnotation]), &noted) == nil && noted.Set == was {
		was = noted.Was
	} else if was == "0" {
		was = "" // by an earlier version
	}
	return s.pause != "" && (was == "0" || was == "" && s.idles(dict(theirs.Object, "spec")))
}

// release lets an autoscaler act on the target again, as far as that leaves it pods,
// and returns the number that it starts from; zero if there is no autoscaler.
func (p *Pair) release(ctx context.Context) (int32, error) {
	s, err := p.scalerOf()
	if s == nil || err != nil {
		return 0, err
	}
	theirs, err := p.theirScaler(ctx, s)
	if err != nil || theirs == nil {
		return 1, err
	}
	if p.takesAll(s, theirs) {
		pods := max(p.Primary.Replicas, 1)
		return pods, p.hold(ctx, s, theirs, pods)
	}
	floor, _ := dict(theirs.Object, "spec")[s.least].(int64)
	return max(int32(floor), 1), p.resume(ctx, s, theirs)
}

// letGo lets the owner's objects do as they like, once the target has its users back:
// that of the spec, and those that an earlier spec named.
func (p *Pair) letGo(ctx context.Context) error {
	s, err := p.scalerOf()
	if err != nil {
		return err
	}
	if s != nil {
		theirs, err := p.theirScaler(ctx, s)
		if err != nil {
			return err
		}
		if err := p.resume(ctx, s, theirs); err != nil {
			return err
		}
	}
	found := &unstructured.UnstructuredList{}
	found.SetGroupVersionKind(scaledObjects.kind.GroupVersion().WithKind(scaledObjects.kind.Kind + "List"))
	err = p.kit.live.List(ctx, found, client.InNamespace(p.canary.Namespace))
	if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing autoscalers of %s.%s: %w", p.canary.Spec.TargetRef.Name, p.canary.Namespace, err)
	}
	for i := range found.Items {
		theirs := &found.Items[i]
		_, ours := theirs.GetAnnotations()[heldAnnotation]
		if ours && dict(dict(theirs.Object, "spec"), "scaleTargetRef")["name"] == p.canary.Spec.TargetRef.Name {
			if err := p.resume(ctx, scaledObjects, theirs); err != nil {
				return err
			}
		}
	}
	return nil
}

// restrain keeps an autoscaler from acting on the target.
func (p *Pair) restrain(ctx context.Context) error {
	s, err := p.scalerOf()
	if s == nil || err != nil || s.pause == "" {
		return err
	}
	theirs, err := p.theirScaler(ctx, s)
	if err != nil {
		return err
	}
	return p.hold(ctx, s, theirs, 0)
}

// asleep reports whether a primary has no pods because its autoscaler found nothing
// for them to do.
func (p *Pair) asleep(ctx context.Context, w canary.Workload) (bool, error) {
	if !w.Exists || w.Replicas > 0 || p.canary.Spec.AutoscalerRef == nil {
		return false, nil
	}
	s, err := p.scalerOf()
	if s == nil || s == scaledObjects && !p.canary.HasService() {
		return s != nil, err
	}
	theirs, err := p.theirScaler(ctx, s)
	return theirs != nil && s.idles(dict(theirs.Object, "spec")), err
}

// rest marks a primary that is asleep, or about to wake. At rest there is nothing to
// wait for; during a release one that has users needs pods for them to go back to.
func (p *Pair) rest(ctx context.Context, w *canary.Workload) error {
	asleep, err := p.asleep(ctx, *w)
	if err != nil {
		return err
	}
	about := p.kit.memory.about(p.canary.UID)
	about.slept = asleep || about.slept && w.Exists && !w.Serves() && !w.Stuck
	w.Idle = about.slept
	if asleep && (!p.canary.HasService() || !p.canary.Status.UnderWay()) {
		w.Ready, w.Stuck, w.Why = true, false, ""
	}
	return nil
}
