// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"errors"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/writeback"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// refuse is an error that only a person can resolve: Stalled, no retry.
func refuse(reason, format string, args ...any) error {
	return reconcile.TerminalError(reconciler.WithReason(reason, fmt.Errorf(format, args...)))
}

// Reason implements reconciler.Controller.
func (r *Reconciler) Reason(err error) string {
	if errors.Is(err, writeback.ErrUpdate) || errors.Is(err, edit.ErrMissingPart) {
		return imagev1.UpdateFailedReason
	}
	return imagev1.GitOperationFailedReason
}

// refuseTemplate makes terminal what the template does wrong at each run: it uses
// a removed field or one that there is not, or asks for more than templates may have.
func refuseTemplate(err error) error {
	switch {
	case errors.Is(err, writeback.ErrRemovedField):
		return refuse(imagev1.RemovedTemplateFieldReason, "%w", err)
	case errors.Is(err, writeback.ErrMessageBudget), errors.Is(err, writeback.ErrMessage):
		return refuse(imagev1.GitOperationFailedReason, "spec.git.commit.messageTemplate: %w", err)
	}
	return err
}
