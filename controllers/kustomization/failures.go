// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"errors"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/apply"
	"github.com/sluice-cd/sluice/apply/build"
	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/decrypt"
	"github.com/sluice-cd/sluice/apply/watch"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// slowRetry is when a build that took too long is tried again without a change.
const slowRetry = 10 * time.Minute

// Reason implements reconciler.Controller.
func (*Reconciler) Reason(err error) string {
	switch {
	case errors.Is(err, errAccessDenied):
		return acl.AccessDeniedReason
	case errors.Is(err, errUnsupported):
		return "UnsupportedField"
	case errors.Is(err, errGate):
		return meta.FeatureGateDisabledReason
	case errors.Is(err, errExpression), errors.Is(err, watch.ErrExpression):
		return meta.InvalidCELExpressionReason
	}
	return meta.ReconciliationFailedReason
}

// terminal is err, which retrying cannot mend.
func terminal(err error) error { return reconcile.TerminalError(err) }

// retrySoon is err, retried at the Kustomization's own pace if it names one, and
// with backoff otherwise.
func retrySoon(k *kustomizev1.Kustomization, err error) error {
	if k.Spec.RetryInterval == nil {
		return err
	}
	return reconciler.Waiting(err, k.Spec.RetryInterval.Duration)
}

// variablesFailure says when variables that could not be read are read again. What
// they come from is watched, also while it is not there.
func variablesFailure(err error) *decide.Failure {
	f := &decide.Failure{Reason: meta.BuildFailedReason, Err: err, Retry: decide.RetrySoon}
	switch {
	case apierrors.IsNotFound(err):
		f.Retry = decide.RetryWhenWatched
	case errors.Is(err, build.ErrTooLarge):
		f.Retry = decide.RetryNever
	}
	return f
}

// buildFailure says when a build that failed is tried again.
func buildFailure(k *kustomizev1.Kustomization, err error) *decide.Failure {
	f := &decide.Failure{Reason: meta.BuildFailedReason, Err: err, Retry: decide.RetryWhenWatched}
	if errors.Is(err, build.ErrPathNotFound) {
		f.Reason = meta.ArtifactFailedReason
	}
	switch {
	case errors.Is(err, decrypt.ErrKeys): // the Secret is watched
	case build.IsRefused(err): // only another commit, spec or variable can help, and all are watched
		f.Retry = decide.RetryNever
	case errors.Is(err, build.ErrTimeout), errors.Is(err, build.ErrUnfinished):
		f.After = max(k.GetRetryInterval(), slowRetry)
	}
	return f
}

// applyFailure says when an apply that failed is tried again.
func applyFailure(err error) *decide.Failure {
	f := &decide.Failure{Reason: meta.ReconciliationFailedReason, Err: err, Retry: decide.RetrySoon}
	if apply.OnlyTerminating(err) { // nothing went wrong, and its end is watched
		f.Retry, f.After = decide.RetryPending, decide.UnwatchedInterval
	}
	return f
}
