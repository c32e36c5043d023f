// SPDX-License-Identifier: Apache-2.0

package gitrepository

import (
	"errors"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/internal/reconciler"
)

func fetchFailed(reason string, err error) error {
	return reconciler.WithCondition(sourcev1.FetchFailedCondition, reason, err)
}

func storageFailed(err error) error {
	return reconciler.WithCondition(sourcev1.StorageOperationFailedCondition, sourcev1.ArchiveOperationFailedReason, err)
}

// fail records an error in the condition that it belongs to.
func (r *Reconciler) fail(obj *sourcev1.GitRepository, err error) error {
	var f reconciler.ConditionError
	if errors.As(err, &f) {
		r.set(obj, f.Condition, reconciler.ReasonOf(f, r.Reason), reconciler.ConditionMessage(f))
	}
	return err
}

func (r *Reconciler) set(obj *sourcev1.GitRepository, condition, reason, message string) {
	status := metav1.ConditionTrue
	if condition == sourcev1.SourceVerifiedCondition && reason != meta.SucceededReason {
		status = metav1.ConditionFalse
	}
	reconciler.SetCondition(obj, r.Clock.Now(), metav1.Condition{Type: condition, Status: status, Reason: reason, Message: message})
}
