// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"slices"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/promotion"
)

// application is what Argo CD says of an Application (argoproj.io/v1alpha1).
type application struct {
	metav1.ObjectMeta `json:"metadata"`
	Status            struct {
		ReconciledAt metav1.Time `json:"reconciledAt"`
		Health       struct {
			Status  string `json:"status"`
			Message string `json:"message"`
		} `json:"health"`
		Sync           applicationSync `json:"sync"`
		OperationState struct {
			Phase      string          `json:"phase"`
			Message    string          `json:"message"`
			FinishedAt metav1.Time     `json:"finishedAt"`
			SyncResult applicationSync `json:"syncResult"`
		} `json:"operationState"`
	} `json:"status"`
}

// applicationSync is what was synced, from one source or from several.
type applicationSync struct {
	Status    string   `json:"status"`
	Revision  string   `json:"revision"`
	Revisions []string `json:"revisions"`
}

// application says whether an Application of Argo CD runs a content: what it synced last
// says the same, and it was looked at since.
func (r readyChecker) application(ctx context.Context, t target, o object, want promotion.Content) (objectReadiness, error) {
	u := &unstructured.Unstructured{}
	answer, err := r.objects.read(ctx, o, u)
	if err != nil || answer.Why != "" {
		return absent(answer), err
	}
	var app application
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &app); err != nil {
		return progressing("%s cannot be read: %s", o, err), nil
	}
	s := app.Status
	synced := slices.Concat(s.OperationState.SyncResult.Revisions, []string{s.OperationState.SyncResult.Revision})
	if s.OperationState.FinishedAt.IsZero() && s.OperationState.Phase == "" { // its content was there before it
		synced = slices.Concat(s.Sync.Revisions, []string{s.Sync.Revision})
	}
	has := slices.ContainsFunc(synced, func(revision string) bool { return r.revisions.carries(ctx, t, revision, want) })
	looked := !s.ReconciledAt.Time.Before(s.OperationState.FinishedAt.Time)
	switch {
	case !has:
		return progressing("%s has not synced this version yet", o), nil
	case s.OperationState.Phase == "Failed":
		return failed("%s could not be synced: %s", o, s.OperationState.Message), nil
	case s.OperationState.Phase == "Running" || !looked:
		return progressing("%s is being synced", o), nil
	case s.Health.Status == "Degraded":
		return failed("%s is Degraded: %s", o, s.Health.Message), nil
	case s.Sync.Status != "Synced" || s.Health.Status != "Healthy":
		return progressing("%s is %s and %s", o, s.Sync.Status, s.Health.Status), nil
	}
	return ready, nil
}

// anyObject says whether an object of any kind is Ready (for workloads: rolled out) with
// its newest generation, and runs a content.
func (r readyChecker) anyObject(ctx context.Context, t target, o object, want promotion.Content) (objectReadiness, error) {
	u := &unstructured.Unstructured{}
	answer, err := r.objects.read(ctx, o, u)
	if err != nil || answer.Why != "" {
		return absent(answer), err
	}
	has, err := r.provenance(ctx, t, o, u, want)
	if err != nil {
		return objectReadiness{}, err
	}
	health := healthOf(ctx, u)
	suspended, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend")
	switch {
	case has == provenOther:
		return progressing("%s does not have this version yet", o), nil
	case suspended && o.isKind(helmReleaseKind):
		return progressing("%s is suspended", o), nil
	case health.Status == status.FailedStatus && has == provenSame:
		return failed("%s: %s", o, health.Message), nil
	case health.Status != status.CurrentStatus:
		return objectReadiness{
			state: promotion.ReadinessProgressing, why: o.String() + " is not Ready: " + health.Message,
			silent: has == unproven,
		}, nil
	}
	return objectReadiness{state: promotion.ReadinessReady, silent: has == unproven}, nil
}

// computed are the groups whose kinds are healthy by what they count, without a Ready
// condition.
var computed = []string{"apps", "batch"}

// healthOf is the kstatus of an object. One of somebody's own kind has to say that it is
// Ready: kstatus takes one that says nothing for healthy.
func healthOf(ctx context.Context, u *unstructured.Unstructured) status.Result {
	result := status.Result{Status: status.UnknownStatus}
	err := background.Try(ctx, func() error { // anybody may write anything into a status
		computed, err := status.Compute(u)
		if err == nil {
			result = *computed
		}
		return err
	})
	if err != nil {
		result.Message = err.Error()
	}
	if result.Status != status.CurrentStatus || slices.Contains(computed, u.GroupVersionKind().Group) {
		return result
	}
	with, err := status.GetObjectWithConditions(u.Object)
	if err != nil {
		return status.Result{Status: status.UnknownStatus, Message: err.Error()}
	}
	for _, c := range with.Status.Conditions {
		if c.Type == meta.ReadyCondition && c.Status == corev1.ConditionTrue {
			return result
		}
	}
	return status.Result{Status: status.InProgressStatus, Message: "it has no Ready condition"}
}
