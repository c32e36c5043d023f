// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/object"
)

// ErrShared means that for the moment pods of somebody else have the labels of the
// target's.
var ErrShared = errors.New("a release begins once they are gone")

// selectedPods is what was found when the pods that the Services of a canary select were
// compared with those of other workloads.
type selectedPods struct {
	compared bool
	// generation of the target with which they were compared, and the objects of others
	// that select, or are selected, too.
	generation int64
	alike      []object.Ref
	// checkedAt is when pods were looked for that none of these made.
	checkedAt time.Time
}

// podCheckInterval is how long no one looks again for pods that come and go, such as those of Jobs,
// which nobody watches.
const podCheckInterval = 5 * time.Second

// podSelection is what the Services of a canary select pods by.
type podSelection struct {
	scope           *scope
	kind            string
	names           naming
	target, primary *unstructured.Unstructured
}

// collision is why users would get pods of two workloads.
type collision struct {
	why string
	// passing means that it ends by itself, such as with a Job.
	passing bool
}

// check makes sure that the Services of the two copies select pods of no other workload,
// nor of each other, and that no other canary's users are led to the primary: pods
// with the labels of a Service get its users. A release does not begin then, and one that is under way loses
// its users: the target, as it was seen, is stuck.
func (p podSelection) check(ctx context.Context, r *Revision, seen *canary.Workload) error {
	c := p.scope.canary
	if !c.HasService() || p.scope.deleted() || !startsOrRuns(c, r) {
		return nil
	}
	found, err := p.compare(ctx)
	switch {
	case err != nil || found.why == "":
		return err
	case c.Status.UnderWay():
		seen.Ready, seen.Shared, seen.Stuck, seen.Why = false, true, !found.passing, found.why
		return nil
	case found.passing:
		return fmt.Errorf("spec.targetRef: %s; %w", found.why, ErrShared)
	default:
		return reconcile.TerminalError(fmt.Errorf("spec.targetRef: %s", found.why))
	}
}

// compare looks when a release is about to begin, and each time that the target changes
// during one, or that others have pods with its labels; a canary at rest has its users on
// pods that were looked at. Pods are looked for at each observation of a release.
func (p podSelection) compare(ctx context.Context) (collision, error) {
	if same, err := p.isAsCompared(ctx); same || err != nil {
		return collision{}, err
	}
	others, err := otherWorkloads(ctx, p.scope, p.kind)
	if err != nil {
		return collision{}, err
	}
	now, with := selectedPods{compared: true, generation: p.target.GetGeneration(), checkedAt: p.scope.clock.Now()}, p.primaryIfSelected()
	for _, other := range others {
		if !within(p.names.own, other.podLabels) && !within(p.names.settled, other.podLabels) {
			continue
		}
		now.alike = append(now.alike, other.Ref)
		if with == "" && other.hasPods {
			with = fmt.Sprintf("%s %s.%s", strings.ToLower(other.Kind), other.Name, other.Namespace)
		}
	}
	service, why, err := p.otherService(ctx)
	if err != nil {
		return collision{}, err
	}
	now.alike = append(now.alike, service...)
	if with != "" {
		why = fmt.Sprintf("pods of %s have all labels that those of %s are selected by (%s): users would get either; "+
			"give both spec.selector and the pod labels of one of them a label that the other lacks",
			with, title(p.target), labels.FormatLabels(p.names.own))
	}
	found := collision{why: why}
	if why == "" {
		if found, err = p.otherPod(ctx); err != nil || found.why != "" {
			return found, err
		}
	}
	p.scope.entry.selected = now
	return found, nil
}

// primaryIfSelected names the primary if its pods have all labels of the target's. Only a
// target whose selector was changed and now lacks the label that its primary differs in
// has such.
func (p podSelection) primaryIfSelected() string {
	if p.primary != nil && within(p.names.own, podLabels(p.primary)) {
		return title(p.primary)
	}
	return ""
}

// otherService finds a Service by which users of another canary would get pods of this
// one's primary, and says why. Those of the canary side have no users at rest, and that
// canary compares before it gives them any.
func (p podSelection) otherService(ctx context.Context) (found []object.Ref, why string, err error) {
	all := &corev1.ServiceList{}
	if err := p.scope.cached.List(ctx, all, client.InNamespace(p.scope.canary.Namespace)); err != nil {
		return nil, "", fmt.Errorf("listing services beside %s: %w", title(p.target), err)
	}
	are, become := p.names.matching, object.Merge(podLabels(p.target), p.names.fixed)
	for i := range all.Items {
		svc := &all.Items[i]
		whose := p.otherCanary(svc)
		if whose == "" || !within(svc.Spec.Selector, are) && !within(svc.Spec.Selector, become) {
			continue
		}
		found = append(found, p.scope.object(serviceKind, svc.Name))
		why = fmt.Sprintf("pods of %s would have all labels that Service %s.%s of Canary %s selects by (%s): "+
			"its users would get them, too; give both spec.selector and the pod labels of one of the two targets a label that the other lacks",
			p.scope.primaryName(), svc.Name, svc.Namespace, whose, labels.FormatLabels(svc.Spec.Selector))
	}
	return found, why, nil
}

// otherCanary names the other canary whose users come by a Service; empty is none.
func (p podSelection) otherCanary(svc *corev1.Service) string {
	owner, noted := metav1.GetControllerOf(svc), originalOf(svc)
	var whose string
	switch {
	case owner != nil && owner.Kind == flaggerv1.CanaryKind && !strings.HasSuffix(svc.Name, canarySuffix):
		whose = owner.Name
	case owner == nil && noted != nil:
		whose = noted.Canary
	}
	apex, primary, _ := p.scope.canary.ServiceNames()
	if whose == p.scope.canary.Name || svc.Name == apex || svc.Name == primary {
		return ""
	}
	return whose
}

// isAsCompared reports whether what the last comparison found still holds: the target has
// not changed, and others have no pods by now, if the last look is long enough ago.
func (p podSelection) isAsCompared(ctx context.Context) (bool, error) {
	before, now := &p.scope.entry.selected, p.scope.clock.Now()
	switch {
	case !before.compared, before.generation != p.target.GetGeneration(), len(before.alike) > 0:
		return false, nil
	case now.Sub(before.checkedAt) < podCheckInterval:
		return true, nil
	}
	found, err := p.otherPod(ctx)
	if err == nil && found.why == "" {
		before.checkedAt = now
	}
	return found.why == "", err
}

// otherPod finds a pod with the labels of the target's that neither of the two copies made:
// one of a Job, say.
func (p podSelection) otherPod(ctx context.Context) (collision, error) {
	pods := &corev1.PodList{}
	for more := true; more; more = pods.Continue != "" {
		err := p.scope.live.List(ctx, pods, client.InNamespace(p.scope.canary.Namespace), client.MatchingLabels(p.names.own),
			client.Limit(maxDiagnosed), client.Continue(pods.Continue))
		if err != nil {
			return collision{}, fmt.Errorf("listing pods with the labels of those of %s: %w", title(p.target), err)
		}
		for i := range pods.Items {
			pod, owner := &pods.Items[i], metav1.GetControllerOf(&pods.Items[i])
			ended := pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
			if ended || owner == nil || p.isOfCopies(pod, owner) {
				continue
			}
			return collision{
				passing: true,
				why: fmt.Sprintf("pod %s.%s of %s %s has all labels that those of %s are selected by (%s), and users would get it; "+
					"give it other labels", pod.Name, pod.Namespace, owner.Kind, owner.Name, title(p.target), labels.FormatLabels(p.names.own)),
			}, nil
		}
	}
	return collision{}, nil
}

// isOfCopies reports whether one of the two copies made a pod, Deployments by way of
// a ReplicaSet.
func (p podSelection) isOfCopies(pod *corev1.Pod, owner *metav1.OwnerReference) bool {
	kind := p.kind
	if kind == "Deployment" {
		kind = "ReplicaSet"
	}
	if owner.APIVersion != appsv1.SchemeGroupVersion.String() || owner.Kind != kind {
		return false
	}
	return MadeBy(pod, p.scope.targetName()) || MadeBy(pod, p.scope.primaryName())
}

// startsOrRuns reports whether there is something to try, or being tried.
func startsOrRuns(c *flaggerv1.Canary, target *Revision) bool {
	status := &c.Status
	return status.Phase == "" || status.Phase == flaggerv1.CanaryPhaseInitializing || status.UnderWay() ||
		status.Applied() != target.Digest || status.Target != "" && status.Target != c.Spec.TargetRef.Identity()
}

// otherWorkload is one that is neither of the two copies.
type otherWorkload struct {
	object.Ref
	podLabels map[string]string
	hasPods   bool
}

// otherWorkloads are all workloads of the namespace whose pods a Service might select,
// but for the two copies, which are of a kind.
func otherWorkloads(ctx context.Context, s *scope, copies string) ([]otherWorkload, error) {
	deployments, sets, daemons := &appsv1.DeploymentList{}, &appsv1.StatefulSetList{}, &appsv1.DaemonSetList{}
	for _, list := range []client.ObjectList{deployments, sets, daemons} {
		if err := s.live.List(ctx, list, client.InNamespace(s.canary.Namespace)); err != nil {
			return nil, fmt.Errorf("listing workloads beside %s %s.%s: %w", strings.ToLower(copies), s.targetName(), s.canary.Namespace, err)
		}
	}
	var found []otherWorkload
	add := func(kind, name string, template *corev1.PodTemplateSpec, pods int32) {
		if kind != copies || name != s.targetName() && name != s.primaryName() {
			found = append(found, otherWorkload{s.object(appsv1.SchemeGroupVersion.WithKind(kind), name), template.Labels, pods > 0})
		}
	}
	for i := range deployments.Items {
		d := &deployments.Items[i]
		add("Deployment", d.Name, &d.Spec.Template, replicas(d.Spec.Replicas))
	}
	for i := range sets.Items {
		set := &sets.Items[i]
		add("StatefulSet", set.Name, &set.Spec.Template, replicas(set.Spec.Replicas))
	}
	for i := range daemons.Items {
		d := &daemons.Items[i]
		pods := int32(1)
		if _, stopped := d.Spec.Template.Spec.NodeSelector[stoppedSelector]; stopped {
			pods = 0
		}
		add("DaemonSet", d.Name, &d.Spec.Template, pods)
	}
	return found, nil
}
