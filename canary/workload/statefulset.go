// SPDX-License-Identifier: Apache-2.0

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
	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/internal/partition"
)

// statefulSet releases a StatefulSet in place, see package partition: the target are
// its pods with the update revision, the primary are the others. The new template
// waits in the StatefulSet until the router lets it reach pods. Configuration is
// no part of a revision: all pods read the same.
type statefulSet struct {
	scope *scope
	seen  Copies
	live  *unstructured.Unstructured
	set   partition.Set
	// pods are those of the set, if they are not all the same.
	pods []corev1.Pod
}

// observe implements [adapter].
func (s *statefulSet) observe(ctx context.Context) (Copies, error) {
	err := s.read(ctx)
	for _, step := range []func(context.Context) error{s.observePods, s.observeTarget, s.observePrimary, s.checkSelected} {
		if err == nil && s.live != nil {
			err = step(ctx)
		}
	}
	return s.seen, err
}

func (s *statefulSet) read(ctx context.Context) error {
	if err := refuseAutoscaler(s.scope, "a StatefulSet is released in place, and keeps its own"); err != nil {
		return err
	}
	if provider := s.scope.canary.Spec.Provider; provider != "" && provider != "kubernetes" {
		if err := s.scope.refuse("spec.provider: a StatefulSet is routed by its partition, not by %s; remove it", provider); err != nil {
			return err
		}
	}
	var err error
	if s.live, err = s.scope.read(ctx, partition.Kind, s.scope.targetName()); err != nil || s.live == nil {
		return err
	}
	if err := s.scope.checkTarget(s.live); err != nil {
		return err
	}
	if s.set, err = partition.Read(s.live); err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	if s.seen.names, s.seen.containers, err = nameAfter(s.scope, s.live); err != nil {
		return err
	}
	if s.scope.canary.HasService() {
		if s.seen.PortRemark, err = portRemark(&s.scope.canary.Spec.Service, s.live); err != nil {
			return err
		}
	}
	if s.seen.Revision, err = newRevision(object.Map(s.live.Object, "spec"), nil, nil); err != nil {
		return fmt.Errorf("%s: %w", title(s.live), err)
	}
	return nil
}

// check refuses what could not be held back. A canary that is on its way out
// holds nothing.
func (s *statefulSet) check() error {
	strategy := s.set.Spec.UpdateStrategy.Type
	switch {
	case s.scope.deleted():
		return nil
	case strategy != "" && strategy != appsv1.RollingUpdateStatefulSetStrategyType:
		return reconcile.TerminalError(fmt.Errorf("%s spec.updateStrategy.type must be RollingUpdate, not %s: others have no partition",
			title(s.live), strategy))
	case s.set.Pods() < 2:
		return reconcile.TerminalError(fmt.Errorf("%s spec.replicas must be at least 2, not %d: while one pod "+
			"tries a revision another has to keep the old one",
			title(s.live), s.set.Pods()))
	default:
		return nil
	}
}

// observePods reads pods only if they are not all the same: the status tells how
// many there are of each revision, but not how many of each work.
func (s *statefulSet) observePods(ctx context.Context) error {
	if s.set.Settled() && (!s.set.Behind() || s.set.Status.UpdatedReplicas == 0) && s.set.Status.CurrentReplicas == s.set.Status.Replicas {
		return nil
	}
	pods, err := podsWith(ctx, s.scope, s.set.Spec.Selector.MatchLabels)
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
func (s *statefulSet) available(of func(revision string) bool) (n int32) {
	for i := range s.pods {
		if of(partition.Revision(&s.pods[i])) && s.isAvailable(&s.pods[i]) {
			n++
		}
	}
	return n
}

func (s *statefulSet) isAvailable(pod *corev1.Pod) bool {
	if !partition.Ready(pod) {
		return false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			ready := s.scope.clock.Since(c.LastTransitionTime.Time)
			return ready.Seconds() >= float64(s.set.Spec.MinReadySeconds)
		}
	}
	return false
}

func (s *statefulSet) isUpdate(revision string) bool {
	return s.set.Behind() && revision == s.set.Status.UpdateRevision
}

// observeTarget finds the target ready without a pod as long as it may have none:
// there is nothing to wait for before the first weight.
func (s *statefulSet) observeTarget(ctx context.Context) (err error) {
	p := patienceWith(s.scope, target)
	w := canary.Workload{Exists: true, Revision: s.seen.Revision.Digest, Images: imagesOf(podSpec(s.live))}
	if !s.set.Settled() {
		w.Why = "waiting for rollout to finish: observed statefulset generation less than desired generation"
		s.seen.Target = w
		return nil
	}
	if s.set.Behind() {
		w.Replicas, w.Available = s.set.Reach(), s.available(s.isUpdate)
		w.Why = missingPods(w, s.set.Status.UpdatedReplicas, p)
	}
	s.seen.Target, err = s.completed(ctx, w, p)
	s.scope.entry.noteWaiting(target, s.seen.Target, s.scope.clock.Now())
	return err
}

// observePrimary takes all pods for the primary from promotion on: the revision is
// the one that it will have, and it is ready once all pods do.
func (s *statefulSet) observePrimary(ctx context.Context) error {
	p := patienceWith(s.scope, primary)
	w := canary.Workload{Exists: true, Replicas: s.set.Pods(), Available: s.set.Status.AvailableReplicas,
		Revision: s.seen.Revision.Digest, Images: imagesOf(podSpec(s.live))}
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
	if s.seen.Primary, err = s.completed(ctx, w, p); err != nil {
		return err
	}
	s.scope.entry.noteWaiting(primary, s.seen.Primary, s.scope.clock.Now())
	if s.set.Settled() && !s.set.Behind() || s.set.Released() {
		return nil
	}
	return s.currentRevision(ctx)
}

// completed adds to what was seen of one half whether it is ready, and what is wrong.
func (s *statefulSet) completed(ctx context.Context, w canary.Workload, p patience) (canary.Workload, error) {
	if w.Ready = w.Why == ""; w.Ready {
		return w, nil
	}
	if w.Stuck = p.isOver(); w.Stuck {
		w.Why = fmt.Sprintf("exceeded its progressDeadlineSeconds: %d; %s", int(p.deadline.Seconds()), w.Why)
	}
	var updated []corev1.Pod
	for _, pod := range s.pods {
		if s.isUpdate(partition.Revision(&pod)) {
			updated = append(updated, pod)
		}
	}
	return diagnosis{s.scope}.explain(ctx, w, s.live, updated)
}

// missingPods says what one half still lacks; empty is nothing.
func missingPods(w canary.Workload, have int32, p patience) string {
	switch {
	case have < w.Replicas:
		return fmt.Sprintf("waiting for rollout to finish: %d out of %d pods have the revision", have, w.Replicas)
	case have > w.Replicas:
		return fmt.Sprintf("waiting for rollout to finish: %d pods are pending termination", have-w.Replicas)
	case w.Replicas > 0 && w.Available < p.needed(w.Replicas):
		return fmt.Sprintf("waiting for rollout to finish: %d of %d (readyThreshold %d%%) pods are available",
			w.Available, p.needed(w.Replicas), p.threshold)
	default:
		return ""
	}
}

// currentRevision reads what the primary's pods are made of from where Kubernetes
// keeps it.
func (s *statefulSet) currentRevision(ctx context.Context) error {
	s.seen.Primary.Revision = ""
	kept := &appsv1.ControllerRevision{}
	key := s.scope.key(s.set.Status.CurrentRevision)
	if err := s.scope.live.Get(ctx, key, kept); apierrors.IsNotFound(err) || key.Name == "" {
		return nil
	} else if err != nil {
		return fmt.Errorf("reading revision %s: %w", key, err)
	}
	data := map[string]any{}
	if err := utiljson.Unmarshal(kept.Data.Raw, &data); err != nil {
		return fmt.Errorf("decoding revision %s: %w", key, err)
	}
	delete(object.Map(data, "spec", "template"), "$patch")
	r, err := newRevision(object.Map(data, "spec"), nil, nil)
	if err != nil {
		return fmt.Errorf("revision %s: %w", key, err)
	}
	s.seen.Primary.Revision, s.seen.Primary.Images = r.Digest, imagesOf(object.Map(r.Template, "spec"))
	return nil
}

// revision implements [revisionSource]. A StatefulSet goes back by itself, or not at all.
func (s *statefulSet) revision(digest string) (*Revision, error) {
	if s.seen.Revision == nil || s.seen.Revision.Digest != digest {
		return nil, fmt.Errorf("promoting revision %s of statefulset %s.%s: it is not the one in the template",
			digest, s.scope.targetName(), s.scope.canary.Namespace)
	}
	return s.seen.Revision, nil
}

// promote implements [adapter]: the template may reach all pods.
func (s *statefulSet) promote(ctx context.Context, _ *Revision) error {
	return s.write(ctx, s.set.Fingerprint())
}

// stop implements [stopper]: what was promoted is not any more, unless it is all
// there is. The router takes the pods back.
func (s *statefulSet) stop(ctx context.Context) error {
	if s.live == nil || !s.set.Released() || !s.set.Behind() {
		return nil
	}
	return s.write(ctx, "")
}

// write notes which template is promoted, and the partition that follows.
// Somebody's change in between is a conflict: the template may be another one.
func (s *statefulSet) write(ctx context.Context, released string) error {
	wanted := s.live.DeepCopy()
	annotations := object.Merge(nil, wanted.GetAnnotations())
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
	object.Put(wanted.Object, int64(set.Wanted()), "spec", "updateStrategy", "rollingUpdate", "partition")
	before, _ := json.Marshal(s.live)
	after, _ := json.Marshal(wanted)
	if string(before) == string(after) {
		return nil
	}
	if err := s.scope.live.Patch(ctx, wanted, client.MergeFromWithOptions(s.live, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("writing %s: %w", title(s.live), err)
	}
	return nil
}

// objects implements [adapter]. What happens to its pods shows in its status.
func (s *statefulSet) objects() []object.Ref {
	return append(append(s.scope.services(), s.scope.object(partition.Kind, s.scope.targetName())), s.scope.entry.selected.alike...)
}
