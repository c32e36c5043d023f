package workload

import (
	"context"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// keepApart makes sure that the Services of the two copies select pods of no other
// workload, nor of each other: users would be sent to whatever else has the labels. It
// looks when a release is about to begin, and each time that the target changes during
// one; a canary at rest has its users on pods that were looked at.
func (t *twin) keepApart(ctx context.Context) error {
	if t.target == nil || !t.canary.HasService() || t.canary.DeletionTimestamp != nil || !t.begins() {
		return nil
	}
	about := t.kit.memory.about(t.canary.UID)
	if about.apart == t.target.GetGeneration() && len(about.alike) == 0 && about.looked {
		return nil
	}
	others, err := t.others(ctx)
	if err != nil {
		return err
	}
	about.apart, about.alike, about.looked = t.target.GetGeneration(), nil, true
	why := t.mixed()
	for _, other := range others {
		if !within(t.names.own, other.pods) && !within(t.names.settled, other.pods) {
			continue
		}
		about.alike = append(about.alike, other.Object)
		if why == "" && other.runs {
			why = fmt.Sprintf("%s %s.%s", strings.ToLower(other.Kind), other.Name, other.Namespace)
		}
	}
	if why == "" {
		return nil
	}
	return t.refuseMixed(why)
}

// refuseMixed keeps a release from beginning. One that is under way loses its users.
func (t *twin) refuseMixed(other string) error {
	why := fmt.Sprintf("pods of %s have all labels that those of %s are selected by (%s): users would get either; give both spec.selector and the pod labels of one of them a label that the other lacks",
		other, title(t.target), labels.FormatLabels(t.names.own))
	if !t.canary.Status.UnderWay() {
		return reconcile.TerminalError(fmt.Errorf("spec.targetRef: %s", why))
	}
	t.Target.Ready, t.Target.Stuck, t.Target.Why = false, true, why
	return nil
}

// begins reports whether there is something to try, or being tried.
func (t *twin) begins() bool {
	status := &t.canary.Status
	return status.Phase == "" || status.Phase == flaggerv1.CanaryPhaseInitializing || status.UnderWay() ||
		status.Applied() != t.Revision.Digest || status.Target != "" && status.Target != t.canary.Spec.TargetRef.Identity()
}

// mixed names the copy whose pods have all labels of the other's. Only a target whose
// selector was changed and now lacks the label that its primary differs in has such.
func (t *twin) mixed() string {
	if t.primary != nil && within(t.names.own, podLabels(t.primary)) {
		return title(t.primary)
	}
	return ""
}

// other is a workload that is neither of the two copies.
type other struct {
	Object
	pods map[string]string
	runs bool
}

// others are all workloads of the namespace whose pods a Service might select.
func (t *twin) others(ctx context.Context) ([]other, error) {
	var found []other
	add := func(kind, name string, template *corev1.PodTemplateSpec, runs bool) {
		if kind == t.kind.Kind && (name == t.names.target || name == t.names.target+primarySuffix) {
			return
		}
		found = append(found, other{t.object(appsv1.SchemeGroupVersion.WithKind(kind), name), template.Labels, runs})
	}
	deployments, sets, daemons := &appsv1.DeploymentList{}, &appsv1.StatefulSetList{}, &appsv1.DaemonSetList{}
	for _, list := range []client.ObjectList{deployments, sets, daemons} {
		if err := t.kit.live.List(ctx, list, client.InNamespace(t.canary.Namespace)); err != nil {
			return nil, fmt.Errorf("listing workloads beside %s: %w", title(t.target), err)
		}
	}
	for i := range deployments.Items {
		d := &deployments.Items[i]
		add("Deployment", d.Name, &d.Spec.Template, ptr.Deref(d.Spec.Replicas, 1) > 0)
	}
	for i := range sets.Items {
		s := &sets.Items[i]
		add("StatefulSet", s.Name, &s.Spec.Template, ptr.Deref(s.Spec.Replicas, 1) > 0)
	}
	for i := range daemons.Items {
		d := &daemons.Items[i]
		_, stopped := d.Spec.Template.Spec.NodeSelector[nowhere]
		add("DaemonSet", d.Name, &d.Spec.Template, !stopped)
	}
	return found, nil
}
