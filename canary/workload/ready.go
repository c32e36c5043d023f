package workload

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-cd/sluice/canary"
)

// patience is when a Deployment counts as ready, and as stuck.
type patience struct {
	threshold int // percentage of pods that must be available
	deadline  time.Duration
	now       time.Time
}

// describe says how a Deployment stands, by its status conditions.
func describe(d *appsv1.Deployment, p patience) canary.Workload {
	w := canary.Workload{Exists: true, Replicas: replicas(d), Available: d.Status.AvailableReplicas}
	if d.Generation > d.Status.ObservedGeneration {
		w.Why = "waiting for rollout to finish: observed deployment generation less than desired generation"
		return w
	}
	w.Why, w.Stuck = missing(d, p)
	w.Ready = w.Why == ""
	return w
}

// missing says what a rollout still lacks; empty is nothing. It is stuck when
// Kubernetes says so, or when too few pods were available for too long.
func missing(d *appsv1.Deployment, p patience) (why string, stuck bool) {
	if replicas(d) == 0 {
		return "deployment is scaled to zero", false
	}
	if condition(d, appsv1.DeploymentProgressing).Reason == "ProgressDeadlineExceeded" {
		return fmt.Sprintf("deployment %q exceeded its progress deadline", d.Name), true
	}
	available := condition(d, appsv1.DeploymentAvailable)
	stuck = available.Status == corev1.ConditionFalse && available.Reason == "MinimumReplicasUnavailable" &&
		available.LastUpdateTime.Add(p.deadline).Before(p.now)
	want, status := replicas(d), d.Status
	needed := max(int32(int(status.UpdatedReplicas)*p.threshold/100), 1)
	switch {
	case status.UpdatedReplicas < want:
		return fmt.Sprintf("waiting for rollout to finish: %d out of %d new replicas have been updated", status.UpdatedReplicas, want), stuck
	case status.Replicas > status.UpdatedReplicas:
		return fmt.Sprintf("waiting for rollout to finish: %d old replicas are pending termination", status.Replicas-status.UpdatedReplicas), stuck
	case status.AvailableReplicas < needed:
		return fmt.Sprintf("waiting for rollout to finish: %d of %d (readyThreshold %d%%) updated replicas are available",
			status.AvailableReplicas, needed, p.threshold), stuck
	default:
		return "", false
	}
}

func replicas(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

func condition(d *appsv1.Deployment, kind appsv1.DeploymentConditionType) appsv1.DeploymentCondition {
	for _, c := range d.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return appsv1.DeploymentCondition{}
}
