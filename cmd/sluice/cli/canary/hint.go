// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"fmt"
	"strings"
	"time"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

// hint says what holds a release, and which command lets it go on; it is empty if
// nothing holds the release. Root is how the program is called.
func hint(c report.Canary, root string, now time.Time) string {
	approve := fmt.Sprintf("%s canary approve %s -n %s", root, c.Name, c.Namespace)
	subject := c.Namespace + "/" + c.Name
	switch h := c.Hold; {
	case c.Suspended:
		return fmt.Sprintf("%s is suspended: it goes on, and commands are carried out, when spec.suspend is false", subject)
	case h != nil && h.Kind == flaggerv1.HoldGate && h.Approved:
		return fmt.Sprintf("%s was let through the gate %s and is about to go on", subject, h.Gate)
	case h != nil && h.Kind == flaggerv1.HoldGate:
		return fmt.Sprintf("%s waits at the gate %s, %s: open it with %s", subject, h.Gate, closedBy(h, now), approve)
	case h != nil && h.Kind == flaggerv1.HoldInconclusive:
		return inconclusiveHint(c, approve, output.Ago(h.Since.Time, now))
	case h != nil && h.Kind == flaggerv1.HoldHalt:
		return fmt.Sprintf("%s is halted%s; checks go on and may roll it back: let it go on with %s", subject, report.HeldSince(h, now), approve)
	case h != nil:
		return fmt.Sprintf("%s is paused%s; nothing is checked: let it go on with %s", subject, report.HeldSince(h, now), approve)
	case c.Phase == flaggerv1.CanaryPhaseWaiting, c.Phase == flaggerv1.CanaryPhaseWaitingPromotion:
		return fmt.Sprintf("%s waits for approval: give it with %s", subject, approve)
	default:
		return ""
	}
}

// inconclusiveHint says what there is to do about a release that the judge cannot decide about.
func inconclusiveHint(c report.Canary, approve, since string) string {
	if c.Hold.Approved {
		return fmt.Sprintf("%s/%s was let go on without a verdict of the judge, and is about to", c.Namespace, c.Name)
	}
	return fmt.Sprintf("%s/%s has waited for %s because the judge is inconclusive: let it go on without a verdict with %s, or end it with %s",
		c.Namespace, c.Name, since, approve, strings.Replace(approve, " approve ", " abort ", 1))
}

// closedBy says who keeps a gate closed, and for how long.
func closedBy(h *flaggerv1.CanaryHold, now time.Time) string {
	who := ""
	switch {
	case strings.HasPrefix(h.By, "annotation "):
		who = " by the " + h.By
	case h.By != "":
		who = " by the webhook " + h.By
	}
	return "closed" + who + " for " + output.Ago(h.Since.Time, now)
}
