package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// errDone ends a follower that has seen what it was waiting for.
var errDone = errors.New("done")

// ending watches out for the end of the release that is under way when it starts,
// or else for that of the next one.
type ending struct {
	seen     bool
	revision string // of the first look
	under    flaggerv1.CanaryPhase
}

// judge looks at a canary, and says whether its release has ended. The error says
// that users did not get the revision.
func (e *ending) judge(c *flaggerv1.Canary) (done bool, err error) {
	if !e.seen {
		e.seen, e.revision = true, revisionOf(c)
	}
	if !atRest(c) {
		e.under = c.Status.Phase
		return false, nil
	}
	if e.under == "" && revisionOf(c) == e.revision {
		return false, nil // at rest since before
	}
	switch {
	case c.Status.Phase == flaggerv1.CanaryPhaseSucceeded:
		return true, nil
	case c.Status.Phase == flaggerv1.CanaryPhaseInitialized && e.under == flaggerv1.CanaryPhaseInitializing:
		return true, nil
	case c.Status.Phase == flaggerv1.CanaryPhaseFailed:
		return true, fmt.Errorf("the release of %s/%s was rolled back%s", c.Namespace, c.Name, because(c))
	default:
		return true, fmt.Errorf("the release of %s/%s ended without a promotion%s", c.Namespace, c.Name, because(c))
	}
}

// because is the reason of the last verdict.
func because(c *flaggerv1.Canary) string {
	if len(c.Status.History) > 0 && c.Status.History[0].Reason != "" {
		return ": " + cells([]string{c.Status.History[0].Reason})[0]
	}
	return ""
}

// atRest reports whether no release is under way.
func atRest(c *flaggerv1.Canary) bool {
	switch c.Status.Phase {
	case flaggerv1.CanaryPhaseInitialized, flaggerv1.CanaryPhaseSucceeded, flaggerv1.CanaryPhaseFailed:
		return true
	default:
		return false
	}
}

// withTimeout limits a context; its cause is then the error. No time is no limit.
func withTimeout(ctx context.Context, limit time.Duration, cause error) (context.Context, context.CancelFunc) {
	if limit <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, limit, cause)
}
