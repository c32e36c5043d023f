package main

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// hint says what holds a release, and which command lets it go on; empty if
// nothing holds it. Root is how the program is called.
func (s standing) hint(root string) string {
	approve := fmt.Sprintf("%s canary approve %s -n %s", root, s.Name, s.Namespace)
	subject := s.Namespace + "/" + s.Name
	switch h := s.Hold; {
	case s.Suspended:
		return fmt.Sprintf("%s is suspended: it goes on, and commands are carried out, when spec.suspend is false", subject)
	case h != nil && h.Kind == flaggerv1.HoldGate && h.Approved:
		return fmt.Sprintf("%s was let through the gate %s and is about to go on", subject, h.Gate)
	case h != nil && h.Kind == flaggerv1.HoldGate:
		return fmt.Sprintf("%s waits at the gate %s, %s: open it with %s", subject, h.Gate, closedBy(h), approve)
	case h != nil && h.Kind == flaggerv1.HoldHalt:
		return fmt.Sprintf("%s is halted%s; checks go on and may roll it back: let it go on with %s", subject, heldBy(h), approve)
	case h != nil:
		return fmt.Sprintf("%s is paused%s; nothing is checked: let it go on with %s", subject, heldBy(h), approve)
	case s.Phase == flaggerv1.CanaryPhaseWaiting, s.Phase == flaggerv1.CanaryPhaseWaitingPromotion:
		return fmt.Sprintf("%s waits for approval: give it with %s", subject, approve)
	default:
		return ""
	}
}

// closedBy says who keeps a gate closed, and for how long.
func closedBy(h *flaggerv1.CanaryHold) string {
	who := ""
	switch {
	case strings.HasPrefix(h.By, "annotation "):
		who = " by the " + h.By
	case h.By != "":
		who = " by the webhook " + h.By
	}
	return "closed" + who + " for " + lasted(h.Since.Time)
}

// heldBy says who halted or paused a release, and for how long it has been so.
func heldBy(h *flaggerv1.CanaryHold) string {
	return by(h.By) + " for " + lasted(h.Since.Time)
}

// lasted is the time since then, as people say it.
func lasted(since time.Time) string { return duration.HumanDuration(time.Since(since)) }
