// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/object"
)

// stoppedSelector is the node selector that no node has: a DaemonSet cannot be scaled, so
// a stopped one asks for this. It is Flagger's, and no part of a revision.
const stoppedSelector = "flagger.app/scale-to-zero"

// daemonSets are stopped by asking for nodes that do not exist.
var daemonSets = twoCopyKind{
	GroupVersionKind: appsv1.SchemeGroupVersion.WithKind("DaemonSet"),
	rollout:          []string{"updateStrategy", "minReadySeconds", "revisionHistoryLimit"},
	describe:         describeDaemonSet,
	check:            rollsDaemonSet,
	clean:            cleanNodeSelector,
	alias:            nodesAlias,
	replicas:         byNodes,
	run: func(pods int32) string {
		selector := "null"
		if pods == 0 {
			selector = `"true"`
		}
		return fmt.Sprintf(`{"spec":{"template":{"spec":{"nodeSelector":{%q:%s}}}}}`, stoppedSelector, selector)
	},
}

// rollsDaemonSet refuses pods that nobody replaces: neither copy would ever run
// what its template says.
func rollsDaemonSet(u *unstructured.Unstructured) error {
	kind := object.Text(u.Object, "spec", "updateStrategy", "type")
	if kind != "" && kind != string(appsv1.RollingUpdateDaemonSetStrategyType) {
		return reconcile.TerminalError(fmt.Errorf("%s spec.updateStrategy.type must be RollingUpdate, not %s", title(u), kind))
	}
	return nil
}

func cleanNodeSelector(template map[string]any) {
	spec := object.Map(template, "spec")
	selector := object.Map(spec, "nodeSelector")
	delete(selector, stoppedSelector)
	if len(selector) == 0 {
		delete(spec, "nodeSelector")
	}
}

// describeDaemonSet says how a DaemonSet stands. The number of pods is that of
// the nodes that want one.
func describeDaemonSet(u *unstructured.Unstructured, p patience) (canary.Workload, error) {
	d := &appsv1.DaemonSet{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, d); err != nil {
		return canary.Workload{}, fmt.Errorf("reading %s: %w", title(u), err)
	}
	w := canary.Workload{Exists: true, Replicas: max(d.Status.DesiredNumberScheduled, 1), Available: d.Status.NumberAvailable}
	if _, stopped := d.Spec.Template.Spec.NodeSelector[stoppedSelector]; stopped {
		w.Replicas, w.Available = 0, 0
		w.Why = "daemonset is scaled to zero"
		return w, nil
	}
	if d.Generation > d.Status.ObservedGeneration {
		w.Why = "waiting for rollout to finish: observed daemonset generation less than desired generation"
		return w, nil
	}
	w.Why = missingDaemons(d.Status, p)
	if w.Ready = w.Why == ""; !w.Ready && p.isOver() {
		w.Stuck = true
		w.Why = fmt.Sprintf("exceeded its progressDeadlineSeconds: %d; %s", int(p.deadline.Seconds()), w.Why)
	}
	return w, nil
}

// missingDaemons says what a rollout still lacks; empty is nothing. On a cluster
// without a node for it, a DaemonSet lacks nothing.
func missingDaemons(s appsv1.DaemonSetStatus, p patience) string {
	switch {
	case s.UpdatedNumberScheduled < s.DesiredNumberScheduled:
		return fmt.Sprintf("waiting for rollout to finish: %d out of %d new pods have been updated",
			s.UpdatedNumberScheduled, s.DesiredNumberScheduled)
	case s.DesiredNumberScheduled > 0 && s.NumberAvailable < p.needed(s.DesiredNumberScheduled):
		return fmt.Sprintf("waiting for rollout to finish: %d of %d (readyThreshold %d%%) updated pods are available",
			s.NumberAvailable, p.needed(s.DesiredNumberScheduled), p.threshold)
	default:
		return ""
	}
}
