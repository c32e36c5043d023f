// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
)

// selectedPods is what was found when the pods that the Services of a canary select were
// compared with those of other workloads.
type selectedPods struct {
	compared bool
	// generation of the target with which they were compared, and the other workloads
	// whose pods are selected too.
	generation int64
	alike      []object.Ref
}

// podSelection is what the Services of a canary select pods by.
type podSelection struct {
	scope           *scope
	kind            string
	names           naming
	target, primary *unstructured.Unstructured
}

// collision names a workload whose running pods are selected although they are not of
// the copy; empty is that there is none. It looks when a release is about to begin, and
// each time that the target changes during one; a canary at rest has its users on pods
// that were looked at.
func (p podSelection) collision(ctx context.Context) (with string, err error) {
	before, generation := p.scope.entry.selected, p.target.GetGeneration()
	if before.compared && before.generation == generation && len(before.alike) == 0 {
		return "", nil
	}
	others, err := otherWorkloads(ctx, p.scope, p.kind)
	if err != nil {
		return "", err
	}
	now, with := selectedPods{compared: true, generation: generation}, p.primaryIfSelected()
	for _, other := range others {
		if !within(p.names.own, other.podLabels) && !within(p.names.settled, other.podLabels) {
			continue
		}
		now.alike = append(now.alike, other.Ref)
		if with == "" && other.hasPods {
			with = fmt.Sprintf("%s %s.%s", strings.ToLower(other.Kind), other.Name, other.Namespace)
		}
	}
	p.scope.entry.selected = now
	return with, nil
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
