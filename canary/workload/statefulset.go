package workload

import (
	"context"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/internal/partition"
)

// stateful releases a StatefulSet in place, see package partition: the target are
// its pods with the update revision, the primary are the others. The new template
// waits in the StatefulSet until the router lets it reach pods. Configuration is
// no part of a revision: all pods read the same.
type stateful struct {
	*Pair
	live *unstructured.Unstructured
	set  partition.Set
	pods []corev1.Pod
}

func (s *stateful) look(ctx context.Context) error {
	if err := s.noScaler("a StatefulSet is released in place, and keeps its own"); err != nil {
		return err
	}
	if provider := s.canary.Spec.Provider; provider != "" && provider != "kubernetes" {
		if err := s.refuse("spec.provider: a StatefulSet is routed by its partition, not by %s; remove it", provider); err != nil {
			return err
		}
	}
	var err error
	if s.live, err = s.kit.read(ctx, partition.Kind, s.key(s.canary.Spec.TargetRef.Name)); err != nil || s.live == nil {
		return err
	}
	if s.set, err = partition.Read(s.live); err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	if err := s.nameAfter(s.live); err != nil {
		return err
	}
	if s.Revision, err = newRevision(dict(s.live.Object, "spec"), nil, nil); err != nil {
		return fmt.Errorf("%s: %w", title(s.live), err)
	}
	if err := s.lookAtPods(ctx); err != nil {
		return err
	}
	if err := s.lookAtTarget(ctx); err != nil {
		return err
	}
	return s.lookAtPrimary(ctx)
}

// check refuses what could not be held back. A canary that is on its way out
// holds nothing.
func (s *stateful) check() error {
	strategy := s.set.Spec.UpdateStrategy.Type
	switch {
	case s.canary.DeletionTimestamp != nil:
		return nil
	case strategy != "" && strategy != appsv1.RollingUpdateStatefulSetStrategyType:
		return reconcile.TerminalError(fmt.Errorf("%s spec.updateStrategy.type must be RollingUpdate, not %s: others have no partition", title(s.live), strategy))
	case s.set.Pods() < 2:
		return reconcile.TerminalError(fmt.Errorf("%s spec.replicas must be at least 2, not %d: while one pod tries a revision another has to keep the old one",
			title(s.live), s.set.Pods()))
	default:
		return nil
	}
}

// lookAtPods reads pods only if they are not all the same: the status tells how
// many there are of each revision, but not how many of each work.
func (s *stateful) lookAtPods(ctx context.Context) error {
	if s.set.Settled() && (!s.set.Behind() || s.set.Status.UpdatedReplicas == 0) && s.set.Status.CurrentReplicas == s.set.Status.Replicas {
		return nil
	}
	pods, err := s.Pair.pods(ctx, s.set.Spec.Selector.MatchLabels)
	if err != nil {
		return err
	}
	for _, pod := range pods {
		if metav1.IsControlledBy(&pod, s.live) {
			s.pods = append(s.pods, pod)
		}
	}
	return nil
}

// available counts pods that have been ready for long enough.
func (s *stateful) available(of func(revision string) bool) (n int32) {
	for i := range s.pods {
		if of(partition.Revision(&s.pods[i])) && s.isAvailable(&s.pods[i]) {
			n++
		}
	}
	return n
}

func (s *stateful) isAvailable(pod *corev1.Pod) bool {
	if !partition.Ready(pod) {
		return false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			ready := s.kit.clock.Since(c.LastTransitionTime.Time)
			return ready.Seconds() >= float64(s.set.Spec.MinReadySeconds)
		}
	}
	return false
}

func (s *stateful) isUpdate(revision string) bool {
	return s.set.Behind() && revision == s.set.Status.UpdateRevision
}

// lookAtTarget finds the target ready without a pod as long as it may have none:
// there is nothing to wait for before the first weight.
func (s *stateful) lookAtTarget(ctx context.Context) (err error) {
	p := s.patience(target)
	w := canary.Workload{Exists: true, Revision: s.Revision.Digest, Images: imagesOf(podSpec(s.live))}
	if !s.set.Settled() {
		w.Why = "waiting for rollout to finish: observed statefulset generation less than desired generation"
		s.Target = w
		return nil
	}
	if s.set.Behind() {
		w.Replicas, w.Available = s.set.Reach(), s.available(s.isUpdate)
		w.Why = missingPods(w, s.set.Status.UpdatedReplicas, p)
	}
	s.Target, err = s.judged(ctx, w, p)
	s.wait(target, s.Target)
	return err
}

// lookAtPrimary takes all pods for the primary from promotion on: the revision is
// the one that it will have, and it is ready once all pods do.
func (s *stateful) lookAtPrimary(ctx context.Context) error {
	p := s.patience(primary)
	w := canary.Workload{Exists: true, Replicas: s.set.Pods(), Available: s.set.Status.AvailableReplicas,
		Revision: s.Revision.Digest, Images: imagesOf(podSpec(s.live))}
	switch {
	case !s.set.Settled():
		w.Why = "waiting for rollout to finish: observed statefulset generation less than desired generation"
	case !s.set.Behind():
		w.Why = missingPods(w, s.set.Status.CurrentReplicas, p)
	case s.set.Released():
		w.Why = fmt.Sprintf("waiting for rollout to finish: %d out of %d new pods have been updated", s.set.Status.UpdatedReplicas, w.Replicas)
	default:
		w.Replicas -= s.set.Reach()
		if s.pods != nil {
			w.Available = s.available(func(revision string) bool { return revision == s.set.Status.CurrentRevision })
		}
		w.Why = missingPods(w, s.set.Status.CurrentReplicas, p)
	}
	var err error
	if s.Primary, err = s.judged(ctx, w, p); err != nil {
		return err
	}
	s.wait(primary, s.Primary)
	if s.set.Settled() && !s.set.Behind() || s.set.Released() {
		return nil
	}
	return s.currentRevision(ctx)
}

// judged completes what was seen of one half.
func (s *stateful) judged(ctx context.Context, w canary.Workload, p patience) (canary.Workload, error) {
	if w.Ready = w.Why == ""; w.Ready {
		return w, nil
	}
	if w.Stuck = p.over(); w.Stuck {
		w.Why = fmt.Sprintf("exceeded its progressDeadlineSeconds: %d; %s", int(p.deadline.Seconds()), w.Why)
	}
	var updated []corev1.Pod
	for _, pod := range s.pods {
		if s.isUpdate(partition.Revision(&pod)) {
			updated = append(updated, pod)
		}
	}
	if blameAny(&w, updated) {
		return w, nil
	}
	return w, s.blameEvents(ctx, &w, s.live, updated)
}

// missingPods says what one half still lacks; empty is nothing.
func missingPods(w canary.Workload, have int32, p patience) string {
	switch {
	case have < w.Replicas:
		return fmt.Sprintf("waiting for rollout to finish: %d out of %d pods have the revision", have, w.Replicas)
	case have > w.Replicas:
		return fmt.Sprintf("waiting for rollout to finish: %d pods are pending termination", have-w.Replicas)
	case w.Replicas > 0 && w.Available < p.needed(w.Replicas):
		return fmt.Sprintf("waiting for rollout to finish: %d of %d (readyThreshold %d%%) pods are available", w.Available, p.needed(w.Replicas), p.threshold)
	default:
		return ""
	}
}

// currentRevision reads what the primary's pods are made of from where Kubernetes
// keeps it.
func (s *stateful) currentRevision(ctx context.Context) error {
	s.Primary.Revision = ""
	kept := &appsv1.ControllerRevision{}
	key := s.key(s.set.Status.CurrentRevision)
	if err := s.kit.live.Get(ctx, key, kept); apierrors.IsNotFound(err) || key.Name == "" {
		return nil
	} else if err != nil {
		return fmt.Errorf("reading revision %s: %w", key, err)
	}
	data := map[string]any{}
	if err := utiljson.Unmarshal(kept.Data.Raw, &data); err != nil {
		return fmt.Errorf("decoding revision %s: %w", key, err)
	}
	delete(dict(dict(data, "spec"), "template"), "$patch")
	r, err := newRevision(dict(data, "spec"), nil, nil)
	if err != nil {
		return fmt.Errorf("revision %s: %w", key, err)
	}
	s.Primary.Revision, s.Primary.Images = r.Digest, imagesOf(dict(r.Template, "spec"))
	return nil
}

// recall implements [archive]. A StatefulSet goes back by itself, or not at all.
func (s *stateful) recall(digest string) (*Revision, error) {
	if s.Revision == nil || s.Revision.Digest != digest {
		return nil, fmt.Errorf("promoting revision %s of statefulset %s.%s: it is not the one in the template",
			digest, s.canary.Spec.TargetRef.Name, s.canary.Namespace)
	}
	return s.Revision, nil
}

// setPrimary implements [form]: the template may reach all pods.
func (s *stateful) setPrimary(ctx context.Context, _ *Revision) error {
	return s.write(ctx, s.set.Fingerprint())
}

// stop implements [form]: what was promoted is not any more, unless it is all
// there is. The router takes the pods back.
func (s *stateful) stop(ctx context.Context) error {
	if s.live == nil || !s.set.Released() || !s.set.Behind() {
		return nil
	}
	return s.write(ctx, "")
}

// write notes which template is promoted, and the partition that follows.
// Somebody's change in between is a conflict: the template may be another one.
func (s *stateful) write(ctx context.Context, released string) error {
	wanted := s.live.DeepCopy()
	annotations := merge(map[string]string{}, wanted.GetAnnotations())
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[partition.ReleasedAnnotation] = released
	if released == "" {
		delete(annotations, partition.ReleasedAnnotation)
	}
	wanted.SetAnnotations(annotations)
	set, err := partition.Read(wanted)
	if err != nil {
		return err
	}
	child(child(child(wanted.Object, "spec"), "updateStrategy"), "rollingUpdate")["partition"] = int64(set.Wanted())
	before, _ := json.Marshal(s.live)
	after, _ := json.Marshal(wanted)
	if string(before) == string(after) {
		return nil
	}
	if err := s.kit.live.Patch(ctx, wanted, client.MergeFromWithOptions(s.live, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("writing %s: %w", title(s.live), err)
	}
	return nil
}

// start implements [form]: pods follow the weight.
func (*stateful) start(context.Context) error { return nil }

// revert implements [form]: the router gives the partition back.
func (*stateful) revert(context.Context) (string, error) { return "", nil }

// objects implements [form]. What happens to its pods shows in its status.
func (s *stateful) objects() []Object {
	return append(s.services(), s.object(partition.Kind, s.canary.Spec.TargetRef.Name))
}
