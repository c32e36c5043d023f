// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/promotion/forge"
)

// stageErrors are the errors of a run, by the name of the stage that cannot go on. What is wrong with the repository,
// the forge or the registry of one stage keeps no other from going on.
type stageErrors map[string]error

// runFor does something for a stage, unless something is wrong with that already, and reports
// whether it changed something. An error is noted; the end of ctx is returned.
func (f stageErrors) runFor(ctx context.Context, stage string, do func() (bool, error)) (bool, error) {
	if f[stage] != nil {
		return false, nil
	}
	did, err := do()
	if err == nil {
		return did, nil
	}
	if ctx.Err() != nil {
		return did, ctx.Err()
	}
	f[stage] = err
	return true, nil // what is wrong is decided about
}

// problem says what is wrong with a stage; empty is nothing.
func (f stageErrors) problem(stage string) string {
	if err := f[stage]; err != nil {
		return reconciler.ConditionMessage(err)
	}
	return ""
}

// ofRun is the error of the run, in the order of the stages: the first that goes away by
// itself, so that it is retried, or else the first of all. What is wrong with a stage for
// good does not keep others from being retried.
func (f stageErrors) ofRun(stages []sluicev1.Stage, now time.Time) error {
	var found error
	for _, stage := range stages {
		err := f[stage.Name]
		switch {
		case err == nil:
		case !errors.Is(err, reconcile.TerminalError(nil)):
			return untilLimit(err, now)
		case found == nil:
			found = err
		}
	}
	return found
}

// untilLimit is the error of a stage as the runner takes it: a limit of a forge is waited
// for.
func untilLimit(err error, now time.Time) error {
	if limited := (*forge.RateLimited)(nil); errors.As(err, &limited) {
		return reconciler.Pending(err, max(limited.Until.Sub(now), time.Second))
	}
	return err
}
