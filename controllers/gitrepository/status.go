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

// failure is an error that another condition shows beside Ready, with the same reason.
type failure struct {
	error
	condition string
}

func (f failure) Unwrap() error { return f.error }

func fetchFailed(reason string, err error) error {
	return failure{reconciler.WithReason(reason, err), sourcev1.FetchFailedCondition}
}

func storageFailed(err error) error {
	return failure{reconciler.WithReason(sourcev1.ArchiveOperationFailedReason, err), sourcev1.StorageOperationFailedCondition}
}

// fail records an error in the condition that it belongs to.
func (r *Reconciler) fail(obj *sourcev1.GitRepository, err error) error {
	var f failure
	if errors.As(err, &f) {
		r.set(obj, f.condition, reconciler.ReasonOf(f, r.Reason), reconciler.ConditionMessage(f))
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
