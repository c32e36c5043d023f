// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

// releaseEnd detects that a release has ended: the one that is under way when the command
// starts or, if there is none, the next one.
type releaseEnd struct {
	seen bool
	// revision is the one at first.
	revision string
	// underWay is the last phase in which a release was under way, empty if none was.
	underWay flaggerv1.CanaryPhase
}

// observe takes the next state of a canary, and says whether its release has ended. The
// error says that users did not get the revision.
func (e *releaseEnd) observe(c *flaggerv1.Canary) (done bool, err error) {
	if !e.seen {
		e.seen, e.revision = true, report.RevisionOf(c)
	}
	if !isFinished(c) {
		e.underWay = c.Status.Phase
		return false, nil
	}
	if e.underWay == "" && report.RevisionOf(c) == e.revision {
		return false, nil // at rest since before
	}
	switch {
	case c.Status.Phase == flaggerv1.CanaryPhaseSucceeded:
		return true, nil
	case c.Status.Phase == flaggerv1.CanaryPhaseInitialized && e.underWay == flaggerv1.CanaryPhaseInitializing:
		return true, nil
	case c.Status.Phase == flaggerv1.CanaryPhaseFailed:
		return true, fmt.Errorf("the release of %s/%s was rolled back%s", c.Namespace, c.Name, reason(c))
	default:
		return true, fmt.Errorf("the release of %s/%s ended without a promotion%s", c.Namespace, c.Name, reason(c))
	}
}

// reason says why the last release ended as it did, if that is known.
func reason(c *flaggerv1.Canary) string {
	if len(c.Status.History) > 0 && c.Status.History[0].Reason != "" {
		return ": " + output.Clean(c.Status.History[0].Reason)
	}
	return ""
}

// isFinished reports whether no release is under way.
func isFinished(c *flaggerv1.Canary) bool {
	switch c.Status.Phase {
	case flaggerv1.CanaryPhaseInitialized, flaggerv1.CanaryPhaseSucceeded, flaggerv1.CanaryPhaseFailed:
		return true
	default:
		return false
	}
}
