// SPDX-License-Identifier: Apache-2.0

// Package partition releases a StatefulSet in place, pod by pod. Its pods have
// identities and volumes, so that there is no second copy to send users to; but
// Kubernetes keeps pods with an ordinal below spec.updateStrategy.rollingUpdate
// .partition on the revision that they have, and recreates them with it:
//
//	partition 3 of 5:   pod-0 pod-1 pod-2 | pod-3 pod-4
//	                    current revision  | update revision
//
//	at rest     so high that a new template reaches no pod
//	weight w    the share of the pods, at least one, that get the new revision
//	promotion   zero, until all pods have it; then high again
//	rollback    high, and pods that have the failed revision are deleted, so that
//	            they come back with the old one
//
// Once all pods are ready with a revision, Kubernetes forgets the one before.
// That is why an analysis never reaches the last pod: as long as it has the old
// revision there is a way back.
//
// What a canary wants is noted on the StatefulSet itself, in two annotations, and
// [Set.Wanted] turns it into a partition, which is the same at any time and for any reader of
// the StatefulSet.
package partition

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	// WeightAnnotation is the percentage of pods that a canary wants to have the
	// new revision; absent is none.
	WeightAnnotation = "sluice.dev/canary-weight"
	// ReleasedAnnotation is the [Set.Fingerprint] of the template that was promoted.
	ReleasedAnnotation = "sluice.dev/released-template"
	// HoldAllPods is the partition at rest: more pods than any StatefulSet has, so that
	// scaling up reaches none with a template that is held back.
	HoldAllPods = 1_000_000
)

// Kind is the kind of StatefulSets.
var Kind = appsv1.SchemeGroupVersion.WithKind("StatefulSet")

// Set is a StatefulSet that is released by its partition.
type Set struct {
	*appsv1.StatefulSet
	raw *unstructured.Unstructured
}

// Read understands a StatefulSet as the API server returns it.
func Read(u *unstructured.Unstructured) (Set, error) {
	s := Set{StatefulSet: &appsv1.StatefulSet{}, raw: u}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, s.StatefulSet); err != nil {
		return s, fmt.Errorf("reading statefulset %s.%s: %w", u.GetName(), u.GetNamespace(), err)
	}
	return s, nil
}

// Fingerprint tells templates apart. It covers the JSON of the API server, which
// is the same for as long as nobody changes the template.
func (s Set) Fingerprint() string {
	template, _, _ := unstructured.NestedFieldNoCopy(s.raw.Object, "spec", "template")
	encoded, err := json.Marshal(template)
	if err != nil {
		return "" // JSON it was
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:8])
}

// Pods is the number of pods asked for.
func (s Set) Pods() int32 {
	if s.Spec.Replicas == nil {
		return 1
	}
	return *s.Spec.Replicas
}

// Weight is what the canary wants.
func (s Set) Weight() int {
	weight, err := strconv.Atoi(s.Annotations[WeightAnnotation])
	if err != nil || weight < 0 || weight > 100 {
		return 0
	}
	return weight
}

// Partition is the one that there is.
func (s Set) Partition() int32 {
	if r := s.Spec.UpdateStrategy.RollingUpdate; r != nil && r.Partition != nil {
		return *r.Partition
	}
	return 0
}

// Settled reports whether the status is about the spec.
func (s Set) Settled() bool { return s.Status.ObservedGeneration >= s.Generation }

// Behind reports whether there are pods to be updated, as far as is known.
func (s Set) Behind() bool { return s.Status.CurrentRevision != s.Status.UpdateRevision }

// Released reports whether the template was promoted.
func (s Set) Released() bool { return s.Annotations[ReleasedAnnotation] == s.Fingerprint() }

// Wanted is the partition that the StatefulSet should have.
func (s Set) Wanted() int32 {
	switch {
	case s.Released() && s.Behind():
		return 0
	case s.Released() || s.Weight() == 0:
		return HoldAllPods
	default:
		return s.Pods() - podsOf(s.Pods(), s.Weight())
	}
}

// podsOf is how many of so many pods a weight stands for: never none if there is
// one to spare, and never all, see the package's comment.
func podsOf(pods int32, weight int) int32 {
	return max(min(max((pods*int32(weight)+99)/100, 1), pods-1), 0)
}

// Reach is the number of pods that the partition lets have the update revision.
func (s Set) Reach() int32 { return max(s.Pods()-s.Partition(), 0) }

// Live is the weight in force: what the canary wants if the partition is the one
// that follows from it or makes no difference, or else what it amounts to.
func (s Set) Live() int {
	if s.Partition() == s.Wanted() || !s.Behind() || s.Pods() == 0 {
		return s.Weight()
	}
	return int((s.Reach()*100 + s.Pods() - 1) / s.Pods())
}

// RolledOut reports whether exactly the pods that should have the update revision
// have it.
func (s Set) RolledOut() bool {
	if !s.Settled() {
		return false
	}
	if !s.Behind() {
		return s.Status.CurrentReplicas >= s.Status.Replicas
	}
	return s.Status.UpdatedReplicas == s.Reach() && s.Status.CurrentReplicas+s.Status.UpdatedReplicas >= s.Status.Replicas
}

// Revision is the name of the revision that a pod has.
func Revision(pod *corev1.Pod) string { return pod.Labels[appsv1.ControllerRevisionHashLabelKey] }

// Ready reports whether a pod answers requests.
func Ready(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil {
		return false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// Strays are the pods that should have the current revision and do not. Those
// that are ready are deleted as slowly as the StatefulSet rolls out: pods that
// vote, or that hold a share of the data, must not go all at once.
func (s Set) Strays(pods []corev1.Pod) []*corev1.Pod {
	if !s.Settled() {
		return nil
	}
	budget := s.maxUnavailable() - int(s.Pods())
	var strays, ready []*corev1.Pod
	for i := range pods {
		pod, stray := &pods[i], s.isStray(&pods[i])
		switch {
		case Ready(pod) && stray:
			ready, budget = append(ready, pod), budget+1
		case Ready(pod):
			budget++
		case stray && pod.DeletionTimestamp == nil:
			strays = append(strays, pod)
		}
	}
	slices.SortFunc(ready, func(a, b *corev1.Pod) int { return s.ordinal(b) - s.ordinal(a) })
	return append(strays, ready[:max(min(budget, len(ready)), 0)]...)
}

func (s Set) isStray(pod *corev1.Pod) bool {
	return Revision(pod) != s.Status.CurrentRevision && s.ordinal(pod) < int(s.Partition())
}

// ordinal is the index of a pod among those of its set, which is what a partition
// counts.
func (s Set) ordinal(pod *corev1.Pod) int {
	index, err := strconv.Atoi(pod.Name[min(len(s.Name)+1, len(pod.Name)):])
	if err != nil {
		return int(s.Pods())
	}
	if s.Spec.Ordinals != nil {
		index -= int(s.Spec.Ordinals.Start)
	}
	return index
}

func (s Set) maxUnavailable() int {
	r := s.Spec.UpdateStrategy.RollingUpdate
	if r == nil || r.MaxUnavailable == nil {
		return 1
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(r.MaxUnavailable, int(s.Pods()), false)
	if err != nil {
		return 1
	}
	return max(n, 1)
}
