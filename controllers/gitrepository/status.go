// SPDX-License-Identifier: Apache-2.0

package gitrepository

import (
	"errors"
	"fmt"
	"strings"

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
	reconciler.SetCondition(obj, r.Clock.Now(), metav1.Condition{
		Type: condition, Status: metav1.ConditionTrue, Reason: reason, Message: message,
	})
}

// refuse names the fields that would have to be ignored.
func refuse(obj *sourcev1.GitRepository) error {
	var fields []string
	for _, f := range []struct {
		used bool
		name string
	}{
		{obj.Spec.Verification != nil, "spec.verify"},
		{obj.Spec.RecurseSubmodules, "spec.recurseSubmodules"},
		{len(obj.Spec.Include) > 0, "spec.include"},
		{len(obj.Spec.SparseCheckout) > 0, "spec.sparseCheckout"},
	} {
		if f.used {
			fields = append(fields, f.name)
		}
	}
	if len(fields) == 0 {
		return nil
	}
	return reconciler.WithReason("UnsupportedField", fmt.Errorf("field is not supported: %s", strings.Join(fields, ", ")))
}
