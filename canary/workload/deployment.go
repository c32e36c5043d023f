// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-cd/sluice/canary"
)

// deployments are scaled to zero to be stopped.
var deployments = twoCopyKind{
	GroupVersionKind: appsv1.SchemeGroupVersion.WithKind("Deployment"),
	rollout:          []string{"strategy", "minReadySeconds", "progressDeadlineSeconds", "revisionHistoryLimit"},
	describe: func(u *unstructured.Unstructured, p patience) (canary.Workload, error) {
		d := &appsv1.Deployment{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, d); err != nil {
			return canary.Workload{}, fmt.Errorf("reading %s: %w", title(u), err)
		}
		return describe(d, p), nil
	},
	alias:    templateAlias,
	replicas: bySpec,
	run:      func(pods int32) string { return fmt.Sprintf(`{"spec":{"replicas":%d}}`, pods) },
}

// describe says how a Deployment stands, by its status conditions.
func describe(d *appsv1.Deployment, p patience) canary.Workload {
	w := canary.Workload{Exists: true, Replicas: replicas(d.Spec.Replicas), Available: d.Status.AvailableReplicas}
	if d.Generation > d.Status.ObservedGeneration {
		w.Why = "waiting for rollout to finish: observed deployment generation less than desired generation"
		return w
	}
	w.Why, w.Stuck = missing(d, p)
	w.Ready = w.Why == ""
	return w
}

// missing says what a rollout still lacks; empty is nothing. It is stuck when
// Kubernetes says so, or when too few pods were available for too long, or when it is
// paused for so long: then Kubernetes counts no time, and old pods are available.
func missing(d *appsv1.Deployment, p patience) (why string, stuck bool) {
	if replicas(d.Spec.Replicas) == 0 {
		return "deployment is scaled to zero", false
	}
	if condition(d, appsv1.DeploymentProgressing).Reason == deadlineExceeded {
		return fmt.Sprintf("deployment %q exceeded its progress deadline%s", d.Name, obstacles(d)), true
	}
	available := condition(d, appsv1.DeploymentAvailable)
	stuck = available.Status == corev1.ConditionFalse && available.Reason == "MinimumReplicasUnavailable" &&
		available.LastUpdateTime.Add(p.deadline).Before(p.now) || d.Spec.Paused && p.isOver()
	want, status := replicas(d.Spec.Replicas), d.Status
	needed := p.needed(status.UpdatedReplicas)
	switch {
	case status.UpdatedReplicas < want:
		why = fmt.Sprintf("%d out of %d new replicas have been updated", status.UpdatedReplicas, want)
	case status.Replicas > status.UpdatedReplicas:
		why = fmt.Sprintf("%d old replicas are pending termination", status.Replicas-status.UpdatedReplicas)
	case status.AvailableReplicas < needed:
		why = fmt.Sprintf("%d of %d (readyThreshold %d%%) updated replicas are available", status.AvailableReplicas, needed, p.threshold)
	default:
		return "", false
	}
	return "waiting for rollout to finish: " + why + obstacles(d), stuck
}

const deadlineExceeded = "ProgressDeadlineExceeded"

// obstacles are what keeps Kubernetes from making pods at all: a pause, a quota, an
// admission webhook.
func obstacles(d *appsv1.Deployment) string {
	var out string
	if d.Spec.Paused {
		out += "; Deployment is paused (spec.paused)"
	}
	if failed := condition(d, appsv1.DeploymentReplicaFailure); failed.Status == corev1.ConditionTrue {
		out += "; ReplicaFailure: " + brief(failed.Message)
	}
	if halted := condition(d, appsv1.DeploymentProgressing); halted.Status == corev1.ConditionFalse && halted.Reason != deadlineExceeded {
		out += fmt.Sprintf("; %s: %s", halted.Reason, brief(halted.Message))
	}
	return out
}

func condition(d *appsv1.Deployment, kind appsv1.DeploymentConditionType) appsv1.DeploymentCondition {
	for _, c := range d.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return appsv1.DeploymentCondition{}
}
